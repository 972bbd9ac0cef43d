package handlers

import (
	"context"
	"time"

	"scrip/models"
)

func newBudget(at time.Time) models.Budget {
	return models.Budget{
		ID: 61, MerchantID: "m1", Version: 3, Used: 300, Held: 100, CreatedAt: at, UpdatedAt: at,
		BudgetSpec: models.BudgetSpec{
			Name: "spring", Kind: models.BudgetAmount, Currency: "USD", IsLimited: true, Total: 1000,
			Period: models.PeriodDay, PerUserTotal: ptr(int64(500)), TimeZone: "Asia/Tokyo", AlertAtBP: []int{8000, 10_000},
		},
	}
}

func newLock(at time.Time) *models.Lock {
	return &models.Lock{
		ID: 71, XID: "x1", OrderID: "o1", UserID: "u1", State: models.LockLocked,
		ExpiresAt: at.Add(15 * time.Minute), CreatedAt: at, UpdatedAt: at,
		Frozen: &models.Frozen{
			At: at,
			Quote: models.Quote{
				Currency: "USD", Subtotal: 3000, Discount: 1000, Shipping: 500, ShippingDiscount: 500, Total: 2000,
				Applied: []models.AppliedCoupon{{
					CouponID: 31, Discount: 1000, ShippingDiscount: 500,
					Lines: []models.LineDiscount{{LineID: "l1", Discount: 1000}},
				}},
				Lines: []models.QuoteLine{{
					LineID: "l1", Subtotal: 3000, Discount: 1000, Total: 2000,
					Units: []models.UnitRun{{Quantity: 1, Total: 666}, {Quantity: 2, Total: 667}},
				}},
				Gifts: []models.Gift{{SKU: "tote", Quantity: 1, CouponID: 32}},
			},
		},
	}
}

func (f *fake) CreateBudget(
	_ context.Context, op models.Op, merchantID string, spec models.BudgetSpec,
) (models.Budget, error) {
	return commit(f, op, func() (models.Budget, error) {
		f.args["budget"] = spec
		return models.Budget{
			ID: 61, MerchantID: merchantID, Version: 1, CreatedAt: op.At, UpdatedAt: op.At, BudgetSpec: spec,
		}, nil
	})
}

func (f *fake) Budget(context.Context, models.Principal, models.ID, time.Time) (models.Budget, error) {
	return f.budget, f.refusal
}

func (f *fake) Budgets(_ context.Context, _ models.Principal, page models.Page, _ time.Time) ([]models.Budget, error) {
	return list(f, page, func(id models.ID) models.Budget { b := f.budget; b.ID = id; return b })
}

func (f *fake) EditBudget(
	_ context.Context, op models.Op, _ models.ID, ifVersion int64, edit func(*models.Budget) error,
) (models.Budget, error) {
	return commit(f, op, func() (models.Budget, error) {
		if ifVersion != f.budget.Version {
			return models.Budget{}, models.Refuse(models.CodeVersion, "it is version %d by now", f.budget.Version)
		}
		again := f.budget
		if err := edit(&again); err != nil { // as when a deadlock makes the store start over
			return models.Budget{}, err
		}
		if err := edit(&f.budget); err != nil {
			return models.Budget{}, err
		}
		f.budget.Version++
		return f.budget, nil
	})
}

func (f *fake) BudgetUsages(
	_ context.Context, _ models.Principal, _ models.ID, page models.Page,
) ([]models.BudgetUsage, error) {
	return list(f, page, func(id models.ID) models.BudgetUsage {
		return models.BudgetUsage{ID: id, BudgetID: 61, Step: models.StepHold, Amount: 5}
	})
}

func (f *fake) AnsweredBefore(_ context.Context, key *models.IdempotencyKey, otherwise error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, found := f.kept[key.ID]
	switch {
	case !found:
		return otherwise
	case old.hash != key.Hash:
		return models.ErrKeyReused()
	}
	return &old.answer
}

func (f *fake) RememberAnswer(_ context.Context, op models.Op, result any, failure error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if made, keep := op.Key.Render(result, failure); keep {
		f.kept[op.Key.ID] = keptAnswer{op.Key.Hash, made}
	}
	return failure
}

// act is what the fake does when it is asked to act on a lock.
func act[T any](f *fake, name string, arg any, result T) (T, error) {
	if f.enter != nil {
		f.enter <- struct{}{}
		<-f.leave
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.args[name] = arg
	f.changes++
	if f.refusal != nil {
		var none T
		return none, f.refusal
	}
	return result, nil
}

// asked is what a quote was asked for.
type asked struct {
	Cart  models.Cart
	Tags  []string
	IDs   []models.ID
	Codes []string
}

func (f *fake) Qualify(_ context.Context, cart models.Cart, tags []string) (models.Qualification, error) {
	return act(f, "qualify", asked{Cart: cart, Tags: tags}, models.Qualification{})
}

func (f *fake) Quote(
	_ context.Context, cart models.Cart, tags []string, ids []models.ID, codes []string,
) (models.Quote, error) {
	return act(f, "quote", asked{cart, tags, ids, codes}, f.verdict.Lock.Frozen.Quote)
}

func (f *fake) Lock(_ context.Context, try models.Try) (models.LockVerdict, error) {
	return commit(f, models.Op{Key: try.Key}, func() (models.LockVerdict, error) {
		f.args["try"] = try
		return f.verdict, nil
	})
}

// ended is what confirm or cancel was asked for.
type ended struct {
	To    models.LockState
	XIDs  []string
	Actor string
}

func (f *fake) Confirm(_ context.Context, xid, actor string) (models.Lock, error) {
	return act(f, "end", ended{models.LockConfirmed, []string{xid}, actor}, *f.verdict.Lock)
}

func (f *fake) Cancel(_ context.Context, xid, actor string) (models.Lock, error) {
	return act(f, "end", ended{models.LockCancelled, []string{xid}, actor}, *f.verdict.Lock)
}

func (f *fake) verdicts(xids []string) []models.LockVerdict {
	verdicts := make([]models.LockVerdict, len(xids))
	for i, xid := range xids {
		verdicts[i] = f.verdict
		if xid == "unknown" {
			verdicts[i] = models.LockVerdict{Refused: models.NotFound("lock")}
		}
	}
	return verdicts
}

func (f *fake) ConfirmAll(_ context.Context, xids []string, actor string) ([]models.LockVerdict, error) {
	return act(f, "end", ended{models.LockConfirmed, xids, actor}, f.verdicts(xids))
}

func (f *fake) CancelAll(_ context.Context, xids []string, actor string) ([]models.LockVerdict, error) {
	return act(f, "end", ended{models.LockCancelled, xids, actor}, f.verdicts(xids))
}

func (f *fake) Get(_ context.Context, xid string) (models.Lock, error) {
	return act(f, "get", xid, *f.verdict.Lock)
}

// refunded is what a refund was asked for.
type refunded struct {
	Request models.RefundRequest
	Dry     bool
}

func (f *fake) Refund(_ context.Context, req models.RefundRequest, dry bool) (models.Refund, error) {
	return commit(f, models.Op{Key: req.Key}, func() (models.Refund, error) {
		f.args["refund"] = refunded{req, dry}
		return models.Refund{}, nil
	})
}
