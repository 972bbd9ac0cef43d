package checkout_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"scrip/checkout"
	"scrip/discount"
	"scrip/enginetest"
	"scrip/models"
	"scrip/store"
)

func TestMain(m *testing.M) {
	code := enginetest.Main(m).Run()
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener")); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// world is a service upon a real store, and a clock that the test moves.
type world struct {
	*store.Store
	checkout *checkout.Service
	ahead    *atomic.Int64 // of noon, in nanoseconds
}

// migrate makes the tables once, for all tests to copy.
func migrate(ctx context.Context, dsn, dir string) error {
	_, err := store.Migrate(ctx, store.Options{DSN: dsn, DataDir: dir, MaxOpenConns: 4})
	return err
}

// onBoth runs a test on the embedded default and on MariaDB.
func onBoth(t *testing.T, test func(t *testing.T, w world)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, newWorld(t, store.Options{DataDir: enginetest.FilledDir(t, migrate), MaxOpenConns: 8}, config()))
	})
	t.Run("mysql", func(t *testing.T) {
		t.Parallel()
		test(t, newWorld(t, store.Options{DSN: enginetest.FilledDSN(t, migrate), MaxOpenConns: 8}, config()))
	})
}

func newWorld(tb testing.TB, opts store.Options, cfg checkout.Config) world {
	tb.Helper()
	ahead := new(atomic.Int64)
	opts.Clock = func() time.Time { return noon().Add(time.Duration(ahead.Load())) }
	st, err := store.Open(tb.Context(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	s := checkout.New(cfg, st, discount.New(10), slog.New(slog.DiscardHandler))
	tb.Cleanup(func() {
		s.Close()
		if err := st.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return world{Store: st, checkout: s, ahead: ahead}
}

// pass lets so much time go by: in all less than the lease on a worker number
// lasts, which nobody renews by this clock.
func (w world) pass(d time.Duration) { w.ahead.Add(int64(d)) }

func (w world) op() models.Op {
	return models.Op{Actor: models.Principal{Role: models.RolePlatform, Credential: "key:1"}, At: w.Now()}
}

func (w world) budget(tb testing.TB, spec models.BudgetSpec) models.Budget {
	tb.Helper()
	spec.Name, spec.IsLimited = "b", true
	spec.Normalize()
	return must(w.CreateBudget(tb.Context(), w.op(), "", spec))(tb)
}

// template makes a template of amount_off 1.00 coupons, as many as anybody
// wants, each of which stands beside any other.
func (w world) template(tb testing.TB, rule models.Rule, budgets ...models.ID) models.Template {
	tb.Helper()
	rule.Name = "rule"
	if rule.Stacking == (models.Stacking{}) {
		rule.Stacking = models.DefaultStacking()
		rule.Stacking.MaxPerOrder = models.MaxLockCoupons
	}
	if rule.Kind == "" {
		rule.Kind = models.KindAmountOff
		rule.Effect = models.Effect{AmountOff: new(int64(100)), Currency: "USD"}
	}
	spec := models.TemplateSpec{
		Name: "sale", RuleID: must(w.CreateRule(tb.Context(), w.op(), rule))(tb).ID, Currency: "USD", PerUserLimit: models.MaxPerUser,
		Validity: models.Validity{DaysAfterClaim: new(30)}, ReturnPolicy: models.DefaultReturnPolicy(), BudgetIDs: budgets,
	}
	spec.Normalize()
	draft := must(w.CreateTemplate(tb.Context(), w.op(), "", spec))(tb)
	return must(w.MoveTemplate(tb.Context(), w.op(), draft.ID, models.ActionPublish))(tb)
}

// issue gives each user a coupon of the template; names may repeat.
func (w world) issue(tb testing.TB, template models.Template, users ...string) []models.Coupon {
	tb.Helper()
	from, until, err := template.Span(w.Now())
	if err != nil {
		tb.Fatal(err)
	}
	var coupons []models.Coupon
	const chunk = 500
	for begin := 0; begin < len(users); begin += chunk {
		var batch []models.Claim
		for _, user := range users[begin:min(begin+chunk, len(users))] {
			batch = append(batch, models.Claim{
				ID: must(w.NextID())(tb), UserID: user, Code: models.NewCode(), Template: &template,
				At: w.Now(), ValidFrom: from, ExpiresAt: until,
			})
		}
		for _, v := range must(w.CommitClaims(tb.Context(), batch))(tb) {
			if v.Coupon == nil {
				tb.Fatalf("no coupon: %+v", v)
			}
			coupons = append(coupons, *v.Coupon)
		}
	}
	return coupons
}

// try asks for a lock of user u's coupons.
func try(xid string, coupons ...models.Coupon) models.Try {
	one := models.Try{XID: xid, OrderID: "order of " + xid, Cart: basket(), Hash: [32]byte{1}, Actor: "key:1"}
	for i := range coupons {
		one.CouponIDs = append(one.CouponIDs, coupons[i].ID)
	}
	return one
}

// holds fails the test unless the coupon is in the given state.
func (w world) holds(t *testing.T, coupon models.Coupon, want models.CouponStatus) {
	t.Helper()
	got := must(w.Coupon(t.Context(), w.op().Actor, coupon.ID))(t)
	if got.Status != want {
		t.Errorf("the coupon is %s, want %s", got.Status, want)
	}
}

// counts fails the test unless so much of the budget is used and held.
func (w world) counts(t *testing.T, budget models.Budget, used, held int64) {
	t.Helper()
	got := must(w.Budget(t.Context(), w.op().Actor, budget.ID, w.Now()))(t)
	if got.Used != used || got.Held != held {
		t.Errorf("%d used and %d held, want %d and %d", got.Used, got.Held, used, held)
	}
}

// sound fails the test unless every invariant holds.
func (w world) sound(t *testing.T) {
	t.Helper()
	_, broken, err := w.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range broken {
		t.Errorf("broken: %s: %s", v.Invariant, v.Row)
	}
}

// together runs act so many times at once and returns what came of each.
func together[T any](n int, act func(i int) T) []T {
	results := make([]T, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			results[i] = act(i)
		})
	}
	close(start)
	all.Wait()
	return results
}

func must[T any](value T, err error) func(tb testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return value
	}
}

func wantCode(t *testing.T, err error, code models.Code) {
	t.Helper()
	if !models.IsCode(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

// told is an outcome as a test compares it: a state, or the code of a refusal.
func told(lock *models.Lock, err error) string {
	if err == nil {
		return string(lock.State)
	}
	for _, code := range []models.Code{
		models.CodeLockCancelled, models.CodeLockConfirmed, models.CodeLockExpired, models.CodeXIDReused, models.CodeNotFound,
		models.CodeCouponNotAvailable, models.CodeBudgetExhausted,
	} {
		if models.IsCode(err, code) {
			return string(code)
		}
	}
	return fmt.Sprintf("unexpected: %v", err)
}
