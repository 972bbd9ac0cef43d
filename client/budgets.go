package client

import (
	"context"
	"encoding/json"
	"net/url"
	"time"
)

// Budget bounds, or only tracks, what coupons give away. Used, Held and
// Remaining are of the present period.
type Budget struct {
	ID        string    `json:"id"`
	Version   int64     `json:"version"`
	Used      int64     `json:"used"`
	Held      int64     `json:"held"`
	Remaining *int64    `json:"remaining"` // nil: only tracked
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	NewBudget
}

// NewBudget is what a budget is made from. What is nil or zero takes the
// server's default, but for Total, which is 0 where it is 0.
type NewBudget struct {
	MerchantID   string `json:"merchant_id,omitempty"`
	Name         string `json:"name"`
	Kind         string `json:"kind"`                 // amount: money given away; count: uses
	Currency     string `json:"currency,omitempty"`   // of an amount
	IsLimited    *bool  `json:"is_limited,omitempty"` // nil: true
	Total        int64  `json:"total"`                // minor units, or uses, in each period
	Period       string `json:"period,omitempty"`     // none, day, week, month
	PerUserTotal *int64 `json:"per_user_total,omitempty"`
	TimeZone     string `json:"time_zone,omitempty"`
	AlertAtBP    []int  `json:"alert_at_bp,omitzero"` // basis points of Total; nil: 8000 and 10000
}

// BudgetPatch changes a budget; what is nil stays as it is.
type BudgetPatch struct {
	Name         *string `json:"name,omitempty"`
	IsLimited    *bool   `json:"is_limited,omitempty"`
	Total        *int64  `json:"total,omitempty"`
	PerUserTotal *int64  `json:"per_user_total,omitempty"` // of 0: no limit for one user any more
	AlertAtBP    []int   `json:"alert_at_bp,omitzero"`
}

// MarshalJSON writes the limit that is to go as null.
func (p BudgetPatch) MarshalJSON() ([]byte, error) {
	type plain BudgetPatch
	if p.PerUserTotal == nil || *p.PerUserTotal != 0 {
		return json.Marshal(plain(p))
	}
	return json.Marshal(struct {
		plain

		PerUserTotal *int64 `json:"per_user_total"`
	}{plain: plain(p)})
}

// BudgetUsage is one entry of a budget's ledger.
type BudgetUsage struct {
	ID          string     `json:"id"`
	BudgetID    string     `json:"budget_id"`
	LockID      string     `json:"lock_id"`
	CouponID    string     `json:"coupon_id"`
	UserID      string     `json:"user_id"`
	RefundID    string     `json:"refund_id"`    // of a return
	Step        string     `json:"step"`         // hold, use, release, return
	Amount      int64      `json:"amount"`       // minor units, or uses
	PeriodStart *time.Time `json:"period_start"` // nil: no periods
	At          time.Time  `json:"at"`
}

// CreateBudget makes a budget.
func (c *Client) CreateBudget(ctx context.Context, budget NewBudget, options ...CallOption) (Budget, error) {
	var made Budget
	err := c.post(ctx, "/budgets", budget, &made, options)
	return made, err
}

// Budget fetches a budget.
func (c *Client) Budget(ctx context.Context, id string) (Budget, error) {
	var budget Budget
	err := c.get(ctx, "/budgets/"+url.PathEscape(id), nil, &budget)
	return budget, err
}

// Budgets fetches a page of budgets.
func (c *Client) Budgets(ctx context.Context, page PageOptions) (Page[Budget], error) {
	var budgets Page[Budget]
	err := c.get(ctx, "/budgets", page.query(), &budgets)
	return budgets, err
}

// UpdateBudget changes the version of a budget that the caller has seen. If it
// has another by now, the error is CodeVersion; it may be that of a first try
// whose answer was lost, so fetch the budget and see.
func (c *Client) UpdateBudget(ctx context.Context, id string, version int64, patch BudgetPatch) (Budget, error) {
	var budget Budget
	err := c.patch(ctx, "/budgets/"+url.PathEscape(id), version, patch, &budget)
	return budget, err
}

// BudgetUsages fetches a page of a budget's ledger.
func (c *Client) BudgetUsages(ctx context.Context, id string, page PageOptions) (Page[BudgetUsage], error) {
	var usages Page[BudgetUsage]
	err := c.get(ctx, "/budgets/"+url.PathEscape(id)+"/usages", page.query(), &usages)
	return usages, err
}
