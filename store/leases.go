package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"scrip/models"
)

// errTaken says that somebody else holds the lease.
var errTaken = errors.New("the lease is held by another")

// AcquireLease takes a lease that nobody holds, or extends the owner's own.
// ok is false while another holds it.
func (s *Store) AcquireLease(ctx context.Context, name, owner string, ttl time.Duration) (lease models.Lease, ok bool, err error) {
	err = s.inTx(ctx, func(t tx) error {
		lease, err = s.takeLease(ctx, t, name, owner, ttl)
		return err
	})
	if errors.Is(err, errTaken) {
		return models.Lease{}, false, nil
	}
	return lease, err == nil, err
}

func (s *Store) takeLease(ctx context.Context, t tx, name, owner string, ttl time.Duration) (models.Lease, error) {
	now := s.Now()
	lease := models.Lease{Name: name, Owner: owner, Until: now.Add(ttl)}
	const create = "INSERT INTO leases (name, owner, until, token) VALUES (?, '', 0, 0)"
	if _, err := t.sql.ExecContext(ctx, create+s.dialect.keep("name"), name); err != nil {
		return lease, fmt.Errorf("create lease %s: %w", name, err)
	}
	// One conditional update decides. Whose the lease is then says how: the count
	// of rows does not, as MySQL leaves out one that is set to what it was, when
	// an owner renews twice in a millisecond.
	const take = `UPDATE leases SET token = CASE WHEN owner = ? THEN token ELSE token + 1 END, owner = ?, until = ?
		WHERE name = ? AND (owner = ? OR until <= ?)`
	if _, err := t.sql.ExecContext(ctx, take, owner, owner, millis(lease.Until), name, owner, millis(now)); err != nil {
		return lease, fmt.Errorf("take lease %s: %w", name, err)
	}
	var holder string
	err := t.sql.QueryRowContext(ctx, "SELECT owner, token FROM leases WHERE name = ?", name).Scan(&holder, &lease.Token)
	if err == nil && holder != owner {
		err = errTaken
	}
	return lease, err
}

// ReleaseLease gives a lease back before its time. One that was lost meanwhile
// is left to its new owner.
func (s *Store) ReleaseLease(ctx context.Context, lease models.Lease) error {
	return s.inTx(ctx, func(t tx) error {
		_, err := t.sql.ExecContext(ctx, "UPDATE leases SET until = 0 WHERE name = ? AND owner = ? AND token = ?",
			lease.Name, lease.Owner, lease.Token)
		return err
	})
}

const (
	workerTTL = time.Minute
	// workerMargin is how long before its end an instance stops trusting its
	// own lease: more than two clocks can differ after SyncClock.
	workerMargin = 10 * time.Second
)

// workerLease keeps this instance's worker number while the store is open.
type workerLease struct {
	store  *Store
	lease  models.Lease
	number int
	stop   chan struct{}
	done   sync.WaitGroup
}

func (s *Store) leaseWorker(ctx context.Context) error {
	s.ids = models.NewIDSource(s.Now)
	s.worker = &workerLease{store: s, stop: make(chan struct{})}
	if err := s.worker.find(ctx); err != nil {
		return err
	}
	s.worker.done.Go(s.worker.keep)
	return nil
}

// find takes any free worker number, from a random start, so that instances
// that start together do not queue for the same one.
func (w *workerLease) find(ctx context.Context) error {
	owner := fmt.Sprintf("%016x", rand.Uint64()) //nolint:gosec // it must differ, not be secret
	start := rand.IntN(models.MaxWorker + 1)     //nolint:gosec // any start will do
	for i := range models.MaxWorker + 1 {
		number := (start + i) % (models.MaxWorker + 1)
		lease, ok, err := w.store.AcquireLease(ctx, fmt.Sprintf("worker:%d", number), owner, workerTTL)
		if err != nil {
			return fmt.Errorf("lease a worker number: %w", err)
		}
		if ok {
			w.hold(lease, number)
			return nil
		}
	}
	return fmt.Errorf("all %d worker numbers are taken", models.MaxWorker+1)
}

func (w *workerLease) hold(lease models.Lease, number int) {
	w.lease, w.number = lease, number
	w.store.ids.Lease(number, lease.Until.Add(-workerMargin))
}

// keep renews the lease until release. When it was lost, while this process
// was frozen say, another number is taken; until then no ids are made.
func (w *workerLease) keep() {
	tick := time.NewTicker(workerTTL / 6)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), workerTTL/6)
		if err := errors.Join(w.store.SyncClock(ctx), w.renew(ctx)); err != nil {
			w.store.log.WarnContext(ctx, "worker number not renewed", "error", err)
		}
		cancel()
	}
}

func (w *workerLease) renew(ctx context.Context) error {
	if !w.store.Now().Before(w.lease.Until) {
		return w.find(ctx)
	}
	lease, ok, err := w.store.AcquireLease(ctx, w.lease.Name, w.lease.Owner, workerTTL)
	if err != nil {
		return err
	}
	if !ok {
		return w.find(ctx)
	}
	w.hold(lease, w.number)
	return nil
}

func (w *workerLease) release(ctx context.Context) error {
	if w == nil {
		return nil
	}
	close(w.stop)
	w.done.Wait()
	return w.store.ReleaseLease(ctx, w.lease)
}
