package client

import (
	"encoding/json"
	"time"
)

// Rule is one version of a rule.
type Rule struct {
	ID        string    `json:"id"`
	Version   int       `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	NewRule
}

// NewRule is what a rule is made from. What is nil or zero takes the server's
// default.
type NewRule struct {
	Name       string      `json:"name"`
	Kind       string      `json:"kind"` // amount_off, percent_off, fixed_price, buy_x_get_y, free_shipping, free_item
	Effect     Effect      `json:"effect"`
	Scope      *Scope      `json:"scope,omitempty"`
	Conditions *Conditions `json:"conditions,omitempty"`
	Stacking   *Stacking   `json:"stacking,omitempty"`
}

// Effect is what a rule gives; the kind says which fields it needs. Money is in
// the minor unit of Currency, percentages are in basis points.
type Effect struct {
	AmountOff    int64  `json:"amount_off,omitempty"`
	Every        *Every `json:"every,omitempty"`
	PercentOffBP int64  `json:"percent_off_bp,omitempty"`
	MaxDiscount  int64  `json:"max_discount,omitempty"`
	Price        *int64 `json:"price,omitempty"` // 0 is a price
	MaxUnits     int64  `json:"max_units,omitempty"`
	Currency     string `json:"currency,omitempty"`
	BuyQuantity  int64  `json:"buy_quantity,omitempty"`
	GetQuantity  int64  `json:"get_quantity,omitempty"`
	Get          *Scope `json:"get,omitempty"`
	MaxTimes     int64  `json:"max_times,omitempty"`
	SKU          string `json:"sku,omitempty"`
	Quantity     int64  `json:"quantity,omitempty"`
}

// Every makes an amount_off repeat: so much off for each Spend, at most
// MaxTimes times (0: as often as it fits).
type Every struct {
	Spend    int64 `json:"spend"`
	MaxTimes int64 `json:"max_times,omitempty"`
}

// Scope says which lines of a cart are meant.
type Scope struct {
	Storewide          bool     `json:"storewide,omitempty"`
	SKUs               []string `json:"skus,omitempty"`
	CategoryIDs        []string `json:"category_ids,omitempty"`
	ExcludeSKUs        []string `json:"exclude_skus,omitempty"`
	ExcludeCategoryIDs []string `json:"exclude_category_ids,omitempty"`
}

// Conditions must all hold for a coupon to apply.
type Conditions struct {
	MinAmount      int64      `json:"min_amount,omitempty"`
	MinQuantity    int64      `json:"min_quantity,omitempty"`
	UserTagsAny    []string   `json:"user_tags_any,omitempty"`
	FirstOrder     bool       `json:"first_order,omitempty"`
	PaymentMethods []string   `json:"payment_methods,omitempty"`
	Channels       []string   `json:"channels,omitempty"`
	DaysOfWeek     []int      `json:"days_of_week,omitempty"` // 1 Monday … 7 Sunday
	TimeOfDay      *TimeOfDay `json:"time_of_day,omitempty"`
	Expression     string     `json:"expression,omitempty"`
}

// TimeOfDay is a half-open span of every day, as "HH:MM".
type TimeOfDay struct {
	From  string `json:"from"`
	Until string `json:"until"`
}

// Stacking says which other coupons a rule's coupons may stand beside.
type Stacking struct {
	Group        string `json:"group,omitempty"`
	ExclusiveAll bool   `json:"exclusive_all,omitempty"`
	Priority     *int   `json:"priority,omitempty"` // lower goes first; nil: 100
	MaxPerOrder  int64  `json:"max_per_order,omitempty"`
	Base         string `json:"base,omitempty"` // remaining, original
}

// Template is what coupons are issued from.
type Template struct {
	ID          string    `json:"id"`
	State       string    `json:"state"` // draft, active, paused, ended
	RuleVersion int       `json:"rule_version"`
	Version     int64     `json:"version"`
	Claimed     int64     `json:"claimed"`
	Remaining   *int64    `json:"remaining"` // nil: no limit
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	NewTemplate
}

// NewTemplate is what a template is made from. What is nil or zero, except the
// stock, takes the server's default.
type NewTemplate struct {
	MerchantID       string          `json:"merchant_id,omitempty"`
	Name             string          `json:"name"`
	RuleID           string          `json:"rule_id"`
	Currency         string          `json:"currency"`
	TimeZone         string          `json:"time_zone,omitempty"`
	Stock            *int64          `json:"stock"` // nil: no limit
	PerUserLimit     int64           `json:"per_user_limit,omitempty"`
	ClaimWindow      *Window         `json:"claim_window,omitempty"`
	Validity         Validity        `json:"validity"`
	Audience         *Audience       `json:"audience,omitempty"`
	Issue            string          `json:"issue,omitempty"` // claim, code, distribution
	BudgetIDs        []string        `json:"budget_ids,omitempty"`
	ReturnPolicy     *ReturnPolicy   `json:"return_policy,omitempty"`
	RemindBeforeDays []int           `json:"remind_before_days,omitempty"`
	Metadata         json.RawMessage `json:"metadata,omitempty"`
}

// Window is a half-open span of time; a nil end is open.
type Window struct {
	From  *time.Time `json:"from,omitempty"`
	Until *time.Time `json:"until,omitempty"`
}

// Validity says when a claimed coupon can be used: From and Until, or so many
// local days after the claim.
type Validity struct {
	From           *time.Time `json:"from,omitempty"`
	Until          *time.Time `json:"until,omitempty"`
	DaysAfterClaim *int       `json:"days_after_claim,omitempty"`
	DelayDays      int        `json:"delay_days,omitempty"`
}

// Audience names who may have a template's coupons.
type Audience struct {
	Kind    string   `json:"kind"` // all, users, tags
	UserIDs []string `json:"user_ids,omitempty"`
	Tags    []string `json:"tags,omitempty"`
}

// ReturnPolicy says what becomes of a coupon whose order is refunded.
type ReturnPolicy struct {
	OnCancel          bool   `json:"on_cancel"`
	ExtendExpiredDays int    `json:"extend_expired_days"`
	BelowMinimum      string `json:"below_minimum,omitempty"` // keep, recompute
}

// TemplateStats counts a template's coupons by status.
type TemplateStats struct {
	TemplateID string `json:"template_id"`
	Stock      *int64 `json:"stock"`
	Claimed    int64  `json:"claimed"`
	Remaining  *int64 `json:"remaining"`
	Available  int64  `json:"available"`
	Locked     int64  `json:"locked"`
	Used       int64  `json:"used"`
	Expired    int64  `json:"expired"`
	Revoked    int64  `json:"revoked"`
}

// Coupon is one coupon of one user. IssueNo counts 1, 2, 3 … within its
// template.
type Coupon struct {
	ID          string     `json:"id"`
	Code        string     `json:"code"`
	TemplateID  string     `json:"template_id"`
	RuleVersion int        `json:"rule_version"`
	UserID      string     `json:"user_id"`
	Status      string     `json:"status"` // available, locked, used, expired, revoked
	IssueNo     int64      `json:"issue_no"`
	ValidFrom   time.Time  `json:"valid_from"`
	ExpiresAt   time.Time  `json:"expires_at"`
	ClaimedAt   time.Time  `json:"claimed_at"`
	LockID      string     `json:"lock_id,omitempty"`
	OrderID     string     `json:"order_id,omitempty"`
	UsedAt      *time.Time `json:"used_at,omitempty"`
}

// Claim asks for one coupon: of the template that is named, or by a code, as it
// was typed, of the one that this belongs to. UserID is for callers with an API
// key; an end user's token says itself whose claim it is.
type Claim struct {
	TemplateID string `json:"template_id,omitempty"`
	Code       string `json:"code,omitempty"`
	UserID     string `json:"user_id,omitempty"`
}

// NewAPIKey is what an API key is made from.
type NewAPIKey struct {
	Role       string `json:"role"` // platform, merchant, service
	MerchantID string `json:"merchant_id,omitempty"`
	Name       string `json:"name,omitempty"`
}

// APIKey is an API key. Key, the secret itself, is there in the answer to its
// making only.
type APIKey struct {
	ID        string    `json:"id"`
	Key       string    `json:"key,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	NewAPIKey
}
