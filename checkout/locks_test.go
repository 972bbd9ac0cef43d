package checkout_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/jobs"
	"scrip/models"
)

// TestLockFreezesTheQuote: what is locked is what was quoted a moment before,
// to the last unit, whatever the cart and the coupons.
func TestLockFreezesTheQuote(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		budget := w.budget(t, models.BudgetSpec{Kind: models.BudgetAmount, Currency: "USD", Total: 1_000_000})
		percent := models.Rule{
			Kind: models.KindPercentOff, Effect: models.Effect{PercentOffBP: new(int64(1250))}, Stacking: models.DefaultStacking(),
		}
		third := models.Rule{
			Kind: models.KindBuyXGetY, Stacking: models.DefaultStacking(),
			Effect: models.Effect{BuyQuantity: new(int64(2)), GetQuantity: new(int64(1)), PercentOffBP: new(int64(models.MaxBP))},
		}
		templates := []models.Template{
			w.template(t, models.Rule{}, budget.ID), w.template(t, percent, budget.ID), w.template(t, third),
		}
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 20 {
			one := try(fmt.Sprint("x", i))
			one.Cart.Lines = nil
			for line := range 1 + random.IntN(4) {
				one.Cart.Lines = append(one.Cart.Lines, models.CartLine{
					LineID: strconv.Itoa(line), SKU: "tea", Quantity: 1 + random.Int64N(4), UnitPrice: 1000 + random.Int64N(2000),
				})
			}
			one.Cart.Shipping = random.Int64N(500)
			one.Cart.Lines[0].Quantity += 2 // enough for every rule
			for _, template := range templates {
				coupon := w.issue(t, template, "u")[0]
				if random.IntN(2) == 0 {
					one.CouponIDs = append(one.CouponIDs, coupon.ID)
				} else {
					one.Codes = append(one.Codes, coupon.Code)
				}
			}
			quote := must(w.checkout.Quote(t.Context(), one.Cart, nil, one.CouponIDs, one.Codes))(t)
			if len(quote.Applied) != len(templates) {
				t.Fatalf("rejected: %+v", quote.Rejected)
			}
			made := must(w.checkout.Lock(t.Context(), one))(t)
			if !made.Made {
				t.Fatal("not made")
			}
			if diff := cmp.Diff(quote, made.Lock.Frozen.Quote); diff != "" {
				t.Fatalf("quote (-) and lock (+) differ:\n%s", diff)
			}
			read := must(w.checkout.Get(t.Context(), one.XID))(t)
			if diff := cmp.Diff(*made.Lock, read); diff != "" {
				t.Fatalf("answer (-) and row (+) differ:\n%s", diff)
			}
		}
		w.sound(t)
	})
}

// TestSameTryManyTimes at once: one lock, equal answers, one of them the first.
// So with confirms, cancels and refunds.
func TestSameTryManyTimes(t *testing.T) {
	t.Parallel()
	const many = 50
	onBoth(t, func(t *testing.T, w world) {
		budget := w.budget(t, models.BudgetSpec{Kind: models.BudgetAmount, Currency: "USD", Total: 100})
		coupon := w.issue(t, w.template(t, models.Rule{}, budget.ID), "u")[0]
		type answer struct {
			verdict models.LockVerdict
			err     error
		}
		made, first := 0, models.ID(0)
		for _, got := range together(many, func(int) answer {
			verdict, err := w.checkout.Lock(t.Context(), try("x", coupon))
			return answer{verdict, err}
		}) {
			if got.err != nil {
				t.Fatal(got.err)
			}
			if got.verdict.Made {
				made++
			}
			if first == 0 {
				first = got.verdict.Lock.ID
			}
			if got.verdict.Lock.ID != first || got.verdict.Lock.State != models.LockLocked || got.verdict.Lock.Frozen.Quote.Total != 9900 {
				t.Errorf("got %+v", got.verdict.Lock)
			}
		}
		if made != 1 {
			t.Errorf("%d were the first", made)
		}
		w.counts(t, budget, 0, 100)

		for _, got := range together(many, func(int) string {
			lock, err := w.checkout.Confirm(t.Context(), "x", "key:1")
			return told(&lock, err)
		}) {
			if got != string(models.LockConfirmed) {
				t.Errorf("confirm: %s", got)
			}
		}
		w.counts(t, budget, 100, 0)

		for _, got := range together(many, func(int) int64 {
			refund, err := w.checkout.Refund(t.Context(), models.RefundRequest{
				XID: "x", RefundID: "r", Lines: []models.RefundLine{{LineID: "1", Quantity: 10}}, Actor: "key:1",
			}, false)
			if err != nil {
				t.Error(err)
			}
			return refund.Amount
		}) {
			if got != 9900 {
				t.Errorf("refunded %d", got)
			}
		}
		w.counts(t, budget, 0, 0)
		w.holds(t, coupon, models.CouponAvailable)

		must(w.checkout.Lock(t.Context(), try("y", coupon)))(t)
		for _, got := range together(many, func(int) string {
			lock, err := w.checkout.Cancel(t.Context(), "y", "key:1")
			return told(&lock, err)
		}) {
			if got != string(models.LockCancelled) {
				t.Errorf("cancel: %s", got)
			}
		}
		w.holds(t, coupon, models.CouponAvailable)
		w.sound(t)
	})
}

// TestConfirmAsksNothing: within the lock's end it works, whatever became of
// the template, the budget, or the coupon's own time since.
func TestConfirmAsksNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		spec := models.BudgetSpec{Kind: models.BudgetAmount, Currency: "USD", Total: 1000}
		budget := w.budget(t, spec)
		template := w.template(t, models.Rule{}, budget.ID)
		coupons := w.issue(t, template, "u", "u")
		must(w.checkout.Lock(t.Context(), try("before", coupons[0])))(t)
		for _, action := range []models.TemplateAction{models.ActionPause, models.ActionEnd} {
			must(w.MoveTemplate(t.Context(), w.op(), template.ID, action))(t)
		}
		must(w.EditBudget(t.Context(), w.op(), budget.ID, budget.Version, func(b *models.Budget) error {
			b.Total = 100 // what is held, and nothing beside
			return nil
		}))(t)
		_, err := w.checkout.Lock(t.Context(), try("after", coupons[1]))
		wantCode(t, err, models.CodeBudgetExhausted)
		lock := must(w.checkout.Confirm(t.Context(), "before", "key:1"))(t)
		if lock.State != models.LockConfirmed {
			t.Errorf("the lock is %s", lock.State)
		}
		w.holds(t, coupons[0], models.CouponUsed)
		w.holds(t, coupons[1], models.CouponAvailable)
		w.counts(t, budget, 100, 0)
		w.sound(t)
	})
}

// TestExpireJob frees what is past its end, after the grace, and what a confirm
// was too late for; a confirm that came in time has won.
func TestExpireJob(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		const ttl, grace = 10 * time.Second, 2 * time.Second
		job := jobs.Expire{Store: w.Store, Now: w.Now, Grace: grace}
		step := func(want int) {
			t.Helper()
			if n, more, err := job.Step(t.Context()); n != want || more || err != nil {
				t.Errorf("expired %d, %v, %v; want %d", n, more, err, want)
			}
		}
		budget := w.budget(t, models.BudgetSpec{Kind: models.BudgetCount, Total: 3})
		coupons := w.issue(t, w.template(t, models.Rule{}, budget.ID), "u", "u", "u")
		for i, coupon := range coupons {
			one := try(fmt.Sprint("x", i), coupon)
			one.TTL = ttl
			must(w.checkout.Lock(t.Context(), one))(t)
		}
		w.pass(ttl - time.Millisecond)
		step(0)
		must(w.checkout.Confirm(t.Context(), "x0", "key:1"))(t) // the last moment
		w.pass(time.Millisecond)
		_, err := w.checkout.Confirm(t.Context(), "x1", "key:1") // too late, job or not
		wantCode(t, err, models.CodeLockExpired)
		w.holds(t, coupons[1], models.CouponAvailable)
		w.pass(grace - time.Millisecond)
		step(0)
		w.holds(t, coupons[2], models.CouponLocked)
		w.pass(time.Millisecond)
		step(1)
		step(0)
		w.holds(t, coupons[2], models.CouponAvailable)
		w.counts(t, budget, 1, 0)
		_, err = w.checkout.Confirm(t.Context(), "x2", "key:1")
		wantCode(t, err, models.CodeLockExpired)
		if lock := must(w.checkout.Cancel(t.Context(), "x2", "key:1"))(t); lock.State != models.LockExpired && lock.State != models.LockCancelled {
			t.Errorf("after the cancel the lock is %s", lock.State)
		}
		must(w.checkout.Lock(t.Context(), try("again", coupons[2])))(t)
		w.sound(t)
	})
}

// TestExpireJobGoesInSteps, of so many locks each, until nothing is overdue.
func TestExpireJobGoesInSteps(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		const many = 450
		job := jobs.Expire{Store: w.Store, Now: w.Now}
		for _, err := range together(many, func(i int) error {
			one := try(fmt.Sprint("x", i))
			one.TTL = time.Second
			_, err := w.checkout.Lock(t.Context(), one)
			return err
		}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		w.pass(time.Second)
		total, steps := 0, 0
		for more := true; more; steps++ {
			var n int
			var err error
			if n, more, err = job.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			total += n
		}
		if total != many || steps != 3 {
			t.Errorf("%d locks in %d steps", total, steps)
		}
		w.sound(t)
	})
}

// step is one call of the protocol, told in a word.
type step func(ctx context.Context, w world, coupon models.Coupon) string

func steps() map[string]step {
	return map[string]step{
		"try": func(ctx context.Context, w world, coupon models.Coupon) string {
			one := try(coupon.ID.String(), coupon)
			one.TTL = sequenceTTL // of a clock that stands still otherwise
			verdict, err := w.checkout.Lock(ctx, one)
			return told(verdict.Lock, err)
		},
		"confirm": func(ctx context.Context, w world, coupon models.Coupon) string {
			lock, err := w.checkout.Confirm(ctx, coupon.ID.String(), "key:1")
			return told(&lock, err)
		},
		"cancel": func(ctx context.Context, w world, coupon models.Coupon) string {
			lock, err := w.checkout.Cancel(ctx, coupon.ID.String(), "key:1")
			return told(&lock, err)
		},
	}
}

// TestPairsAtOnce: two steps of one lock at the same time end as one after the
// other would, in either order, and both are told so.
func TestPairsAtOnce(t *testing.T) {
	t.Parallel()
	const rounds = 40
	// What the two may be told, and what is then true of lock and coupon.
	tests := map[string]map[string]models.CouponStatus{
		"try+try":         {"locked locked": models.CouponLocked},
		"try+cancel":      {"locked cancelled": models.CouponAvailable, "lock_cancelled cancelled": models.CouponAvailable},
		"confirm+try":     {"confirmed locked": models.CouponUsed, "not_found locked": models.CouponLocked},
		"cancel+confirm":  {"cancelled not_found": models.CouponAvailable, "cancelled lock_cancelled": models.CouponAvailable},
		"confirm+confirm": {"not_found not_found": models.CouponAvailable},
		"cancel+cancel":   {"cancelled cancelled": models.CouponAvailable},

		"try, try+try":         {"locked locked": models.CouponLocked},
		"try, try+cancel":      {"locked cancelled": models.CouponAvailable, "lock_cancelled cancelled": models.CouponAvailable},
		"try, confirm+try":     {"confirmed locked": models.CouponUsed, "confirmed confirmed": models.CouponUsed},
		"try, cancel+confirm":  {"cancelled lock_cancelled": models.CouponAvailable, "lock_confirmed confirmed": models.CouponUsed},
		"try, confirm+confirm": {"confirmed confirmed": models.CouponUsed},
		"try, cancel+cancel":   {"cancelled cancelled": models.CouponAvailable},
	}
	onBoth(t, func(t *testing.T, w world) {
		budget := w.budget(t, models.BudgetSpec{Kind: models.BudgetCount, Total: 1_000_000})
		template := w.template(t, models.Rule{}, budget.ID)
		used, held := int64(0), int64(0)
		for name, allowed := range tests {
			pair, tried := strings.CutPrefix(name, "try, ")
			for _, coupon := range w.issue(t, template, sameUser(rounds)...) {
				if tried {
					steps()["try"](t.Context(), w, coupon)
				}
				story := atOnce(t.Context(), w, coupon, pair)
				status, known := allowed[story]
				if !known {
					t.Fatalf("%s: told %q", name, story)
				}
				w.holds(t, coupon, status)
				switch status {
				case models.CouponUsed:
					used++
				case models.CouponLocked:
					held++
				case models.CouponAvailable, models.CouponExpired, models.CouponRevoked:
				}
			}
		}
		w.counts(t, budget, used, held)
		w.sound(t)
	})
}

// sameUser names user u so many times.
func sameUser(n int) []string { return slices.Repeat([]string{"u"}, n) }

// atOnce takes the two steps of a pair at the same time, and returns what each
// was told.
func atOnce(ctx context.Context, w world, coupon models.Coupon, pair string) string {
	names := strings.Split(pair, "+")
	stories := together(2, func(i int) string { return steps()[names[i]](ctx, w, coupon) })
	return stories[0] + " " + stories[1]
}

// TestExpiryRacesConfirm: in the very moment of the lock's end one of them wins,
// and the coupon is used exactly if the confirm was told so.
func TestExpiryRacesConfirm(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		job := jobs.Expire{Store: w.Store, Now: w.Now}
		coupons := w.issue(t, w.template(t, models.Rule{}), sameUser(40)...)
		for i, coupon := range coupons {
			one := try(coupon.ID.String(), coupon)
			one.TTL = 10 * time.Millisecond
			must(w.checkout.Lock(t.Context(), one))(t)
			// The confirm comes just before the end, or with it.
			w.pass(one.TTL - time.Duration(i%2)*time.Millisecond)
			stories := together(2, func(which int) string {
				if which == 0 {
					return steps()["confirm"](t.Context(), w, coupon)
				}
				w.pass(time.Millisecond)
				if _, _, err := job.Step(t.Context()); err != nil {
					return err.Error()
				}
				return ""
			})
			switch stories[0] + stories[1] {
			case string(models.LockConfirmed):
				w.holds(t, coupon, models.CouponUsed)
			case string(models.CodeLockExpired):
				w.holds(t, coupon, models.CouponAvailable)
			default:
				t.Fatal(stories)
			}
		}
		w.sound(t)
	})
}

// TestHotBudgetNeverOverruns: of many orders at once exactly those are locked
// that the budget has room for.
func TestHotBudgetNeverOverruns(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		const many, room = 200, 10
		budget := w.budget(t, models.BudgetSpec{Kind: models.BudgetCount, Total: room})
		coupons := w.issue(t, w.template(t, models.Rule{}, budget.ID), sameUser(many)...)
		told := together(many, func(i int) string {
			return steps()["try"](t.Context(), w, coupons[i])
		})
		count := map[string]int{}
		for _, story := range told {
			count[story]++
		}
		want := map[string]int{string(models.LockLocked): room, string(models.CodeBudgetExhausted): many - room}
		if diff := cmp.Diff(want, count); diff != "" {
			t.Error(diff)
		}
		w.counts(t, budget, 0, room)
		w.sound(t)
	})
}

// TestBatchEnds: each for itself, in order, an xid named twice included.
func TestBatchEnds(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		coupons := w.issue(t, w.template(t, models.Rule{}), "u", "u")
		must(w.checkout.Lock(t.Context(), try("a", coupons[0])))(t)
		must(w.checkout.Lock(t.Context(), try("b", coupons[1])))(t)
		must(w.checkout.Cancel(t.Context(), "b", "key:1"))(t)
		story := func(verdicts []models.LockVerdict) (all []string) {
			for _, v := range verdicts {
				if v.Refused != nil {
					all = append(all, string(v.Refused.Code))
				} else {
					all = append(all, string(v.Lock.State))
				}
			}
			return all
		}
		got := story(must(w.checkout.ConfirmAll(t.Context(), []string{"b", "a", "none", "a"}, "key:1"))(t))
		if diff := cmp.Diff([]string{"lock_cancelled", "confirmed", "not_found", "confirmed"}, got); diff != "" {
			t.Error(diff)
		}
		got = story(must(w.checkout.CancelAll(t.Context(), []string{"b", "a", "none", "none"}, "key:1"))(t))
		if diff := cmp.Diff([]string{"cancelled", "lock_confirmed", "cancelled", "cancelled"}, got); diff != "" {
			t.Error(diff)
		}
		_, err := w.checkout.Lock(t.Context(), try("none"))
		wantCode(t, err, models.CodeLockCancelled)
		w.sound(t)
	})
}
