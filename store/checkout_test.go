package store_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"scrip/discount"
	"scrip/models"
	"scrip/store"
)

const ttl = 15 * time.Minute

// shop is a store with a template whose coupons can be locked.
type shop struct {
	fixture
	template *models.Template
	decide   store.Decide
}

// allOff takes the whole price of a cart away, so that the price is what a
// budget of money has to give.
func allOff() models.Rule {
	return models.Rule{
		Name: "all off", Kind: models.KindPercentOff, Stacking: models.DefaultStacking(),
		Effect: models.Effect{PercentOffBP: new(int64(models.MaxBP))},
	}
}

// quarterOff leaves something to refund.
func quarterOff() models.Rule {
	rule := allOff()
	rule.Name, rule.Effect.PercentOffBP = "25 % off", new(int64(2500))
	return rule
}

func money(total int64) models.BudgetSpec {
	spec := models.DefaultBudgetSpec()
	spec.Name, spec.Kind, spec.Currency, spec.Total = "money", models.BudgetAmount, "USD", total
	return spec
}

func quota(total int64) models.BudgetSpec {
	spec := models.DefaultBudgetSpec()
	spec.Name, spec.Kind, spec.Total = "quota", models.BudgetCount, total
	return spec
}

func (f fixture) budget(t *testing.T, spec models.BudgetSpec) models.Budget {
	t.Helper()
	return must(f.CreateBudget(t.Context(), f.op(platform()), "", spec))(t)
}

// shop opens a shop whose coupons follow the rule and count against the budgets.
func (f fixture) shop(t *testing.T, rule models.Rule, budgets ...models.ID) shop {
	t.Helper()
	made := must(f.CreateRule(t.Context(), f.op(platform()), rule))(t)
	s := spec(made.ID, nil, 1000)
	s.BudgetIDs = budgets
	return f.shopOf(t, s)
}

func (f fixture) shopOf(t *testing.T, s models.TemplateSpec) shop {
	t.Helper()
	draft := must(f.CreateTemplate(t.Context(), f.op(platform()), "", s))(t)
	active := must(f.MoveTemplate(t.Context(), f.op(platform()), draft.ID, models.ActionPublish))(t)
	return shop{f, &active, byEngine(discount.New(10))}
}

// byEngine decides as the checkout service does: all that is named must apply.
func byEngine(engine *discount.Engine) store.Decide {
	return func(try *models.Try, coupons []models.WalletCoupon) (*models.Frozen, *models.Error) {
		if len(coupons) < len(try.CouponIDs)+len(try.Codes) {
			return nil, models.Refuse(models.CodeCouponNotAvailable, "no such coupon")
		}
		candidates := make([]discount.Candidate, len(coupons))
		for i, c := range coupons {
			candidates[i] = discount.Candidate{
				CouponID: c.ID, TemplateID: c.TemplateID, MerchantID: c.MerchantID, Currency: c.Currency, Status: c.Status,
				ValidFrom: c.ValidFrom, ExpiresAt: c.ExpiresAt, Rule: c.Rule, Return: c.Return,
			}
			for _, b := range c.Budgets {
				candidates[i].Budgets = append(candidates[i].Budgets, discount.Budget(b))
			}
		}
		outcome, err := engine.Quote(discount.Order{Now: try.At, Cart: &try.Cart}, candidates)
		if err != nil {
			return nil, models.Refuse(models.CodeInternal, "%v", err)
		}
		for _, r := range outcome.Quote.Rejected {
			return nil, models.Refuse(r.Code, "%s", r.Detail)
		}
		frozen := outcome.Freeze()
		return &frozen, nil
	}
}

// coupons gives the users a coupon each.
func (s shop) coupons(t *testing.T, users ...string) []models.ID {
	t.Helper()
	batch := make([]models.Claim, len(users))
	for i, user := range users {
		batch[i] = s.claim(t, s.template, user)
	}
	ids := make([]models.ID, len(users))
	for i, verdict := range s.commit(t, batch...) {
		if verdict.Coupon == nil {
			t.Fatalf("no coupon for %s: %+v", users[i], verdict)
		}
		ids[i] = verdict.Coupon.ID
	}
	return ids
}

func users(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("user%04d", i)
	}
	return names
}

// cart is an order of one line of quantity units.
func cart(user string, price, quantity int64) models.Cart {
	return models.Cart{
		UserID: user, Currency: "USD",
		Lines: []models.CartLine{{LineID: "l1", SKU: "sku", Quantity: quantity, UnitPrice: price}},
	}
}

// try asks for a lock on coupons for an order of that price.
func (s shop) try(t *testing.T, xid, user string, price int64, coupons ...models.ID) models.Try {
	t.Helper()
	return models.Try{
		ID: must(s.NextID())(t), XID: xid, OrderID: "order-" + xid, Hash: sha256.Sum256([]byte(xid)),
		Cart: cart(user, price, 1), CouponIDs: coupons, At: s.Now(), TTL: ttl, Actor: "key:1",
	}
}

func (s shop) end(t *testing.T, xid string, to models.LockState, at time.Time) models.LockEnd {
	t.Helper()
	return models.LockEnd{XID: xid, To: to, NewID: must(s.NextID())(t), At: at, Actor: "key:1"}
}

func (s shop) commitTries(t *testing.T, batch ...models.Try) []models.LockVerdict {
	t.Helper()
	return must(s.CommitTries(t.Context(), batch, s.decide))(t)
}

func (s shop) commitEnds(t *testing.T, batch ...models.LockEnd) []models.LockVerdict {
	t.Helper()
	return must(s.CommitEnds(t.Context(), batch))(t)
}

// locked makes a lock, which must succeed.
func (s shop) locked(t *testing.T, try models.Try) *models.Lock {
	t.Helper()
	verdict := s.commitTries(t, try)[0]
	if !verdict.Made {
		t.Fatalf("no lock: %+v", verdict)
	}
	return verdict.Lock
}

// confirmed makes a lock and confirms it.
func (s shop) confirmed(t *testing.T, try models.Try) {
	t.Helper()
	s.locked(t, try)
	if verdict := s.commitEnds(t, s.end(t, try.XID, models.LockConfirmed, try.At))[0]; verdict.Refused != nil {
		t.Fatalf("not confirmed: %+v", verdict)
	}
}

// told is what a verdict says, in a word: the state of the lock, or the code.
func told(v models.LockVerdict) string {
	switch {
	case v.Refused != nil:
		return string(v.Refused.Code)
	case v.Made:
		return "made " + string(v.Lock.State)
	}
	return string(v.Lock.State)
}

func (s shop) wantCounters(t *testing.T, id models.ID, at time.Time, used, held int64) {
	t.Helper()
	b := must(s.Budget(t.Context(), platform(), id, at))(t)
	if b.Used != used || b.Held != held {
		t.Errorf("budget %q: used %d, held %d; want %d and %d", b.Name, b.Used, b.Held, used, held)
	}
}

func (s shop) wantCoupon(t *testing.T, id models.ID, status models.CouponStatus) models.Coupon {
	t.Helper()
	c := must(s.Coupon(t.Context(), platform(), id))(t)
	if c.Status != status || (c.LockID != nil) != (status == models.CouponLocked || status == models.CouponUsed) ||
		(c.UsedAt != nil) != (status == models.CouponUsed) || (c.OrderID != "") != (c.LockID != nil) {
		t.Errorf("coupon %+v, want it %s", c, status)
	}
	return c
}

// steps lists what the record of operations has of a coupon, oldest first.
func (s shop) wantSteps(t *testing.T, coupon models.ID, want ...string) {
	t.Helper()
	got := must(s.Texts(t.Context(), "SELECT step FROM coupon_operations WHERE coupon_id = ? ORDER BY id", coupon))(t)
	if !slices.Equal(got, want) {
		t.Errorf("operations %v, want %v", got, want)
	}
}

func codeOf(err error) models.Code {
	var refusal *models.Error
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return ""
}
