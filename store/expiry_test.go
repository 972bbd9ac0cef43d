package store_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
	"scrip/store"
)

// expireAll runs steps of so many coupons to their end, and returns how many
// coupons they changed, and in how many steps.
func (f fixture) expireAll(t *testing.T, now time.Time, limit int) (changed, steps int) {
	t.Helper()
	for next := (&models.CouponEnd{}); next != nil; steps++ {
		var n int
		var err error
		n, next, err = f.ExpireCoupons(t.Context(), now, *next, limit)
		if err != nil {
			t.Fatal(err)
		}
		changed += n
	}
	return changed, steps
}

// endingAt gives the users a coupon each that ends at the given time.
func (s shop) endingAt(t *testing.T, end time.Time, users ...string) []models.ID {
	t.Helper()
	batch := make([]models.Claim, len(users))
	for i, user := range users {
		batch[i] = s.claim(t, s.template, user)
		batch[i].ValidFrom, batch[i].ExpiresAt = end.Add(-day), end
	}
	ids := make([]models.ID, len(users))
	for i, verdict := range s.commit(t, batch...) {
		ids[i] = verdict.Coupon.ID
	}
	return ids
}

// byStatus is what a wallet says at the given time.
func (s shop) byStatus(t *testing.T, user string, now time.Time) map[models.CouponStatus][]models.ID {
	t.Helper()
	got := map[models.CouponStatus][]models.ID{}
	for _, status := range []models.CouponStatus{
		models.CouponAvailable, models.CouponLocked, models.CouponUsed, models.CouponExpired, models.CouponRevoked,
	} {
		rows := must(s.Coupons(t.Context(), platform(), models.CouponFilter{UserID: user, Status: status}, now, models.Page{Limit: 100}))(t)
		for _, c := range rows {
			if c.At(now).Status != status {
				t.Errorf("listed as %s: %+v", status, c)
			}
			got[status] = append(got[status], c.ID)
		}
	}
	return got
}

// To the millisecond, and whether or not the job has been there.
func TestACouponExpiresByItsTimeInEveryAnswer(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		s := f.shop(t, quarterOff())
		end := f.Now().Add(time.Hour)
		id := s.endingAt(t, end, "ann")[0]
		refused := func(xid string, at time.Time) string {
			try := s.try(t, xid, "ann", 100, id)
			try.At = at
			return told(s.commitTries(t, try)[0])
		}
		look := func(at time.Time) (map[models.CouponStatus][]models.ID, models.TemplateStats) {
			return s.byStatus(t, "ann", at), must(s.TemplateStats(t.Context(), platform(), s.template.ID, at))(t)
		}
		lists, stats := look(end.Add(-time.Millisecond))
		if diff := cmp.Diff(map[models.CouponStatus][]models.ID{models.CouponAvailable: {id}}, lists); diff != "" || stats.Available != 1 || stats.Expired != 0 {
			t.Errorf("just before: %s %+v", diff, stats)
		}
		if n, _ := f.expireAll(t, end.Add(-time.Millisecond), 10); n != 0 {
			t.Errorf("%d expired before their time", n)
		}
		for _, noted := range []int{0, 1} {
			lists, stats := look(end)
			if diff := cmp.Diff(map[models.CouponStatus][]models.ID{models.CouponExpired: {id}}, lists); diff != "" || stats.Available != 0 || stats.Expired != 1 {
				t.Errorf("after %d runs: %s %+v", noted, diff, stats)
			}
			if got := refused("x", end); got != string(models.CodeExpired) {
				t.Errorf("after %d runs a lock is told %s", noted, got)
			}
			_, err := f.RevokeCoupon(t.Context(), models.Op{Actor: platform(), RequestID: "test", At: end}, id)
			wantCode(t, err, models.CodeWrongState)
			if n, _ := f.expireAll(t, end, 10); n != 1-noted {
				t.Errorf("run %d changed %d", noted, n)
			}
		}
		s.wantCoupon(t, id, models.CouponExpired)
		f.sound(t)
	})
}

func TestExpiryGoesThroughAllInBoundedSteps(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		s := f.shop(t, quarterOff())
		now := f.Now().Add(time.Hour)
		due := slices.Concat(
			s.endingAt(t, now.Add(-time.Minute), users(7)...), // more than a step that end together
			s.endingAt(t, now.Add(-2*time.Minute), users(2)...),
			s.endingAt(t, now, users(2)...))
		later := s.endingAt(t, now.Add(time.Millisecond), "ann")
		changed, steps := f.expireAll(t, now, 3)
		if changed != len(due) || steps != 4 {
			t.Errorf("%d changed in %d steps", changed, steps)
		}
		for _, id := range due {
			s.wantCoupon(t, id, models.CouponExpired)
		}
		s.wantCoupon(t, later[0], models.CouponAvailable)
		f.sound(t)
	})
}

func TestOnlyWhatIsAvailableExpires(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		s := f.shop(t, quarterOff())
		now := f.Now()
		end := now.Add(time.Minute)
		id := s.endingAt(t, end, "ann", "ann", "ann", "ann", "ann")
		must(f.RevokeCoupon(t.Context(), f.op(platform()), id[0]))(t)
		s.confirmed(t, s.try(t, "used", "ann", 100, id[1]))
		s.locked(t, s.try(t, "confirmed late", "ann", 100, id[2]))
		s.locked(t, s.try(t, "cancelled", "ann", 100, id[3]))
		s.locked(t, s.try(t, "overdue", "ann", 100, id[4]))

		if n, _ := f.expireAll(t, end, 10); n != 0 {
			t.Errorf("%d expired of none that is available", n)
		}
		// A coupon whose time is over is the lock's until the lock's end.
		after, overdue := end.Add(time.Minute), now.Add(2*ttl)
		s.commitEnds(t, s.end(t, "confirmed late", models.LockConfirmed, after),
			s.end(t, "cancelled", models.LockCancelled, after), s.end(t, "overdue", models.LockExpired, overdue))
		want := map[models.CouponStatus][]models.ID{
			models.CouponRevoked: {id[0]}, models.CouponUsed: {id[2], id[1]}, models.CouponExpired: {id[4], id[3]},
		}
		for _, noted := range []int{0, 2} {
			if diff := cmp.Diff(want, s.byStatus(t, "ann", overdue)); diff != "" {
				t.Errorf("%d noted: %s", noted, diff)
			}
			if n, _ := f.expireAll(t, overdue, 10); n != 2-noted {
				t.Errorf("%d changed, when %d were noted", n, noted)
			}
		}
		f.sound(t)
	})
}

func TestAReturnedCouponExpiresAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		rule := must(f.CreateRule(t.Context(), f.op(platform()), quarterOff()))(t)
		of := spec(rule.ID, nil, 1000)
		of.ReturnPolicy.ExtendExpiredDays = 2
		s := f.shopOf(t, of)
		end := f.Now().Add(time.Minute)
		id := s.endingAt(t, end, "ann")[0]
		s.order(t, "x", 100, 1, id)
		f.expireAll(t, end, 10)
		refunded := end.Add(time.Hour)
		must(s.refund(t, s.refundOf("x", "r", 1, refunded)))(t)

		until := models.FirstInstant(refunded, time.UTC, 3)
		if n, _ := f.expireAll(t, until.Add(-time.Millisecond), 10); n != 0 {
			t.Errorf("%d expired within the days they were given", n)
		}
		if c := s.wantCoupon(t, id, models.CouponAvailable); !c.ExpiresAt.Equal(until) {
			t.Errorf("expires at %v, want %v", c.ExpiresAt, until)
		}
		if n, _ := f.expireAll(t, until, 10); n != 1 {
			t.Errorf("%d expired after them", n)
		}
		f.sound(t)
	})
}

// A lock at the last moment and the job, on another server, a moment later.
func TestALockAndAnExpiryRace_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		s := f.shop(t, quarterOff())
		other := f.another(t)
		first := f.Now().Add(time.Hour)
		for i, user := range users(rounds) {
			end := first.Add(time.Duration(i) * time.Millisecond)
			id := s.endingAt(t, end, user)[0]
			try := s.try(t, user, user, 100, id)
			try.At = end.Add(-time.Millisecond)
			var verdicts []models.LockVerdict
			var group sync.WaitGroup
			group.Go(func() { verdicts = s.commitTries(t, try) })
			group.Go(func() { expireOn(t, other, end) })
			group.Wait()
			want := models.CouponLocked
			if !verdicts[0].Made {
				want = models.CouponExpired
				wantCode(t, verdicts[0].Refused, models.CodeExpired)
			}
			s.wantCoupon(t, id, want)
		}
		f.sound(t)
	})
}

func expireOn(t *testing.T, on *store.Store, now time.Time) {
	t.Helper()
	if _, _, err := on.ExpireCoupons(t.Context(), now, models.CouponEnd{}, 1); err != nil {
		t.Error(err)
	}
}

func TestACheckFindsCouponsThatTheJobLeftBehind(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		s := f.shop(t, quarterOff())
		s.endingAt(t, f.Now().Add(-2*time.Hour), "ann")
		f.sound(t) // no job has ever run
		lease, ok, err := f.AcquireLease(t.Context(), "job:expire-coupons", "me", time.Minute)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		f.broken(t, "no coupon is available still", 1)
		f.expireAll(t, f.Now(), 10)
		f.sound(t)
		if err := f.ReleaseLease(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
	})
}

// broken fails the test unless so many rows break the invariant, and none another.
func (f fixture) broken(t *testing.T, invariant string, n int) {
	t.Helper()
	_, found, err := f.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	others := func(v store.Violation) bool { return !strings.HasPrefix(v.Invariant, invariant) }
	if len(found) != n || slices.ContainsFunc(found, others) {
		t.Errorf("found broken %v, want %q", found, invariant)
	}
}
