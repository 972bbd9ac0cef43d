package store_test

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"scrip/enginetest"
	"scrip/models"
	"scrip/store"
)

// handClock stands still until the test moves it.
type handClock struct {
	now   atomic.Int64
	store *store.Store
}

func (c *handClock) set(at time.Time) {
	c.now.Store(at.UnixMilli())
	if c.store != nil {
		c.store.LeaseIDs(at.Add(time.Hour)) // or the jump would end the lease on them
	}
}

func (c *handClock) read() time.Time { return time.UnixMilli(c.now.Load()) }

// march is an hour of a day in March, in London.
func march(day, hour int) time.Time { return time.Date(2026, 3, day, hour, 0, 0, 0, time.UTC) }

// onBothReminded runs a test on a shop in Tokyo at noon, in London, on the first
// of March, whose coupons expire with the 10th of March and remind of it three
// days and one day before.
func onBothReminded(t *testing.T, test func(t *testing.T, s shop, clock *handClock)) {
	t.Helper()
	start := func(t *testing.T, opts store.Options) {
		t.Helper()
		t.Parallel()
		clock := &handClock{}
		clock.set(march(1, 12))
		opts.Clock = clock.read
		f := newFixture(t, opts)
		clock.store = f.Store
		rule := must(f.CreateRule(t.Context(), f.op(platform()), quarterOff()))(t)
		of := spec(rule.ID, nil, 1000)
		of.TimeZone, of.RemindBeforeDays = "Asia/Tokyo", []int{3, 1}
		of.Validity = models.Validity{From: new(march(1, 12)), Until: new(march(10, 15))}
		of.ReturnPolicy.ExtendExpiredDays = 5
		test(t, f.shopOf(t, of), clock)
	}
	t.Run("sqlite", func(t *testing.T) { start(t, store.Options{DataDir: t.TempDir()}) })
	t.Run("mysql", func(t *testing.T) { start(t, store.Options{DSN: enginetest.MySQLDSN(t)}) })
}

// wantReminders compares when a coupon's reminders are due.
func (s shop) wantReminders(t *testing.T, coupon models.ID, want ...time.Time) {
	t.Helper()
	due := make([]string, len(want))
	for i := range want {
		due[i] = strconv.FormatInt(want[i].UnixMilli(), 10)
	}
	got := must(s.Texts(t.Context(), "SELECT due_at FROM reminders WHERE coupon_id = ? ORDER BY due_at", coupon))(t)
	if diff := cmp.Diff(due, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestACouponComesWithItsReminders(t *testing.T) {
	t.Parallel()
	onBothReminded(t, func(t *testing.T, s shop, clock *handClock) {
		ids := s.coupons(t, "ann", "bob")
		for _, id := range ids {
			s.wantReminders(t, id, march(7, 0), march(9, 0)) // nine in Tokyo
		}
		clock.set(march(8, 12))
		s.wantReminders(t, s.coupons(t, "cid")[0], march(7, 15), march(9, 0)) // today, and tomorrow
		s.sound(t)
	})
}

func TestATemplateWithoutRemindersHasNone(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		s := f.shop(t, quarterOff())
		id := s.coupons(t, "ann")[0]
		s.confirmed(t, s.try(t, "x", "ann", 100, id))
		if got := must(f.Texts(t.Context(), "SELECT coupon_id FROM reminders"))(t); len(got) > 0 {
			t.Errorf("reminders of %v", got)
		}
	})
}

func TestALockedCouponHasNoReminders(t *testing.T) {
	t.Parallel()
	onBothReminded(t, func(t *testing.T, s shop, clock *handClock) {
		all := []time.Time{march(7, 0), march(9, 0)}
		ids := s.coupons(t, "ann", "ann")
		try := s.try(t, "x", "ann", 100, ids[0])
		s.locked(t, try)
		s.wantReminders(t, ids[0])
		s.wantReminders(t, ids[1], all...)

		// It is freed after the first would have been due: that one is late now.
		clock.set(march(7, 12))
		s.commitEnds(t, s.end(t, "x", models.LockExpired, s.Now()))
		s.wantReminders(t, ids[0], all...)

		// One that its user has had does not come again.
		clock.set(march(8, 12))
		if err := s.Exec(t.Context(), "DELETE FROM reminders WHERE due_at <= ?", s.Now().UnixMilli()); err != nil {
			t.Fatal(err)
		}
		s.locked(t, s.try(t, "y", "ann", 100, ids[0]))
		s.wantReminders(t, ids[0])
		s.commitEnds(t, s.end(t, "y", models.LockCancelled, s.Now()))
		s.wantReminders(t, ids[0], all[1])

		s.confirmed(t, s.try(t, "z", "ann", 100, ids[0]))
		s.wantReminders(t, ids[0])
		s.sound(t)
	})
}

func TestAReturnedCouponHasItsRemindersAgain(t *testing.T) {
	t.Parallel()
	onBothReminded(t, func(t *testing.T, s shop, clock *handClock) {
		ids := s.coupons(t, "ann", "ann", "ann")
		for i, id := range ids {
			s.order(t, strconv.Itoa(i), 100, 1, id)
		}
		give := func(xid string, at time.Time) {
			clock.set(at)
			must(s.refund(t, s.refundOf(xid, "r", 1, s.Now())))(t)
		}
		give("0", march(2, 12))
		s.wantReminders(t, ids[0], march(7, 0), march(9, 0))
		give("1", march(9, 12)) // its last day but one began in Tokyo at three in the afternoon on the 8th
		s.wantReminders(t, ids[1], march(8, 15))
		give("2", march(11, 12)) // expired; good until the end of the 16th in Tokyo now
		s.wantReminders(t, ids[2], march(13, 0), march(15, 0))
		s.sound(t)
	})
}

func TestACheckFindsWhatIsWrongWithReminders(t *testing.T) {
	t.Parallel()
	onBothReminded(t, func(t *testing.T, s shop, clock *handClock) {
		ids := s.coupons(t, "ann", "bob")
		clock.set(march(8, 12))
		do := func(statement string, args ...any) {
			if err := s.Exec(t.Context(), statement, args...); err != nil {
				t.Fatal(err)
			}
		}
		due := march(9, 0).UnixMilli()
		do("DELETE FROM reminders WHERE due_at < ?", due) // they were sent
		s.sound(t)
		do("DELETE FROM reminders WHERE due_at = ? AND coupon_id = ?", due, ids[0])
		s.broken(t, "every coupon that can be used has its reminders")
		do("INSERT INTO reminders (due_at, coupon_id) VALUES (?, ?)", due, ids[0])
		do("UPDATE coupons SET status = 'revoked' WHERE id = ?", ids[1])
		s.broken(t, "every reminder to come is of a coupon")
		do("DELETE FROM reminders WHERE coupon_id = ?", ids[1])
		s.sound(t)
	})
}

func TestARevokedCouponHasNoReminders(t *testing.T) {
	t.Parallel()
	onBothReminded(t, func(t *testing.T, s shop, _ *handClock) {
		ids := s.coupons(t, "ann", "bob")
		must(s.RevokeCoupon(t.Context(), s.op(platform()), ids[0]))(t)
		s.wantReminders(t, ids[0])
		s.wantReminders(t, ids[1], march(7, 0), march(9, 0))
		s.sound(t)
	})
}
