package claims

import (
	"context"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"

	"scrip/models"
)

// definitions are templates as claims are judged by them, a moment old at the
// most. An old one does no harm: the store compares its version under the lock
// and sends the claim back.
type definitions struct {
	store  store
	ttl    time.Duration
	loader otter.LoaderFunc[models.ID, *models.Template]
	cache  *otter.Cache[models.ID, *models.Template]
	sold   *otter.Cache[models.ID, int64] // by which version the store found a template sold out
}

// refreshes is in which part of its time a template is read anew if it is in use.
const refreshes = 2

// Sizes of the caches, in templates.
const (
	maxDefinitions = 10_000
	maxSoldOut     = 100_000
)

func newDefinitions(st store, ttl time.Duration) (*definitions, error) {
	cache, err := otter.New(&otter.Options[models.ID, *models.Template]{
		MaximumSize:      maxDefinitions,
		ExpiryCalculator: otter.ExpiryWriting[models.ID, *models.Template](ttl),
		// One that is in use is read anew behind the backs of its claims.
		RefreshCalculator: otter.RefreshWriting[models.ID, *models.Template](ttl / refreshes),
		Logger:            &otter.NoopLogger{}, // a refresh that fails is a load later on, whose caller is told
	})
	if err != nil {
		return nil, fmt.Errorf("template cache: %w", err)
	}
	sold, err := otter.New(&otter.Options[models.ID, int64]{MaximumSize: maxSoldOut})
	if err != nil {
		return nil, fmt.Errorf("sold-out cache: %w", err)
	}
	d := &definitions{store: st, ttl: ttl, cache: cache, sold: sold}
	d.loader = d.load
	return d, nil
}

// get returns a template that must not be changed. However many ask at once,
// the store is asked once.
func (d *definitions) get(ctx context.Context, id models.ID) (*models.Template, error) {
	return d.cache.Get(ctx, id, d.loader)
}

func (d *definitions) load(ctx context.Context, id models.ID) (*models.Template, error) {
	def, err := d.store.Definition(ctx, id)
	if err != nil {
		return nil, err
	}
	return &def, nil
}

// refresh reads a template anew, whatever is cached.
func (d *definitions) refresh(ctx context.Context, id models.ID) (*models.Template, error) {
	def, err := d.load(ctx, id)
	if err != nil {
		return nil, err
	}
	d.cache.Set(id, def)
	return def, nil
}

// proved notes that the store has just found the cached version to be the one that
// holds: as good as read anew, and free. A template that sells is hardly ever read.
func (d *definitions) proved(id models.ID) {
	d.cache.SetExpiresAfter(id, d.ttl)
	d.cache.SetRefreshableAfter(id, d.ttl/refreshes)
}

func (d *definitions) forget(id models.ID) { d.cache.Invalidate(id) }

// noteSoldOut remembers that the store found this version sold out. It stays
// so: claims are never taken back, and more stock is another version.
func (d *definitions) noteSoldOut(def *models.Template) { d.sold.Set(def.ID, def.Version) }

func (d *definitions) soldOut(def *models.Template) bool {
	version, known := d.sold.GetIfPresent(def.ID)
	return known && version == def.Version
}
