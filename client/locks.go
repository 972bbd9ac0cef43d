package client

import (
	"context"
	"net/url"
)

func lockPath(xid, step string) string { return "/locks/" + url.PathEscape(xid) + step }

// Lock holds coupons and budgets for an order (Try), all or nothing. Refusals
// are *Error with Status 409, whose Fields name the coupons. If the outcome stays
// open, repeat the call, or cancel: both are right, whichever arrives first.
func (c *Client) Lock(ctx context.Context, lock NewLock, options ...CallOption) (Lock, error) {
	var made Lock
	err := c.post(ctx, "/locks", lock, &made, named(options))
	return made, err
}

// LockByXID fetches a lock.
func (c *Client) LockByXID(ctx context.Context, xid string) (Lock, error) {
	var lock Lock
	err := c.get(ctx, lockPath(xid, ""), nil, &lock)
	return lock, err
}

// ConfirmLock uses what the lock holds. Before the lock's end it fails for no
// reason of the shop's; then the error is CodeLockExpired.
func (c *Client) ConfirmLock(ctx context.Context, xid string, options ...CallOption) (Lock, error) {
	var lock Lock
	err := c.post(ctx, lockPath(xid, "/confirm"), nil, &lock, named(options))
	return lock, err
}

// CancelLock frees what the lock holds. Of an unknown one it is remembered: a
// Try that comes late is refused.
func (c *Client) CancelLock(ctx context.Context, xid string, options ...CallOption) (Lock, error) {
	var lock Lock
	err := c.post(ctx, lockPath(xid, "/cancel"), nil, &lock, named(options))
	return lock, err
}

// LockResult is what became of one lock of many: its State with Status 200, else
// the refusal's Code.
type LockResult struct {
	XID    string `json:"xid"`
	Status int    `json:"status"` // of HTTP, as the call for it alone would have had
	State  string `json:"state"`
	Code   string `json:"code"`
}

// ConfirmLocks confirms up to 200 locks, each for itself. The results are in
// the order of xids; the error is about all of them.
func (c *Client) ConfirmLocks(ctx context.Context, xids []string, options ...CallOption) ([]LockResult, error) {
	return c.endLocks(ctx, "/locks/batch/confirm", xids, options)
}

// CancelLocks cancels up to 200 locks, each for itself. The results are in the
// order of xids; the error is about all of them.
func (c *Client) CancelLocks(ctx context.Context, xids []string, options ...CallOption) ([]LockResult, error) {
	return c.endLocks(ctx, "/locks/batch/cancel", xids, options)
}

func (c *Client) endLocks(ctx context.Context, path string, xids []string, options []CallOption) ([]LockResult, error) {
	request := struct {
		XIDs []string `json:"xids"`
	}{xids}
	var answer struct {
		Results []LockResult `json:"results"`
	}
	err := c.post(ctx, path, request, &answer, named(options))
	return answer.Results, err
}

// RefundLine asks for so many more units of a line.
type RefundLine struct {
	LineID   string `json:"line_id"`
	Quantity int64  `json:"quantity"`
}

// NewRefund asks for units of a confirmed lock to be refunded. RefundID is the
// caller's own name for it, which makes the call safe to repeat for ever.
type NewRefund struct {
	RefundID string       `json:"refund_id"`
	Lines    []RefundLine `json:"lines"`
}

// Refund is what a refund pays, in minor units of the order's currency, and what
// it gives back.
type Refund struct {
	RefundID        string           `json:"refund_id"`
	Amount          int64            `json:"amount"`
	Lines           []RefundedLine   `json:"lines"`
	CouponsReturned []string         `json:"coupons_returned"` // with the last unit of the order
	BudgetReturned  []BudgetReturned `json:"budget_returned"`
}

// RefundedLine is one line's part of a refund.
type RefundedLine struct {
	LineID   string `json:"line_id"`
	Quantity int64  `json:"quantity"`
	Amount   int64  `json:"amount"`
}

// BudgetReturned is what a budget gets back: minor units, or uses.
type BudgetReturned struct {
	BudgetID string `json:"budget_id"`
	Amount   int64  `json:"amount"`
}

// Refund pays for units of the lock from its frozen quote.
func (c *Client) Refund(ctx context.Context, xid string, refund NewRefund, options ...CallOption) (Refund, error) {
	var made Refund
	err := c.post(ctx, lockPath(xid, "/refund"), refund, &made, named(options))
	return made, err
}

// QuoteRefund asks what Refund would pay. It changes nothing.
func (c *Client) QuoteRefund(ctx context.Context, xid string, refund NewRefund) (Refund, error) {
	var quoted Refund
	err := c.post(ctx, lockPath(xid, "/refund/quote"), refund, &quoted, named(nil))
	return quoted, err
}
