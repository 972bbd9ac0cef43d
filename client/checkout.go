package client

import (
	"context"
	"time"
)

// Cart is an order that is not placed yet. All money is in minor units of
// Currency.
type Cart struct {
	UserID        string     `json:"user_id,omitempty"` // an end user may leave it out
	Currency      string     `json:"currency"`
	MerchantID    string     `json:"merchant_id,omitempty"`
	Lines         []CartLine `json:"lines"`
	Shipping      int64      `json:"shipping,omitempty"`
	PaymentMethod string     `json:"payment_method,omitempty"`
	Channel       string     `json:"channel,omitempty"`
	FirstOrder    bool       `json:"first_order,omitempty"`
}

// CartLine is so many units of one thing at one price each.
type CartLine struct {
	LineID      string   `json:"line_id"` // unique in the cart
	SKU         string   `json:"sku"`
	CategoryIDs []string `json:"category_ids,omitempty"`
	Quantity    int64    `json:"quantity"`
	UnitPrice   int64    `json:"unit_price"`
	MerchantID  string   `json:"merchant_id,omitempty"` // "": the cart's
}

// Shopping is a cart, and what is known of its user. An end user leaves out the
// tags, which its token says.
type Shopping struct {
	Cart     Cart     `json:"cart"`
	UserTags []string `json:"user_tags,omitempty"`
}

// Wanted names the coupons to apply, at most 10, by id or by the codes of the
// user's own coupons.
type Wanted struct {
	CouponIDs []string `json:"coupon_ids,omitempty"`
	Codes     []string `json:"codes,omitempty"`
}

// Qualification answers for every coupon of a user, each judged alone, and names
// the combination that makes the order cheapest.
type Qualification struct {
	Applicable   []Applicable `json:"applicable"` // largest discount first
	Inapplicable []Rejection  `json:"inapplicable"`
	Best         Combination  `json:"best"`
}

// Applicable is a coupon that would apply alone, and what the order would become
// cheaper by, shipping included.
type Applicable struct {
	CouponID string `json:"coupon_id"`
	Discount int64  `json:"discount"`
}

// Combination is a set of coupons, and what the order becomes cheaper by with
// all of them, shipping included.
type Combination struct {
	CouponIDs []string `json:"coupon_ids"`
	Discount  int64    `json:"discount"`
}

// Rejection is a coupon that is not applied, named as the request named it, and
// why.
type Rejection struct {
	CouponID   string `json:"coupon_id"`
	CouponCode string `json:"coupon_code"`
	Code       string `json:"code"`
	Detail     string `json:"detail"`
	Shortfall  int64  `json:"shortfall"` // with min_amount minor units, with min_quantity units
}

// Quote is what an order costs. Total is Subtotal − Discount + Shipping −
// ShippingDiscount.
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

// AppliedCoupon is what one coupon gave.
type AppliedCoupon struct {
	CouponID         string         `json:"coupon_id"`
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
	CouponID string `json:"coupon_id"`
}

// QuoteRequest asks what a cart would cost with some coupons.
type QuoteRequest struct {
	Shopping
	Wanted
}

// Qualify asks what every coupon of the cart's user would give. It changes
// nothing.
func (c *Client) Qualify(ctx context.Context, shopping Shopping) (Qualification, error) {
	var q Qualification
	err := c.post(ctx, "/checkout/qualify", shopping, &q, named(nil))
	return q, err
}

// Quote asks what the cart would cost with the coupons that it names. It changes
// nothing.
func (c *Client) Quote(ctx context.Context, request QuoteRequest) (Quote, error) {
	var q Quote
	err := c.post(ctx, "/checkout/quote", request, &q, named(nil))
	return q, err
}

// States of a lock.
const (
	LockLocked    = "locked"
	LockConfirmed = "confirmed"
	LockCancelled = "cancelled"
	LockExpired   = "expired"
)

// Lock is an order's hold on its coupons and budgets. A Cancel that came before
// its Try left one without order, quote and end.
type Lock struct {
	ID        string     `json:"id"`
	XID       string     `json:"xid"`
	OrderID   string     `json:"order_id"`
	State     string     `json:"state"`
	Quote     *Quote     `json:"quote"` // as it was when the lock was made, for ever
	ExpiresAt *time.Time `json:"expires_at"`
}

// NewLock asks for a lock. XID is the caller's own name for it, which makes the
// call safe to repeat for ever, and must never be used for another.
type NewLock struct {
	XID     string `json:"xid"`
	OrderID string `json:"order_id"`
	Shopping
	Wanted
	TTLSeconds int64 `json:"ttl_seconds,omitempty"` // 0: 900
}
