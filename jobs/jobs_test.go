package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"scrip/jobs"
	"scrip/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// leases gives each name to one owner at a time.
type leases struct {
	mu       sync.Mutex
	held     map[string]models.Lease
	released []string
	broken   bool
}

func (l *leases) AcquireLease(_ context.Context, name, owner string, ttl time.Duration) (models.Lease, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return models.Lease{}, false, errors.New("the database is away")
	}
	if holder, taken := l.held[name]; taken && holder.Owner != owner && time.Now().Before(holder.Until) {
		return models.Lease{}, false, nil
	}
	if l.held == nil {
		l.held = map[string]models.Lease{}
	}
	l.held[name] = models.Lease{Name: name, Owner: owner, Until: time.Now().Add(ttl)}
	return l.held[name], true, nil
}

func (l *leases) ReleaseLease(_ context.Context, lease models.Lease) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, lease.Name)
	l.released = append(l.released, lease.Name)
	return nil
}

// counter is a job that counts its steps.
type counter struct{ steps atomic.Int64 }

func (c *counter) job(alone bool) jobs.Job {
	return jobs.Job{Name: "count", Every: time.Second, Alone: alone, Step: func(context.Context) (int, bool, error) {
		c.steps.Add(1)
		return 1, false, nil
	}}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestAJobIsDoneAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l leases
		var c counter
		runner := jobs.Start(&l, "a", quiet(), c.job(false))
		time.Sleep(time.Minute) //nolint:forbidigo // in a bubble it only moves the clock
		runner.Stop()
		if n := c.steps.Load(); n < 40 || n > 120 {
			t.Errorf("%d steps in a minute, one each second or so", n)
		}
		if len(l.released) > 0 {
			t.Errorf("a lease was taken: %v", l.released)
		}
	})
}

func TestAloneMeansOneInstance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l leases
		var first, second counter
		a := jobs.Start(&l, "a", quiet(), first.job(true))
		time.Sleep(5 * time.Second) //nolint:forbidigo // in a bubble it only moves the clock
		b := jobs.Start(&l, "b", quiet(), second.job(true))
		time.Sleep(20 * time.Second) //nolint:forbidigo // the same
		if first.steps.Load() == 0 || second.steps.Load() != 0 {
			t.Errorf("the holder took %d steps, the other %d", first.steps.Load(), second.steps.Load())
		}
		a.Stop()                    // gives the lease back, so the other need not wait for its end
		time.Sleep(3 * time.Second) //nolint:forbidigo // the same
		if second.steps.Load() == 0 {
			t.Error("the other did not take over")
		}
		b.Stop()
		if !slices.Equal(l.released, []string{"job:count", "job:count"}) {
			t.Errorf("released %v", l.released)
		}
	})
}

func TestALongRunKeepsItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l leases
		var second counter
		busy := jobs.Job{Name: "count", Every: time.Second, Alone: true, Step: func(ctx context.Context) (int, bool, error) {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			return 1, true, nil
		}}
		a := jobs.Start(&l, "a", quiet(), busy)
		time.Sleep(5 * time.Second) //nolint:forbidigo // in a bubble it only moves the clock
		b := jobs.Start(&l, "b", quiet(), second.job(true))
		time.Sleep(time.Minute) //nolint:forbidigo // the same
		if n := second.steps.Load(); n != 0 {
			t.Errorf("the other took %d steps in the middle of a run", n)
		}
		a.Stop()
		b.Stop()
	})
}

func TestAJobOutlivesItsFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := leases{broken: true}
		var c counter
		failing := jobs.Job{Name: "fail", Every: time.Second, Step: func(context.Context) (int, bool, error) {
			return 0, true, errors.New("always")
		}}
		runner := jobs.Start(&l, "a", quiet(), c.job(true), failing)
		time.Sleep(10 * time.Second) //nolint:forbidigo // in a bubble it only moves the clock
		l.mu.Lock()
		l.broken = false
		l.mu.Unlock()
		time.Sleep(10 * time.Second) //nolint:forbidigo // the same
		runner.Stop()
		if c.steps.Load() == 0 {
			t.Error("it was not taken up again")
		}
	})
}

func TestMoreToDoIsDoneAtOnce(t *testing.T) {
	t.Parallel()
	dropped := []int{1000, 1000, 7}
	purge := jobs.Purge{
		Now: func() time.Time { return time.UnixMilli(10_000) }, Keep: time.Second,
		Drop: func(_ context.Context, before time.Time, limit int) (int, error) {
			if before.UnixMilli() != 9_000 || limit != 1000 {
				t.Errorf("drop %d before %v", limit, before)
			}
			n := dropped[0]
			dropped = dropped[1:]
			return n, nil
		},
	}
	var mores []bool
	for range 3 {
		_, more, err := purge.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		mores = append(mores, more)
	}
	if !slices.Equal(mores, []bool{true, true, false}) {
		t.Errorf("got %v", mores)
	}
}

// gate is one template's copy, as Settle and Reconcile see it.
type gate struct {
	state   models.GateState
	pending []models.PendingClaim
	told    []models.GateOutcome
}

func (g *gate) Touched(context.Context, time.Time, int) ([]models.ID, error) {
	return []models.ID{7}, nil
}

func (g *gate) States(context.Context, []models.ID) ([]models.GateState, error) {
	return []models.GateState{g.state}, nil
}

func (g *gate) Pending(_ context.Context, _ models.ID, olderThan time.Time, _ int) ([]models.PendingClaim, error) {
	return slices.DeleteFunc(slices.Clone(g.pending), func(p models.PendingClaim) bool { return !p.Since.Before(olderThan) }), nil
}

func (g *gate) Finish(_ context.Context, outcomes []models.GateOutcome) error {
	g.told = append(g.told, outcomes...)
	return nil
}

// ledger knows which claims have a coupon, and the template's counters.
type ledger struct {
	granted map[models.ID]bool
	buried  []models.ID
	count   models.TemplateCount
	rebuilt []int64
}

func (l *ledger) SettleClaims(_ context.Context, _ models.ID, claims []models.ID) (map[models.ID]bool, error) {
	for _, id := range claims {
		if !l.granted[id] {
			l.buried = append(l.buried, id)
		}
	}
	return l.granted, nil
}

func (l *ledger) Counts(context.Context, []models.ID) (map[models.ID]models.TemplateCount, error) {
	return map[models.ID]models.TemplateCount{7: l.count}, nil
}

func (l *ledger) Rebuild(_ context.Context, _ models.ID, from int64) error {
	l.rebuilt = append(l.rebuilt, from)
	return nil
}

func TestOnlyWhatIsOverdueIsSettled(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(100_000)
	g := &gate{state: models.GateState{Open: true, Epoch: 3, Pending: 3}, pending: []models.PendingClaim{
		{ClaimID: 1, UserID: "ann", Since: now.Add(-time.Minute)},
		{ClaimID: 2, UserID: "bob", Since: now.Add(-time.Minute)},
		{ClaimID: 3, UserID: "cid", Since: now.Add(-time.Second)},
	}}
	l := &ledger{granted: map[models.ID]bool{1: true}}
	settle := &jobs.Settle{Gate: g, Store: l, Now: func() time.Time { return now }, After: 5 * time.Second}
	if n, _, err := settle.Step(t.Context()); n != 2 || err != nil {
		t.Errorf("settled %d, %v", n, err)
	}
	want := []models.GateOutcome{
		{TemplateID: 7, ClaimID: 1, UserID: "ann", Epoch: 3, Step: models.GateConfirm},
		{TemplateID: 7, ClaimID: 2, UserID: "bob", Epoch: 3, Step: models.GateRelease},
	}
	if diff := cmp.Diff(want, g.told); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(l.buried, []models.ID{2}) {
		t.Errorf("buried %v", l.buried)
	}
}

func TestOnlyALastingDifferenceIsDrift(t *testing.T) {
	t.Parallel()
	l := &ledger{count: models.TemplateCount{Epoch: 3, Claimed: 4, Stock: new(int64(10))}}
	for name, c := range map[string]struct {
		state   models.GateState
		moved   bool // between two looks
		rebuilt bool
	}{
		"agrees":        {state: models.GateState{Open: true, Epoch: 3, Left: 6}},
		"too few":       {state: models.GateState{Open: true, Epoch: 3, Left: 5}, rebuilt: true},
		"too many":      {state: models.GateState{Open: true, Epoch: 3, Left: 7}, rebuilt: true},
		"moving":        {state: models.GateState{Open: true, Epoch: 3, Left: 7}, moved: true},
		"something due": {state: models.GateState{Open: true, Epoch: 3, Left: 5, Pending: 1}},
		"cold":          {state: models.GateState{Left: 5}},
		"older epoch":   {state: models.GateState{Open: true, Epoch: 2, Left: 5}},
	} {
		l.rebuilt = nil
		g := &gate{state: c.state}
		reconcile := &jobs.Reconcile{Gate: g, Store: l, Rebuild: l, Now: time.Now}
		for range 2 {
			if _, _, err := reconcile.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.moved {
				g.state.Moves++
			}
		}
		if (len(l.rebuilt) > 0) != c.rebuilt {
			t.Errorf("%s: rebuilt %v", name, l.rebuilt)
		}
		drifting, err := jobs.Drift(t.Context(), g, l, []models.ID{7})
		if want := c.rebuilt || c.moved || c.state.Pending > 0; err != nil || (len(drifting) > 0) != want {
			t.Errorf("%s: drifting %v, %v", name, drifting, err)
		}
	}
}

// wallet hands out pages of coupons past their end.
type wallet struct {
	t     *testing.T
	asked []models.CouponEnd
	fails bool
}

func (w *wallet) ExpireCoupons(_ context.Context, now time.Time, after models.CouponEnd, limit int) (int, *models.CouponEnd, error) {
	if now.UnixMilli() != 10_000 || limit < 1 {
		w.t.Errorf("asked for %d at %v", limit, now)
	}
	w.asked = append(w.asked, after)
	switch {
	case w.fails:
		return 0, nil, errors.New("the database is away")
	case len(w.asked) == 3:
		return 1, nil, nil
	}
	return limit, &models.CouponEnd{At: now, ID: models.ID(len(w.asked))}, nil
}

// A run goes on where its last step ended, also after a failure; the next run
// begins with the first coupon.
func TestCouponsExpireInRuns(t *testing.T) {
	t.Parallel()
	w := &wallet{t: t}
	expire := &jobs.ExpireCoupons{Store: w, Now: func() time.Time { return time.UnixMilli(10_000) }}
	var mores []bool
	for i := range 4 {
		w.fails = i == 1
		changed, more, err := expire.Step(t.Context())
		if (err != nil) != w.fails || (changed > 0) == w.fails {
			t.Errorf("step %d: %d changed, %v", i, changed, err)
		}
		mores = append(mores, more)
	}
	if !slices.Equal(mores, []bool{true, false, false, true}) {
		t.Errorf("more: %v", mores)
	}
	first := models.CouponEnd{At: time.UnixMilli(10_000), ID: 1}
	if diff := cmp.Diff([]models.CouponEnd{{}, first, first, {}}, w.asked); diff != "" {
		t.Error(diff)
	}
}
