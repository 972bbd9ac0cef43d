package models

import "time"

// Why a coupon does not apply to a cart, beside CodeNotStarted and
// CodeCurrencyDiffer; in the order in which they are looked at, the first that
// holds is told.
const (
	CodeCouponNotAvailable Code = "coupon_not_available"
	CodeExpired            Code = "expired"
	CodeOutOfScope         Code = "out_of_scope"
	CodeMinAmount          Code = "min_amount"
	CodeMinQuantity        Code = "min_quantity"
	CodeUserTagsAny        Code = "user_tags_any"
	CodeFirstOrder         Code = "first_order"
	CodePaymentMethods     Code = "payment_methods"
	CodeChannels           Code = "channels"
	CodeDaysOfWeek         Code = "days_of_week"
	CodeTimeOfDay          Code = "time_of_day"
	CodeExpression         Code = "expression"
	CodeBudgetExhausted    Code = "budget_exhausted"
	CodeExclusive          Code = "stacking_exclusive"
	CodeGroup              Code = "stacking_group"
	CodeMaxPerOrder        Code = "stacking_max_per_order"
	CodeNoEffect           Code = "no_effect"
)

// CodeRefundExceeds refuses to refund more of a line than is left of it.
const CodeRefundExceeds Code = "refund_exceeds"

// BudgetKind says what a budget counts.
type BudgetKind string

// The two kinds.
const (
	BudgetAmount BudgetKind = "amount" // discount given, shipping included, in minor units
	BudgetCount  BudgetKind = "count"  // applications
)

// Quote is what an order costs with coupons applied. All money is in minor
// units of Currency; Total = Subtotal − Discount + Shipping − ShippingDiscount,
// and Discount is of the lines only.
type Quote struct {
	Currency         string          `json:"currency"`
	Subtotal         int64           `json:"subtotal"`
	Discount         int64           `json:"discount"`
	Shipping         int64           `json:"shipping"`
	ShippingDiscount int64           `json:"shipping_discount"`
	Total            int64           `json:"total"`
	Applied          []AppliedCoupon `json:"applied"` // in order of application
	Lines            []QuoteLine     `json:"lines"`   // in the cart's order
	Gifts            []Gift          `json:"gifts"`
	Rejected         []Rejection     `json:"rejected"`
}

// AppliedCoupon is what one coupon gave. Lines that got nothing are left out.
type AppliedCoupon struct {
	CouponID         ID             `json:"coupon_id"`
	Discount         int64          `json:"discount"`
	ShippingDiscount int64          `json:"shipping_discount"`
	Lines            []LineDiscount `json:"lines"`
}

// LineDiscount is one coupon's share on one line.
type LineDiscount struct {
	LineID   string `json:"line_id"`
	Discount int64  `json:"discount"`
}

// QuoteLine is one line with what is left to pay for it.
type QuoteLine struct {
	LineID   string    `json:"line_id"`
	Subtotal int64     `json:"subtotal"`
	Discount int64     `json:"discount"`
	Total    int64     `json:"total"`
	Units    []UnitRun `json:"units"` // in the order in which they are refunded
}

// UnitRun is so many units in a row that cost Total each.
type UnitRun struct {
	Quantity int64 `json:"quantity"`
	Total    int64 `json:"total"`
}

// Gift is a line at no price that a coupon adds.
type Gift struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
	CouponID ID     `json:"coupon_id"`
}

// Rejection names a coupon as the request named it, by id or by code, and why
// it is not applied. Shortfall comes with min_amount (minor units) and
// min_quantity (units).
type Rejection struct {
	CouponID   ID     `json:"coupon_id,omitempty"`
	CouponCode string `json:"coupon_code,omitempty"`
	Code       Code   `json:"code"`
	Detail     string `json:"detail"`
	Shortfall  int64  `json:"shortfall,omitempty"`
}

// Qualification answers for every coupon of a wallet, each judged alone, and
// names the best combination.
type Qualification struct {
	Applicable   []Applicable `json:"applicable"` // largest discount first
	Inapplicable []Rejection  `json:"inapplicable"`
	Best         Combination  `json:"best"`
}

// Applicable is a coupon that would apply if it were the only one, and by how
// much the order would become cheaper, shipping included.
type Applicable struct {
	CouponID ID    `json:"coupon_id"`
	Discount int64 `json:"discount"`
}

// Combination is a set of coupons, in order of application, and by how much
// the order becomes cheaper with all of them, shipping included.
type Combination struct {
	CouponIDs []ID  `json:"coupon_ids"`
	Discount  int64 `json:"discount"`
}

// Frozen is a quote with everything that confirm and refund will need to know,
// so that neither looks at anything that could have changed. It is stored with
// the lock.
type Frozen struct {
	Quote   Quote          `json:"quote"`
	At      time.Time      `json:"at"`      // when it was made
	Lines   []FrozenLine   `json:"lines"`   // as Quote.Lines
	Coupons []FrozenCoupon `json:"coupons"` // as Quote.Applied
}

// FrozenLine is what a quote's line does not say of the cart's.
type FrozenLine struct {
	LineID    string `json:"line_id"`
	UnitPrice int64  `json:"unit_price"`
	Quantity  int64  `json:"quantity"`
}

// FrozenCoupon is an applied coupon with what a refund does to it.
type FrozenCoupon struct {
	CouponID    ID           `json:"coupon_id"`
	TemplateID  ID           `json:"template_id"`
	RuleID      ID           `json:"rule_id"`
	RuleVersion int          `json:"rule_version"`
	MinAmount   int64        `json:"min_amount"`
	Return      ReturnPolicy `json:"return_policy"`
	Budgets     []BudgetRef  `json:"budgets"`
	Covers      []int        `json:"covers"` // indexes of the lines in its scope
	Shares      []LineShare  `json:"shares"` // of the lines that it made cheaper
}

// BudgetRef names a budget that an application counts against.
type BudgetRef struct {
	ID   ID         `json:"budget_id"`
	Kind BudgetKind `json:"kind"`
}

// LineShare is one coupon's share on every unit of a line, in the units' order.
type LineShare struct {
	Line  int        `json:"line"` // index
	Units []ShareRun `json:"units"`
}

// ShareRun is so many units in a row that one coupon made cheaper by Discount
// each.
type ShareRun struct {
	Quantity int64 `json:"quantity"`
	Discount int64 `json:"discount"`
}

// RefundLine asks for so many more units of a line to be refunded.
type RefundLine struct {
	LineID   string `json:"line_id"`
	Quantity int64  `json:"quantity"`
}

// Refunded sums up the refunds of a lock so far.
type Refunded struct {
	Units  map[string]int64 // by line_id
	Amount int64            // paid back in all
}

// Refund is what one refund pays and gives back.
type Refund struct {
	Amount          int64            `json:"amount"` // Σ Lines.Amount
	Lines           []RefundedLine   `json:"lines"`
	CouponsReturned []ID             `json:"coupons_returned"`
	BudgetReturned  []BudgetReturned `json:"budget_returned"` // by budget id

	// Last says that nothing of the order is left after this refund.
	Last bool `json:"-"`
	// PerCoupon says which coupon each part of BudgetReturned is from.
	PerCoupon []CouponShare `json:"-"`
}

// RefundedLine is one line's part of a refund.
type RefundedLine struct {
	LineID   string `json:"line_id"`
	Quantity int64  `json:"quantity"`
	Amount   int64  `json:"amount"`
}

// BudgetReturned is what a budget gets back: minor units, or applications.
type BudgetReturned struct {
	BudgetID ID    `json:"budget_id"`
	Amount   int64 `json:"amount"`
}

// CouponShare is one applied coupon's discount on the units of one refund.
type CouponShare struct {
	CouponID ID
	Discount int64
}
