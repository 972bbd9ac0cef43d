package models

import (
	"encoding/json"
	"slices"
	"time"
)

// EventType is the word by which a merchant's server tells events apart. It
// never changes its meaning.
type EventType string

// What merchants' servers can be told of. Each comes with the data of the type
// named; all of it is as it was when it happened.
const (
	EventCouponClaimed   EventType = "coupon.claimed"    // CouponsClaimed
	EventCouponUsed      EventType = "coupon.used"       // CouponsUsed
	EventCouponRefunded  EventType = "coupon.refunded"   // CouponsRefunded
	EventTemplateSoldOut EventType = "template.sold_out" // TemplateSoldOut
	EventBudgetAlert     EventType = "budget.alert"      // BudgetAlert
	EventJobFinished     EventType = "job.finished"      // JobFinished
)

// EventTypes lists every type there is.
func EventTypes() []EventType {
	return []EventType{
		EventCouponClaimed, EventCouponUsed, EventCouponRefunded, EventTemplateSoldOut, EventBudgetAlert,
		EventJobFinished,
	}
}

// Frequent reports whether events of the type come at the rate of claims and
// orders. Such a one is written only where somebody listens; the others always
// are, and dropped later if nobody does.
func (e EventType) Frequent() bool {
	return slices.Contains([]EventType{EventCouponClaimed, EventCouponUsed, EventCouponRefunded}, e)
}

// Event is something that happened to a merchant's thing.
type Event struct {
	ID         ID
	Type       EventType
	MerchantID string // whose thing; "" for the platform's
	Data       json.RawMessage
	At         time.Time // when it was written
}

// MaxEventCoupons bounds the coupons that one event tells of; more of them are
// told by several events.
const MaxEventCoupons = 100

// CouponsClaimed tells of coupons that were granted together.
type CouponsClaimed struct {
	TemplateID ID              `json:"template_id"`
	Coupons    []ClaimedCoupon `json:"coupons"`
}

// ClaimedCoupon is one of them.
type ClaimedCoupon struct {
	ID          ID     `json:"id"`
	Code        string `json:"code"`
	RuleVersion int    `json:"rule_version"`
	UserID      string `json:"user_id"`
	IssueNo     int64  `json:"issue_no"`
	ValidFrom   Stamp  `json:"valid_from"`
	ExpiresAt   Stamp  `json:"expires_at"`
	ClaimedAt   Stamp  `json:"claimed_at"`
}

// CouponsUsed tells of a merchant's coupons that a confirmed order used.
// Discounts are in minor units of Currency.
type CouponsUsed struct {
	OrderID  string       `json:"order_id"`
	UserID   string       `json:"user_id"`
	Currency string       `json:"currency"`
	Coupons  []UsedCoupon `json:"coupons"`
	UsedAt   Stamp        `json:"used_at"`
}

// UsedCoupon is one of them. Discount is of the lines only.
type UsedCoupon struct {
	ID               ID    `json:"id"`
	TemplateID       ID    `json:"template_id"`
	Discount         int64 `json:"discount"`
	ShippingDiscount int64 `json:"shipping_discount"`
}

// CouponsRefunded tells of a merchant's coupons in an order of which units came
// back. Discounts are in minor units of Currency.
type CouponsRefunded struct {
	OrderID    string           `json:"order_id"`
	RefundID   string           `json:"refund_id"`
	UserID     string           `json:"user_id"`
	Currency   string           `json:"currency"`
	Coupons    []RefundedCoupon `json:"coupons"`
	RefundedAt Stamp            `json:"refunded_at"`
}

// RefundedCoupon is one of them. Discount is its share on the units that came
// back; Returned says that the user can use it again.
type RefundedCoupon struct {
	ID         ID    `json:"id"`
	TemplateID ID    `json:"template_id"`
	Discount   int64 `json:"discount"`
	Returned   bool  `json:"returned"`
}

// TemplateSoldOut tells that the last coupon of a stock was claimed. A stock
// that is raised can be sold out again.
type TemplateSoldOut struct {
	TemplateID ID     `json:"template_id"`
	Name       string `json:"name"`
	Stock      int64  `json:"stock"`
	SoldOutAt  Stamp  `json:"sold_out_at"`
}

// BudgetAlert tells that a budget reached a threshold. Total, Used and Held are
// minor units of Currency, or applications, of the period.
type BudgetAlert struct {
	BudgetID    ID         `json:"budget_id"`
	Name        string     `json:"name"`
	Kind        BudgetKind `json:"kind"`
	Currency    string     `json:"currency,omitempty"`
	AlertAtBP   int        `json:"alert_at_bp"`
	Total       int64      `json:"total"`
	Used        int64      `json:"used"`
	Held        int64      `json:"held"`
	PeriodStart *Stamp     `json:"period_start"` // null without periods
	ReachedAt   Stamp      `json:"reached_at"`
}

// JobFinished tells that a job, such as a distribution, is over: done, failed or
// cancelled.
type JobFinished struct {
	ID         ID       `json:"id"`
	Kind       JobKind  `json:"kind"`
	State      JobState `json:"state"`
	Total      int64    `json:"total"`
	Done       int64    `json:"done"`
	Failed     int64    `json:"failed"`
	FinishedAt Stamp    `json:"finished_at"`
}

// Stamp is a time as everybody outside is shown it: RFC 3339 in UTC with exactly
// three digits of a second, so that stamps sort as text.
type Stamp time.Time

// MarshalText gives the one form of a time.
func (s Stamp) MarshalText() ([]byte, error) { return s.Append(nil), nil }

// Append writes the one form of a time. The library has a short way for whole
// seconds; for milliseconds it interprets the layout.
func (s Stamp) Append(b []byte) []byte {
	t := time.Time(s).UTC()
	b = t.AppendFormat(b, time.RFC3339)
	ms := t.Nanosecond() / int(time.Millisecond)
	const digits = "0123456789"
	return append(b[:len(b)-1], '.', digits[ms/100], digits[ms/10%10], digits[ms%10], 'Z')
}
