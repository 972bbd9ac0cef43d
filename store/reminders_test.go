package store_test

import (
	"strconv"
	"sync"
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
	t.Run("sqlite", func(t *testing.T) { start(t, store.Options{DataDir: enginetest.FilledDir(t, migrate)}) })
	t.Run("mysql", func(t *testing.T) { start(t, store.Options{DSN: enginetest.FilledDSN(t, migrate)}) })
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
		do("INSERT INTO leases (name, owner, until, token) VALUES ('job:remind', 'me', ?, 1)", due+time.Hour.Milliseconds())
		s.broken(t, "no reminder waits", 2)
		do("UPDATE leases SET until = until - 1 WHERE name = 'job:remind'")
		s.sound(t)
		do("DELETE FROM reminders WHERE due_at = ? AND coupon_id = ?", due, ids[0])
		s.broken(t, "every coupon that can be used has its reminders", 1)
		do("INSERT INTO reminders (due_at, coupon_id) VALUES (?, ?)", due, ids[0])
		do("UPDATE coupons SET status = 'revoked' WHERE id = ?", ids[1])
		s.broken(t, "every reminder to come is of a coupon", 1)
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

// remindAll sends what is due, so many rows a step, and returns how many messages that made.
func (s shop) remindAll(t *testing.T, limit int) (sent int) {
	t.Helper()
	for more := true; more; {
		var n int
		var err error
		n, more, err = s.SendReminders(t.Context(), s.Now(), limit)
		if err != nil {
			t.Fatal(err)
		}
		sent += n
	}
	return sent
}

// wantMessages compares how many messages users have.
func (s shop) wantMessages(t *testing.T, want map[string]int) {
	t.Helper()
	got := map[string]int{}
	for user := range want {
		got[user] = len(must(s.Texts(t.Context(), "SELECT id FROM messages WHERE user_id = ?", user))(t))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestManyCouponsMakeOneMessageADay(t *testing.T) {
	t.Parallel()
	onBothReminded(t, func(t *testing.T, s shop, clock *handClock) {
		s.coupons(t, "ann", "ann", "ann", "bob")
		clock.set(march(7, 0).Add(-time.Millisecond))
		if n := s.remindAll(t, 10); n != 0 {
			t.Errorf("%d too early", n)
		}
		clock.set(march(7, 0))
		if n := s.remindAll(t, 2); n != 2 {
			t.Errorf("%d messages, want 2", n)
		}
		// One that is claimed on the same day is due at once, and they know.
		clock.set(march(7, 5))
		s.coupons(t, "ann", "cid")
		s.remindAll(t, 10)
		s.wantMessages(t, map[string]int{"ann": 1, "bob": 1, "cid": 1, "dan": 0})
		clock.set(march(9, 0))
		s.remindAll(t, 3)
		s.wantMessages(t, map[string]int{"ann": 2, "bob": 2, "cid": 2, "dan": 0})
		if left := must(s.Texts(t.Context(), "SELECT coupon_id FROM reminders"))(t); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		s.sound(t)
	})
}

func TestOnlyWhoCanUseACouponIsReminded(t *testing.T) {
	t.Parallel()
	onBothReminded(t, func(t *testing.T, s shop, clock *handClock) {
		ids := s.coupons(t, "used", "locked", "revoked", "both", "both", "freed")
		s.confirmed(t, s.try(t, "1", "used", 100, ids[0]))
		s.locked(t, s.try(t, "2", "locked", 100, ids[1]))
		must(s.RevokeCoupon(t.Context(), s.op(platform()), ids[2]))(t)
		s.confirmed(t, s.try(t, "3", "both", 100, ids[3]))
		s.locked(t, s.try(t, "4", "freed", 100, ids[5]))
		clock.set(march(7, 1))
		s.remindAll(t, 10)
		s.wantMessages(t, map[string]int{"used": 0, "locked": 0, "revoked": 0, "both": 1, "freed": 0})
		s.commitEnds(t, s.end(t, "4", models.LockExpired, s.Now()))
		s.remindAll(t, 10)
		s.wantMessages(t, map[string]int{"freed": 1, "both": 1})

		// Whose coupon has expired meanwhile is not told to use it.
		clock.set(march(10, 15))
		s.remindAll(t, 10)
		s.wantMessages(t, map[string]int{"freed": 1, "both": 1})
		s.sound(t)
	})
}

func TestWhatIsLateIsToldOnce(t *testing.T) {
	t.Parallel()
	onBothReminded(t, func(t *testing.T, s shop, clock *handClock) {
		s.coupons(t, "ann", "bob")
		clock.set(march(9, 12)) // nobody was there on the 7th
		s.remindAll(t, 10)
		s.wantMessages(t, map[string]int{"ann": 1, "bob": 1})
		s.sound(t)
	})
}

// Two servers send, an order takes the coupon and gives it up: whatever comes
// first, there is one message in the end.
func TestAReminderAndALockRace_Race(t *testing.T) {
	t.Parallel()
	onBothReminded(t, func(t *testing.T, s shop, clock *handClock) {
		names := users(rounds / 4)
		ids := s.coupons(t, names...)
		clock.set(march(7, 0))
		other := s.another(t)
		want := map[string]int{}
		for i, user := range names {
			// On another day the coupon's reminder is to come still, when it is locked.
			try := s.try(t, user, user, 100, ids[i])
			try.At = march(6, 23)
			var group sync.WaitGroup
			for _, on := range []*store.Store{s.Store, other} {
				group.Go(func() {
					if _, _, err := on.SendReminders(t.Context(), s.Now(), 1); err != nil {
						t.Error(err)
					}
				})
			}
			group.Go(func() { s.locked(t, try) })
			group.Wait()
			s.commitEnds(t, s.end(t, user, models.LockCancelled, march(6, 23)))
			want[user] = 1
		}
		s.remindAll(t, 10)
		s.wantMessages(t, want)
		s.sound(t)
	})
}
