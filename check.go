package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"scrip/config"
	"scrip/issuing"
	"scrip/jobs"
	"scrip/models"
	"scrip/store"
)

// errInconsistent makes scrip check end with exit code 1.
var errInconsistent = errors.New("the state is not consistent")

func checkCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say whether every invariant holds, and which rows break it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(st *store.Store) error { return check(cmd, cfg, st) })
		},
	}
}

func check(cmd *cobra.Command, cfg config.Config, st *store.Store) error {
	checked, broken, err := st.Check(cmd.Context())
	if err != nil {
		return err
	}
	names, lost, err := checkSealed(cmd.Context(), cfg, st)
	if err != nil {
		return err
	}
	checked, broken = append(checked, names...), append(broken, lost...)
	const ours = "the gate agrees with the database"
	if len(cfg.Redis.Addrs) > 0 {
		differing, err := checkGate(cmd.Context(), cfg, st)
		if err != nil {
			return err
		}
		checked = append(checked, ours)
		for _, row := range differing {
			broken = append(broken, store.Violation{Invariant: ours, Row: row})
		}
	} else {
		cmd.Println("note: the gate is in the server's own process, which compares it by itself")
	}
	offenders := map[string]int{}
	for _, v := range broken {
		offenders[v.Invariant]++
		cmd.Printf("BROKEN  %s: %s\n", v.Invariant, v.Row)
	}
	for _, name := range checked {
		if offenders[name] == 0 {
			cmd.Printf("ok      %s\n", name)
		}
	}
	if len(broken) > 0 {
		return fmt.Errorf("%w: %d rows", errInconsistent, len(broken))
	}
	return nil
}

// checkSealed opens all that is sealed.
func checkSealed(ctx context.Context, cfg config.Config, st *store.Store) (checked []string, broken []store.Violation, err error) {
	keys, err := openCodeKeys(ctx, cfg, st)
	if err != nil {
		return nil, nil, err
	}
	for _, sealed := range []struct {
		name  string
		check func(context.Context) ([]string, error)
	}{
		{"every code that its owner is shown can be found", issuing.NewCodes(st, keys).Check},
		{"the secret of every webhook can be opened", issuing.NewWebhooks(st, keys).Check},
	} {
		rows, err := sealed.check(ctx)
		if err != nil {
			return nil, nil, err
		}
		checked = append(checked, sealed.name)
		for _, row := range rows {
			broken = append(broken, store.Violation{Invariant: sealed.name, Row: row})
		}
	}
	return checked, broken, nil
}

// A gate that differs is asked again: claims may be under way.
const (
	gateLooks = 5
	gatePause = time.Second
)

// gatePatience is how long one look may take. The server's own timeout is so short
// because claims can pass the gate by; whoever asks whether all is well would hear
// no from a machine that is only busy.
const gatePatience = 5 * time.Second

// checkGate compares the copy of every template that was ever published.
func checkGate(ctx context.Context, cfg config.Config, st *store.Store) (differing []string, err error) {
	cfg.Redis.Timeout = max(cfg.Redis.Timeout, gatePatience)
	g, err := newGate(ctx, cfg, st.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	everything := models.Principal{Role: models.RolePlatform}
	for page := (models.Page{Limit: 200}); ; {
		list, err := st.Templates(ctx, everything, models.TemplateFilter{}, page)
		if err != nil {
			return nil, err
		}
		ids := make([]models.ID, len(list))
		for i := range list {
			ids[i] = list[i].ID
		}
		rows, err := compare(ctx, g, st, ids)
		if err != nil {
			return nil, err
		}
		differing = append(differing, rows...)
		if len(list) < page.Limit {
			return differing, nil
		}
		page.Before = list[len(list)-1].ID
	}
}

// compare describes how the templates' copies differ, of each what the last look
// showed.
func compare(ctx context.Context, g filter, st *store.Store, templates []models.ID) (rows []string, err error) {
	var drifting map[models.ID]models.GateState
	for look := 0; look < gateLooks && len(templates) > 0; look++ {
		if look > 0 {
			select {
			case <-time.After(gatePause):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if drifting, err = jobs.Drift(ctx, g, st, templates); err != nil {
			return nil, err
		}
		templates = slices.Sorted(maps.Keys(drifting))
	}
	for _, id := range templates {
		state := drifting[id]
		rows = append(rows, fmt.Sprintf("template_id=%s epoch=%d left=%d pending=%d", id, state.Epoch, state.Left, state.Pending))
	}
	return rows, nil
}
