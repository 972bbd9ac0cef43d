package store_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
	"scrip/store"
)

// model is the protocol's table, a second time and as short as it can be: what
// one xid is, and what each step answers.
type model struct {
	state     models.LockState // "": nothing is known
	tombstone bool
	cancelled bool // though it had expired
}

type step string

const (
	stepTry     step = "try"
	stepConfirm step = "confirm"
	stepCancel  step = "cancel"
	stepExpire  step = "expire"
)

func allSteps() []step { return []step{stepTry, stepConfirm, stepCancel, stepExpire} }

func (m *model) take(s step) (answer string) {
	goes := func(to models.LockState) string {
		m.state = to
		return "made " + string(to)
	}
	switch {
	case s == stepTry && m.state == "":
		return goes(models.LockLocked)
	case s == stepTry && (m.state == models.LockCancelled || m.cancelled):
		return "lock_cancelled"
	case s == stepCancel && m.state == "":
		m.state, m.tombstone = models.LockCancelled, true
		return "cancelled"
	case m.state == "":
		return "not_found"
	case m.state == models.LockLocked && s == stepConfirm:
		return goes(models.LockConfirmed)
	case m.state == models.LockLocked && s == stepCancel:
		return goes(models.LockCancelled)
	case m.state == models.LockLocked && s == stepExpire:
		return goes(models.LockExpired)
	case s == stepConfirm && m.state == models.LockCancelled:
		return "lock_cancelled"
	case s == stepConfirm && m.state == models.LockExpired:
		return "lock_expired"
	case s == stepCancel && m.state == models.LockConfirmed:
		return "lock_confirmed"
	case s == stepCancel && m.state == models.LockExpired:
		m.cancelled = true
	}
	return string(m.state)
}

// coupon is what the model's lock makes of its coupon.
func (m *model) coupon() models.CouponStatus {
	switch m.state {
	case models.LockLocked:
		return models.CouponLocked
	case models.LockConfirmed:
		return models.CouponUsed
	case models.LockCancelled, models.LockExpired:
	}
	return models.CouponAvailable
}

// sequences lists every sequence of up to so many steps.
func sequences(longest int) [][]step {
	last := [][]step{{}}
	var all [][]step
	for range longest {
		var next [][]step
		for _, sequence := range last {
			for _, s := range allSteps() {
				next = append(next, append(slices.Clone(sequence), s))
			}
		}
		all, last = append(all, next...), next
	}
	return all
}

func TestEverySequenceOfStepsEndsAsTheProtocolSays(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		for _, together := range []bool{false, true} {
			play(t, f, sequences(5), together)
		}
		f.sound(t)
	})
}

// player is one sequence on its way, with an xid and a coupon of its own.
type player struct {
	xid, user string
	coupon    models.ID
	steps     []step
	now       time.Time
	model     model
	want      []string
}

// play takes all sequences side by side, so that the steps of many share their
// transactions. With together, neighbouring steps of one sequence that fit into
// one batch are in one as well.
func play(t *testing.T, f fixture, all [][]step, together bool) {
	t.Helper()
	count, amount := f.budget(t, quota(1_000_000)), f.budget(t, money(1_000_000))
	s := f.shop(t, allOff(), count.ID, amount.ID)
	names := users(len(all))
	coupons := s.coupons(t, names...)
	players := make([]*player, len(all))
	for i, steps := range all {
		players[i] = &player{
			xid: fmt.Sprintf("%s-%v-%d", names[i], together, i), user: names[i], coupon: coupons[i], steps: steps, now: s.Now(),
		}
	}
	for running := true; running; {
		running = false
		var tries []models.Try
		var ends []models.LockEnd
		var trying, ending []*player
		for _, p := range players {
			n := p.batch(together)
			for _, one := range p.steps[:n] {
				running = true
				p.want = append(p.want, p.model.take(one))
				if one == stepTry {
					try := s.try(t, p.xid, p.user, 7, p.coupon)
					try.At = p.now
					tries, trying = append(tries, try), append(trying, p)
				} else {
					ends, ending = append(ends, p.end(t, s, one)), append(ending, p)
				}
			}
			p.steps = p.steps[n:]
		}
		compare(t, trying, s.commitTries(t, tries...))
		compare(t, ending, s.commitEnds(t, ends...))
	}
	var used, held int64
	for _, p := range players {
		s.wantCoupon(t, p.coupon, p.model.coupon())
		got, err := s.LockByXID(t.Context(), p.xid)
		if got.State != p.model.state || (got.Frozen == nil) != (p.model.tombstone || p.model.state == "") {
			t.Errorf("%s is %+v (%v), want %+v", p.xid, got, err, p.model)
		}
		switch p.model.state {
		case models.LockLocked:
			held++
		case models.LockConfirmed:
			used++
		case models.LockCancelled, models.LockExpired:
		}
	}
	s.wantCounters(t, count.ID, s.Now(), used, held)
	s.wantCounters(t, amount.ID, s.Now(), 7*used, 7*held)
}

// batch is how many of the next steps go into one transaction: of a Try and an
// end each has its own kind.
func (p *player) batch(together bool) int {
	if !together || len(p.steps) == 0 {
		return min(1, len(p.steps))
	}
	n := 1
	for n < len(p.steps) && (p.steps[n] == stepTry) == (p.steps[0] == stepTry) {
		n++
	}
	return n
}

func (p *player) end(t *testing.T, s shop, one step) models.LockEnd {
	t.Helper()
	switch one {
	case stepConfirm:
		return s.end(t, p.xid, models.LockConfirmed, p.now)
	case stepCancel:
		return s.end(t, p.xid, models.LockCancelled, p.now)
	case stepExpire, stepTry:
	}
	p.now = p.now.Add(ttl)
	return s.end(t, p.xid, models.LockExpired, p.now)
}

func compare(t *testing.T, players []*player, verdicts []models.LockVerdict) {
	t.Helper()
	for i, p := range players {
		if got := told(verdicts[i]); got != p.want[0] {
			t.Errorf("%s: told %q, want %q", p.xid, got, p.want[0])
		}
		p.want = p.want[1:]
	}
}

func TestRacedStepsHaveOneWinner_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		s := f.shop(t, allOff(), f.budget(t, quota(1_000_000)).ID, f.budget(t, money(1_000_000)).ID)
		servers := []*store.Store{f.Store, f.another(t)}
		for i, first := range allSteps() {
			for _, second := range allSteps()[i:] {
				race(t, s, servers, first, second)
			}
		}
		f.sound(t)
	})
}

// race takes two steps of one xid at once, many times. What both are told, and
// how the lock ends, must be so in one of the two orders.
func race(t *testing.T, s shop, servers []*store.Store, first, second step) {
	t.Helper()
	names := users(rounds)
	coupons := s.coupons(t, names...)
	tries := make([]models.Try, rounds)
	var before model
	for i, user := range names {
		tries[i] = s.try(t, fmt.Sprintf("%s-%s-%d", first, second, i), user, 3, coupons[i])
	}
	if first != stepTry && second != stepTry {
		s.commitTries(t, tries...)
		before.take(stepTry)
	}
	want := map[string]bool{}
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		after, answers := before, [2]string{}
		for _, n := range order {
			answers[n] = after.take([]step{first, second}[n])
		}
		want[fmt.Sprint(answers, after.state)] = true
	}
	for i := range rounds {
		var answers [2]string
		var group sync.WaitGroup
		for n, one := range []step{first, second} {
			group.Go(func() { answers[n] = s.takeOn(t, servers[n], one, tries[i]) })
		}
		group.Wait()
		lock, err := s.LockByXID(t.Context(), tries[i].XID)
		if got := fmt.Sprint(answers, lock.State); !want[got] {
			t.Fatalf("%s against %s: %s (%v); in turn it is one of %v", first, second, got, err, want)
		}
	}
}

// takeOn takes one step on a server. An expiry comes at the lock's last moment,
// all else at its first.
func (s shop) takeOn(t *testing.T, on *store.Store, one step, try models.Try) string {
	t.Helper()
	var verdicts []models.LockVerdict
	var err error
	switch one {
	case stepTry:
		verdicts, err = on.CommitTries(t.Context(), []models.Try{try}, s.decide)
	case stepConfirm:
		verdicts, err = on.CommitEnds(t.Context(), []models.LockEnd{s.end(t, try.XID, models.LockConfirmed, try.At)})
	case stepCancel:
		verdicts, err = on.CommitEnds(t.Context(), []models.LockEnd{s.end(t, try.XID, models.LockCancelled, try.At)})
	case stepExpire:
		verdicts, err = on.CommitEnds(t.Context(), []models.LockEnd{s.end(t, try.XID, models.LockExpired, try.At.Add(ttl))})
	}
	if err != nil {
		t.Error(err)
		return err.Error()
	}
	return told(verdicts[0])
}

func TestTheSameStepFiftyTimesAtOnceHasOneEffect_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		b := f.budget(t, quota(10))
		s := f.shop(t, allOff(), b.ID)
		ids := s.coupons(t, "ann", "bob")
		try := s.try(t, "x", "ann", 5, ids[0])
		for _, c := range []struct {
			step step
			try  models.Try
			made string
			then string
			held int64
		}{
			{stepTry, try, "made locked", "locked", 1},
			{stepConfirm, try, "made confirmed", "confirmed", 0},
			{stepCancel, s.try(t, "y", "bob", 5, ids[1]), "made cancelled", "cancelled", 0},
			{stepCancel, s.try(t, "unknown", "bob", 5, ids[1]), "none", "cancelled", 0},
		} {
			if c.try.XID == "y" {
				s.locked(t, c.try)
			}
			answers := make([]string, 50)
			var group sync.WaitGroup
			for i := range answers {
				group.Go(func() {
					own := c.try
					own.ID = must(s.NextID())(t)
					answers[i] = s.takeOn(t, s.Store, c.step, own)
				})
			}
			group.Wait()
			tally := map[string]int{}
			for _, answer := range answers {
				tally[answer]++
			}
			want := map[string]int{c.made: 1, c.then: 49}
			if c.made == "none" {
				want = map[string]int{c.then: 50}
			}
			if diff := cmp.Diff(want, tally); diff != "" {
				t.Errorf("%s of %s: %s", c.step, c.try.XID, diff)
			}
			if got := must(s.Budget(t.Context(), platform(), b.ID, s.Now()))(t); got.Held != c.held {
				t.Errorf("%s of %s: %d held", c.step, c.try.XID, got.Held)
			}
		}
		s.wantCounters(t, b.ID, s.Now(), 1, 0)
		f.sound(t)
	})
}

func TestARefusedTryLeavesNothing_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		b := f.budget(t, money(100))
		s := f.shop(t, allOff(), b.ID)
		id := s.coupons(t, "ann")[0]
		dear := s.try(t, "x", "ann", 101, id)
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				own := dear
				own.ID = must(s.NextID())(t)
				if got := s.takeOn(t, s.Store, stepTry, own); got != string(models.CodeBudgetExhausted) {
					t.Errorf("told %q", got)
				}
			})
		}
		group.Wait()
		_, err := s.LockByXID(t.Context(), "x")
		wantCode(t, err, models.CodeNotFound)
		s.wantCounters(t, b.ID, s.Now(), 0, 0)

		// The xid is free: of two in one batch, the one that fits takes it.
		fits := s.try(t, "x", "ann", 100, id)
		fits.Hash, fits.OrderID, fits.TTL = sha256.Sum256([]byte("other")), "other order", time.Hour
		fits.At = fits.At.Add(time.Second)
		late := s.try(t, "x", "ann", 1, id)
		got := s.commitTries(t, dear, fits, late, fits)
		for i, want := range []string{"budget_exhausted", "made locked", "xid_reused", "locked"} {
			if told(got[i]) != want {
				t.Errorf("try %d: told %q, want %q", i, told(got[i]), want)
			}
		}
		stored := must(s.LockByXID(t.Context(), "x"))(t)
		if diff := cmp.Diff(*got[1].Lock, stored); diff != "" {
			t.Errorf("what was answered is not what is stored: %s", diff)
		}
		if stored.OrderID != "other order" || !stored.ExpiresAt.Equal(fits.At.Add(time.Hour)) {
			t.Errorf("got %+v", stored)
		}
		f.sound(t)
	})
}

func TestALockIsReadAsItWasMade(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		s := f.shop(t, quarterOff())
		ids := s.coupons(t, "ann", "ann")
		code := must(s.Coupon(t.Context(), platform(), ids[1]))(t).Code
		try := s.try(t, "x", "ann", 1999, ids[0])
		made := s.locked(t, try)
		if diff := cmp.Diff(*made, must(s.LockByXID(t.Context(), "x"))(t)); diff != "" {
			t.Error(diff)
		}
		if made.Frozen.Quote.Discount != 500 || made.OrderID != try.OrderID || made.UserID != "ann" || !made.ExpiresAt.Equal(try.At.Add(ttl)) {
			t.Errorf("got %+v", made)
		}
		coupon := s.wantCoupon(t, ids[0], models.CouponLocked)
		if *coupon.LockID != made.ID || coupon.OrderID != try.OrderID {
			t.Errorf("got %+v", coupon)
		}
		byCode := s.try(t, "y", "ann", 1999)
		byCode.Codes = []string{code}
		if got := s.locked(t, byCode); got.Frozen.Coupons[0].CouponID != ids[1] {
			t.Errorf("got %+v", got)
		}
		bare := s.locked(t, s.try(t, "z", "ann", 1999))
		if bare.Frozen.Quote.Total != 1999 || len(bare.Frozen.Coupons) != 0 {
			t.Errorf("got %+v", bare)
		}
		at := try.At.Add(time.Second)
		s.commitEnds(t, s.end(t, "x", models.LockConfirmed, at), s.end(t, "y", models.LockCancelled, at), s.end(t, "z", models.LockConfirmed, at))
		if used := s.wantCoupon(t, ids[0], models.CouponUsed); !used.UsedAt.Equal(at) || used.OrderID != try.OrderID {
			t.Errorf("got %+v", used)
		}
		s.wantCoupon(t, ids[1], models.CouponAvailable)
		s.wantSteps(t, ids[0], "lock", "confirm")
		s.wantSteps(t, ids[1], "lock", "cancel")
		f.sound(t)
	})
}

func TestOnlyOnesOwnAvailableCouponsCanBeLocked(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		s := f.shop(t, allOff())
		ids := s.coupons(t, "ann", "bob", "bob", "bob")
		must(s.RevokeCoupon(t.Context(), s.op(platform()), ids[1]))(t)
		code := must(s.Coupon(t.Context(), platform(), ids[2]))(t).Code
		stolen := s.try(t, "stolen code", "ann", 5)
		stolen.Codes = []string{code}
		got := s.commitTries(t,
			s.try(t, "stolen", "ann", 5, ids[2]), stolen, s.try(t, "revoked", "bob", 5, ids[1]), s.try(t, "unknown", "bob", 5, 12345),
			s.try(t, "first", "bob", 5, ids[2]), s.try(t, "second", "bob", 5, ids[2]), s.try(t, "both", "bob", 5, ids[2], ids[3]))
		for i, want := range []string{
			"coupon_not_available", "coupon_not_available", "coupon_not_available", "coupon_not_available",
			"made locked", "coupon_not_available", "coupon_not_available",
		} {
			if told(got[i]) != want {
				t.Errorf("try %d: told %q, want %q", i, told(got[i]), want)
			}
		}
		s.wantCoupon(t, ids[3], models.CouponAvailable)
		_, err := s.RevokeCoupon(t.Context(), s.op(platform()), ids[2])
		wantCode(t, err, models.CodeWrongState)
		f.sound(t)
	})
}

// A decide that is wrong, or out of date, cannot make the store take what is not
// there.
func TestTheStoreTakesNobodysWord(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		b := f.budget(t, money(10))
		s := f.shop(t, allOff(), b.ID)
		ids := s.coupons(t, "ann", "bob")
		quote := func(coupons ...models.ID) store.Decide {
			return func(*models.Try, []models.WalletCoupon) (*models.Frozen, *models.Error) {
				frozen := &models.Frozen{}
				for _, id := range coupons {
					frozen.Quote.Applied = append(frozen.Quote.Applied, models.AppliedCoupon{CouponID: id, Discount: 11})
				}
				return frozen, nil
			}
		}
		for name, c := range map[string]struct {
			decide store.Decide
			want   models.Code
		}{
			"another's coupon":        {quote(ids[1]), models.CodeCouponNotAvailable},
			"one coupon twice":        {quote(ids[0], ids[0]), models.CodeCouponNotAvailable},
			"more than there is left": {quote(ids[0]), models.CodeBudgetExhausted},
		} {
			s.decide = c.decide
			if got := s.commitTries(t, s.try(t, name, "ann", 11, ids[0]))[0]; told(got) != string(c.want) {
				t.Errorf("%s: told %q", name, told(got))
			}
		}
		f.sound(t)
	})
}

// Where the second budget of a coupon has too little left, the first one keeps
// what it had.
func TestAHoldIsOnAllBudgetsOrOnNone(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		count, amount := f.budget(t, quota(100)), f.budget(t, money(10))
		s := f.shop(t, allOff(), count.ID, amount.ID)
		ids := s.coupons(t, "ann", "bob")
		honest := s.decide
		s.decide = func(try *models.Try, coupons []models.WalletCoupon) (*models.Frozen, *models.Error) {
			for i := range coupons {
				coupons[i].Budgets = nil // it does not look
			}
			frozen, refusal := honest(try, coupons)
			for i := range frozen.Coupons {
				frozen.Coupons[i].Budgets = []models.BudgetRef{{ID: count.ID, Kind: count.Kind}, {ID: amount.ID, Kind: amount.Kind}}
			}
			return frozen, refusal
		}
		got := s.commitTries(t, s.try(t, "x", "ann", 11, ids[0]), s.try(t, "y", "bob", 10, ids[1]))
		if told(got[0]) != "budget_exhausted" || told(got[1]) != "made locked" {
			t.Errorf("told %q and %q", told(got[0]), told(got[1]))
		}
		s.wantCounters(t, count.ID, s.Now(), 0, 1)
		s.wantCounters(t, amount.ID, s.Now(), 0, 10)
		f.sound(t)
	})
}

func TestTheEndOfALockIsExactToTheMillisecond(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		s := f.shop(t, allOff())
		ids := s.coupons(t, users(3)...)
		for i, c := range []struct {
			at   time.Duration
			to   models.LockState
			want string
			then models.LockState
		}{
			{ttl - time.Millisecond, models.LockConfirmed, "made confirmed", models.LockConfirmed},
			{ttl, models.LockConfirmed, "lock_expired", models.LockExpired},
			{ttl - time.Millisecond, models.LockExpired, "locked", models.LockLocked},
		} {
			try := s.try(t, fmt.Sprint("x", i), users(3)[i], 5, ids[i])
			s.locked(t, try)
			overdue := must(s.OverdueLocks(t.Context(), try.At.Add(c.at), 10))(t)
			if slices.Contains(overdue, try.XID) != (c.at == ttl) {
				t.Errorf("%d: overdue are %v", i, overdue)
			}
			got := s.commitEnds(t, s.end(t, try.XID, c.to, try.At.Add(c.at)))[0]
			if lock := must(s.LockByXID(t.Context(), try.XID))(t); told(got) != c.want || lock.State != c.then {
				t.Errorf("%d: told %q, and it is %s", i, told(got), lock.State)
			}
		}
		s.wantSteps(t, ids[1], "lock", "expire")
		f.sound(t)
	})
}

func TestConfirmLooksAtNothingThatCouldHaveChanged(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		b := f.budget(t, quota(2))
		s := f.shop(t, allOff(), b.ID)
		id := s.coupons(t, "ann")[0]
		try := s.try(t, "x", "ann", 5, id)
		try.TTL = models.MaxLockTTL
		s.locked(t, try)
		must(s.EditBudget(t.Context(), s.op(platform()), b.ID, 1, func(b *models.Budget) error {
			b.Total, b.PerUserTotal = 1, new(int64(1))
			return nil
		}))(t)
		must(s.MoveTemplate(t.Context(), s.op(platform()), s.template.ID, models.ActionEnd))(t)
		coupon := must(s.Coupon(t.Context(), platform(), id))(t)
		if err := s.Exec(t.Context(), "UPDATE coupons SET expires_at = valid_from + 1 WHERE id = ?", coupon.ID); err != nil {
			t.Fatal(err)
		}
		if got := s.commitEnds(t, s.end(t, "x", models.LockConfirmed, try.At.Add(day)))[0]; told(got) != "made confirmed" {
			t.Errorf("told %q", told(got))
		}
		s.wantCounters(t, b.ID, try.At, 1, 0)
		f.sound(t)
	})
}

func TestBatchesInOppositeOrdersAllSucceed_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		one, two := f.budget(t, quota(10_000)), f.budget(t, money(10_000))
		a, b := f.shop(t, allOff(), one.ID, two.ID), f.shop(t, allOff(), two.ID, one.ID)
		names := users(60)
		ids, others := a.coupons(t, names...), b.coupons(t, names...)
		var group sync.WaitGroup
		for i := 0; i < len(names); i += 4 {
			var batch []models.Try
			var confirms, cancels []models.LockEnd
			for n := i; n < i+4; n++ {
				xid := fmt.Sprint("x", n)
				batch = append(batch, a.try(t, xid+"a", names[n], 1, ids[n]), b.try(t, xid+"b", names[n], 1, others[n]))
				confirms = append(confirms, a.end(t, xid+"a", models.LockConfirmed, a.Now()))
				cancels = append(cancels, a.end(t, xid+"b", models.LockCancelled, a.Now()))
			}
			rand.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
			group.Go(func() {
				if _, err := a.CommitTries(t.Context(), batch, a.decide); err != nil {
					t.Error(err)
				}
				slices.Reverse(confirms)
				if _, err := a.CommitEnds(t.Context(), append(confirms, cancels...)); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		a.wantCounters(t, one.ID, a.Now(), 60, 0)
		a.wantCounters(t, two.ID, a.Now(), 60, 0)
		f.sound(t)
	})
}
