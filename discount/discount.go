// Package discount is the arithmetic of a checkout: a cart, coupons and a time
// go in, a quote comes out. It does no I/O and reads no clock. All sums are
// integers of minor units; products are taken in 128 bits.
//
// A quote works on the lines of a cart in the byte order of their ids, so that
// the order of lines in the request changes nothing. The units of a line are
// kept as runs of units of which the same is left, in the units' order: ten
// thousand units cost no more than the few runs that discounts break them into.
package discount

import (
	"errors"
	"time"

	"scrip/models"
)

// Candidate is a coupon that is to be judged, with everything that its judging
// needs: the rule version, currency, time zone and return policy that its
// template had when it was claimed.
type Candidate struct {
	CouponID   models.ID
	TemplateID models.ID
	Code       string // how the request named it; empty if by id
	MerchantID string // the template's owner; empty for the platform
	Currency   string
	Zone       *time.Location // nil is UTC
	Status     models.CouponStatus
	ValidFrom  time.Time
	ExpiresAt  time.Time
	Rule       *models.Rule
	Return     models.ReturnPolicy
	Budgets    []Budget
}

// Budget is a budget as one application of a coupon meets it. Candidates that
// share one name it by the same ID and give the same Left.
type Budget struct {
	ID      models.ID
	Kind    models.BudgetKind
	Limited bool  // false: only tracked
	Left    int64 // what a hold may take: of the budget, or of the user's part if that is less
}

// Engine quotes. It is safe for concurrent use; all it keeps between calls is
// compiled expressions.
type Engine struct {
	programs *programs
}

// New returns an engine that keeps up to 2 × programs compiled expressions.
func New(programs int) *Engine {
	return &Engine{programs: newPrograms(programs)}
}

// Order is what coupons are judged against.
type Order struct {
	Now      time.Time
	Cart     *models.Cart
	UserTags []string
}

// ErrCart says that a cart came in that Cart.Check would have refused, or a
// rule that Rule.Check would have: the caller must check first.
var ErrCart = errors.New("discount: the cart or a rule was not checked")
