package claims

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"scrip/groupcommit"
	"scrip/models"
)

// holders knows of users who have coupons what stays true for ever, so that
// pressing the button again, or coming after the last coupon, costs neither
// Redis nor the database anything. It is safe for concurrent use.
type holders struct {
	store store
	log   *slog.Logger
	seed  maphash.Seed
	full  *otter.Cache[holding, []models.ID] // who has as many as one may have: claims are never taken back
	lists *otter.Cache[models.ID, *list]     // of templates from which nothing can be claimed

	mu      sync.Mutex
	busy    map[models.ID]struct{} // whose list is being loaded
	loading sync.WaitGroup
	closed  atomic.Bool
}

type holding struct {
	template models.ID
	user     string
}

// list is everybody who has a coupon of a template under one version of it, by
// which none is granted any more: hashes of user ids, sorted. A hash that is there
// by chance costs its user a way to the database, no more.
type list struct {
	version int64
	hashes  []uint64
	cut     bool // there are too many to list
}

const (
	maxFull     = 200_000
	maxListed   = 1_000_000 // holders of one template; beyond it each is looked up
	maxHashes   = 8_000_000 // in all lists: 64 MB
	listChunk   = 5_000
	listTimeout = 30 * time.Second
)

func newHolders(st store, log *slog.Logger) (*holders, error) {
	full, err := otter.New(&otter.Options[holding, []models.ID]{MaximumSize: maxFull})
	if err != nil {
		return nil, fmt.Errorf("cache of users at their limit: %w", err)
	}
	lists, err := otter.New(&otter.Options[models.ID, *list]{
		MaximumWeight: maxHashes,
		Weigher:       func(_ models.ID, l *list) uint32 { return uint32(len(l.hashes)) + 1 }, //nolint:gosec // at most maxListed
	})
	if err != nil {
		return nil, fmt.Errorf("cache of holders: %w", err)
	}
	return &holders{
		store: st, log: log, seed: maphash.MakeSeed(), full: full, lists: lists, busy: map[models.ID]struct{}{},
	}, nil
}

// close ends the loading.
func (h *holders) close() {
	h.mu.Lock()
	h.closed.Store(true)
	h.mu.Unlock()
	h.loading.Wait()
}

// note remembers which coupons a user has, as many as one may have.
func (h *holders) note(def *models.Template, userID string, coupons []models.ID) {
	h.full.Set(holding{def.ID, userID}, coupons)
}

// atLimit is the refusal of a user who is known to be at the limit, or nil.
func (h *holders) atLimit(def *models.Template, userID string) *models.Error {
	have, ok := h.full.GetIfPresent(holding{def.ID, userID})
	if !ok {
		return nil
	}
	return def.Limit(have)
}

// hasNone reports whether a user is known to have no coupon of a template that
// is closed: sold out, paused or ended. It has those who have one listed, for the
// next time; nobody waits for that.
func (h *holders) hasNone(ctx context.Context, def *models.Template, userID string) bool {
	l, ok := h.lists.GetIfPresent(def.ID)
	if !ok || l.version != def.Version {
		h.list(context.WithoutCancel(ctx), def)
		return false
	}
	_, found := slices.BinarySearch(l.hashes, maphash.String(h.seed, userID))
	return !found && !l.cut
}

// list begins to load a list, unless that is under way.
func (h *holders) list(ctx context.Context, def *models.Template) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, busy := h.busy[def.ID]; busy || h.closed.Load() {
		return
	}
	h.busy[def.ID] = struct{}{}
	h.loading.Go(func() { h.load(ctx, def) })
}

func (h *holders) load(ctx context.Context, def *models.Template) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	l, err := h.read(ctx, def)
	if err != nil {
		h.log.DebugContext(ctx, "holders not listed: each is looked up", "template", def.ID, "error", err)
	} else {
		h.lists.Set(def.ID, l)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.busy, def.ID)
}

func (h *holders) read(ctx context.Context, def *models.Template) (*list, error) {
	l := &list{version: def.Version}
	for after, more := int64(0), true; more; {
		if h.closed.Load() {
			return nil, groupcommit.ErrClosed
		}
		chunk, last, err := h.store.Holders(ctx, def.ID, after, math.MaxInt64, listChunk)
		if err != nil {
			return nil, err
		}
		for _, one := range chunk {
			l.hashes = append(l.hashes, maphash.String(h.seed, one.UserID))
		}
		if len(l.hashes) > maxListed {
			return &list{version: def.Version, cut: true}, nil
		}
		more, after = last > after, last
	}
	slices.Sort(l.hashes)
	return l, nil
}
