package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"scrip/handlers/middleware"
	"scrip/models"
)

type budgetStore interface {
	CreateBudget(ctx context.Context, op models.Op, merchantID string, spec models.BudgetSpec) (models.Budget, error)
	// Budget and Budgets give the counters of the period that now lies in.
	Budget(ctx context.Context, actor models.Principal, id models.ID, now time.Time) (models.Budget, error)
	Budgets(ctx context.Context, actor models.Principal, page models.Page, now time.Time) ([]models.Budget, error)
	// EditBudget may call edit more than once, on fresh copies.
	EditBudget(
		ctx context.Context, op models.Op, id models.ID, ifVersion int64, edit func(*models.Budget) error,
	) (models.Budget, error)
	BudgetUsages(ctx context.Context, actor models.Principal, id models.ID, page models.Page) ([]models.BudgetUsage, error)
}

// budgetBody is what a budget is made from, and what a PATCH may name.
type budgetBody struct {
	Name         string            `json:"name"`
	Kind         models.BudgetKind `json:"kind"`
	Currency     string            `json:"currency"`
	IsLimited    *bool             `json:"is_limited"`
	Total        *int64            `json:"total"`
	Period       models.Period     `json:"period"`
	PerUserTotal *int64            `json:"per_user_total"`
	TimeZone     string            `json:"time_zone"`
	AlertAtBP    []int             `json:"alert_at_bp"`
}

type newBudgetBody struct {
	MerchantID string `json:"merchant_id"`
	budgetBody
}

// spec makes the models' budget of a body, or says all that is wrong with it.
func (b *budgetBody) spec() (models.BudgetSpec, error) {
	f := models.NewFaults()
	spec := models.BudgetSpec{
		Name: b.Name, Kind: b.Kind, Currency: b.Currency,
		IsLimited: or(b.IsLimited, true), Total: or(b.Total, 0),
		Period: b.Period, PerUserTotal: b.PerUserTotal, TimeZone: b.TimeZone, AlertAtBP: b.AlertAtBP,
	}
	f.Require(b.Total != nil || !spec.IsLimited, "total")
	spec.Normalize()
	spec.Check(f)
	return spec, f.Err()
}

// budgetView is a budget in an answer, with the counters of the present period.
type budgetView struct {
	ID           models.ID         `json:"id"`
	MerchantID   string            `json:"merchant_id,omitempty"`
	Name         string            `json:"name"`
	Kind         models.BudgetKind `json:"kind"`
	Currency     string            `json:"currency,omitempty"`
	IsLimited    bool              `json:"is_limited"`
	Total        int64             `json:"total"`
	Used         int64             `json:"used"`
	Held         int64             `json:"held"`
	Remaining    *int64            `json:"remaining"`
	Period       models.Period     `json:"period"`
	PerUserTotal *int64            `json:"per_user_total,omitempty"`
	TimeZone     string            `json:"time_zone"`
	AlertAtBP    []int             `json:"alert_at_bp"`
	Version      int64             `json:"version"`
	CreatedAt    stamp             `json:"created_at"`
	UpdatedAt    stamp             `json:"updated_at"`
}

func (v budgetView) version() int64 { return v.Version }

func viewBudget(b models.Budget) any {
	return budgetView{
		ID: b.ID, MerchantID: b.MerchantID, Name: b.Name, Kind: b.Kind, Currency: b.Currency,
		IsLimited: b.IsLimited, Total: b.Total, Used: b.Used, Held: b.Held, Remaining: b.Remaining(),
		Period: b.Period, PerUserTotal: b.PerUserTotal, TimeZone: b.TimeZone, AlertAtBP: orEmpty(b.AlertAtBP),
		Version: b.Version, CreatedAt: stamp(b.CreatedAt), UpdatedAt: stamp(b.UpdatedAt),
	}
}

// usageView is one entry of a budget's ledger in an answer.
type usageView struct {
	ID          models.ID         `json:"id"`
	BudgetID    models.ID         `json:"budget_id"`
	LockID      models.ID         `json:"lock_id"`
	CouponID    models.ID         `json:"coupon_id"`
	UserID      string            `json:"user_id"`
	RefundID    string            `json:"refund_id,omitempty"`
	Step        models.BudgetStep `json:"step"`
	Amount      int64             `json:"amount"`
	PeriodStart *stamp            `json:"period_start"`
	At          stamp             `json:"at"`
}

func viewUsage(u models.BudgetUsage) any {
	return usageView{
		u.ID, u.BudgetID, u.LockID, u.CouponID, u.UserID, u.RefundID, u.Step, u.Amount, stampOf(u.PeriodStart), stamp(u.At),
	}
}

func (a *api) createBudget(c *gin.Context) error {
	var body newBudgetBody
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	merchantID, err := ownerOf(middleware.Principal(c), body.MerchantID)
	if err != nil {
		return err
	}
	spec, err := body.spec()
	if err != nil {
		return err
	}
	return change(a, c, raw, http.StatusCreated, viewBudget, func(ctx context.Context, op models.Op) (models.Budget, error) {
		return a.Store.CreateBudget(ctx, op, merchantID, spec)
	})
}

func (a *api) getBudget(c *gin.Context) error {
	now := func(ctx context.Context, actor models.Principal, id models.ID) (models.Budget, error) {
		return a.Store.Budget(ctx, actor, id, models.Instant(a.Now()))
	}
	return getOne(c, "budget", now, viewBudget)
}

func (a *api) listBudgets(c *gin.Context) error {
	now := func(ctx context.Context, actor models.Principal, page models.Page) ([]models.Budget, error) {
		return a.Store.Budgets(ctx, actor, page, models.Instant(a.Now()))
	}
	return listOwn(c, now, func(b models.Budget) models.ID { return b.ID }, viewBudget)
}

func (a *api) budgetUsages(c *gin.Context) error {
	return listUnder(c, "budget", a.Store.BudgetUsages, func(u models.BudgetUsage) models.ID { return u.ID }, viewUsage)
}

// patchBudget merges the body into the budget (RFC 7396). What its ledger
// counts, and by which calendar, stays: entries of two kinds have no sum.
func (a *api) patchBudget(c *gin.Context) error {
	id, err := pathID(c, "budget")
	if err != nil {
		return err
	}
	version, err := ifMatch(c)
	if err != nil {
		return err
	}
	var body budgetBody // sees that the fields exist and have the right types
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	return change(a, c, raw, http.StatusOK, viewBudget, func(ctx context.Context, op models.Op) (models.Budget, error) {
		return a.Store.EditBudget(ctx, op, id, version, func(b *models.Budget) error { return mergeBudget(b, raw) })
	})
}

// mergeBudget edits the budget, or says why that may not be.
func mergeBudget(b *models.Budget, patch jsontext.Value) error {
	doc, err := json.Marshal(b.BudgetSpec)
	if err != nil {
		return err
	}
	merged, err := mergePatch(doc, patch)
	if err != nil {
		return err
	}
	var body budgetBody
	if err := decode(merged, &body); err != nil {
		return err
	}
	edited, err := body.spec()
	if err != nil {
		return err
	}
	f := models.NewFaults()
	edited.CheckChange(f, &b.BudgetSpec)
	if err := f.Err(); err != nil {
		return err
	}
	b.BudgetSpec = edited
	return nil
}
