package claims

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"scrip/failpoint"
	"scrip/models"
)

// rebuilds has at most one rebuild of a template under way in this instance.
type rebuilds struct{ group singleflight.Group }

const (
	holdersChunk    = 5000             // users loaded into the gate in one call
	rebuildTimeout  = 30 * time.Second // of a whole rebuild, which goes on when its first caller has gone
	rebuildPatience = 2 * time.Second  // how long another instance may take before we start over
	rebuildPoll     = 20 * time.Millisecond
)

// rebuild has the gate loaded for a template for which it is cold, so that the
// template's definition has the epoch that the gate then holds. It goes on when
// the caller's time runs out; false says that there is nothing to wait for any
// more.
func (s *Service) rebuild(ctx context.Context, id models.ID) bool {
	done := s.rebuilds.group.DoChan(id.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rebuildTimeout)
		defer cancel()
		return nil, s.warm(ctx, id)
	})
	select {
	case result := <-done:
		if result.Err != nil {
			s.log.WarnContext(ctx, "gate not rebuilt", "template", id, "error", result.Err)
		}
		return result.Err == nil
	case <-ctx.Done():
		return false
	}
}

// warm sees to it that the gate holds the template's epoch: it waits for
// another instance that is loading it, or else starts the next epoch and loads
// that.
func (s *Service) warm(ctx context.Context, id models.ID) error {
	patience := time.Now().Add(rebuildPatience)
	for {
		def, err := s.definitions.refresh(ctx, id)
		if err != nil {
			return err
		}
		state, err := s.gate.State(ctx, id)
		if err != nil {
			return fmt.Errorf("read the gate: %w", err)
		}
		switch {
		case state.Open && state.Epoch == def.Epoch:
			return nil
		case !state.Open && state.Epoch == def.Epoch && def.Epoch > 0 && time.Now().Before(patience):
			if err := pause(ctx, rebuildPoll); err != nil {
				return err
			}
		default:
			if err := s.Rebuild(ctx, id, def.Epoch); err != nil {
				return err
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errOvertaken says that a newer epoch began while one was being loaded.
var errOvertaken = errors.New("another instance started a newer epoch")

// Rebuild starts the epoch after the given one and loads it into the gate. It
// does nothing when the template's epoch is not the given one any more.
//
// The new epoch is committed before anything is read for it, so that whatever
// an older load still brings is refused, and every claim that commits from then
// on reports itself under the new epoch.
func (s *Service) Rebuild(ctx context.Context, id models.ID, from int64) error {
	load, claimed, ok, err := s.store.NextEpoch(ctx, id, from)
	if err != nil || !ok {
		return err
	}
	failpoint.Reach(failpoint.RebuildNumbered)
	s.definitions.forget(id)
	if ok, err := s.gate.Begin(ctx, load); err != nil || !ok {
		return errors.Join(errOvertaken, err)
	}
	failpoint.Reach(failpoint.RebuildBegun)
	for after := int64(0); after < claimed; {
		holders, last, err := s.store.Holders(ctx, id, after, claimed, holdersChunk)
		if err != nil {
			return err
		}
		if last == after {
			return fmt.Errorf("template %s: coupons after number %d of %d are missing", id, after, claimed)
		}
		if ok, err := s.gate.Load(ctx, id, load.Epoch, load.Limit, holders); err != nil || !ok {
			return errors.Join(errOvertaken, err)
		}
		after = last
	}
	failpoint.Reach(failpoint.RebuildLoaded)
	if ok, err := s.gate.Open(ctx, load); err != nil || !ok {
		return errors.Join(errOvertaken, err)
	}
	failpoint.Reach(failpoint.RebuildOpened)
	facts := []any{"template", id, "epoch", load.Epoch, "claimed", claimed}
	if load.Stock != models.GateUnlimited {
		facts = append(facts, "left", load.Left)
	}
	s.log.InfoContext(ctx, "gate loaded", facts...)
	return nil
}
