package models

import (
	"fmt"
	"time"
)

// Kind says what a rule does to an order.
type Kind string

// The six kinds, in the order in which they are applied at equal priority.
const (
	KindFixedPrice   Kind = "fixed_price"
	KindBuyXGetY     Kind = "buy_x_get_y"
	KindPercentOff   Kind = "percent_off"
	KindAmountOff    Kind = "amount_off"
	KindFreeShipping Kind = "free_shipping"
	KindFreeItem     Kind = "free_item"
)

// Bounds of a rule's numbers.
const (
	MaxBP    = 10_000 // 100 % in basis points
	MaxUnits = 10_000 // units in one cart, and so any quantity of a rule
)

// Rule is one version of a rule. A version never changes: what was issued
// under it is judged by it for ever.
type Rule struct {
	ID         ID         `json:"id"`
	MerchantID string     `json:"merchant_id,omitempty"`
	Version    int        `json:"version"`
	Name       string     `json:"name"`
	Kind       Kind       `json:"kind"`
	Effect     Effect     `json:"effect"`
	Scope      Scope      `json:"scope"`
	Conditions Conditions `json:"conditions"`
	Stacking   Stacking   `json:"stacking"`
	CreatedAt  time.Time  `json:"created_at"`
}

// Effect is what a rule gives. Which fields are allowed and needed depends on
// the kind; money is in minor units of Currency.
type Effect struct {
	AmountOff    *int64 `json:"amount_off,omitempty"`
	Every        *Every `json:"every,omitempty"`
	PercentOffBP *int64 `json:"percent_off_bp,omitempty"`
	MaxDiscount  *int64 `json:"max_discount,omitempty"`
	Price        *int64 `json:"price,omitempty"`
	MaxUnits     *int64 `json:"max_units,omitempty"`
	Currency     string `json:"currency,omitempty"`
	BuyQuantity  *int64 `json:"buy_quantity,omitempty"`
	GetQuantity  *int64 `json:"get_quantity,omitempty"`
	Get          *Scope `json:"get,omitempty"`
	MaxTimes     *int64 `json:"max_times,omitempty"`
	SKU          string `json:"sku,omitempty"`
	Quantity     *int64 `json:"quantity,omitempty"`
}

// Every makes an amount_off repeat: so much off for each Spend spent, at most
// MaxTimes times (nil: as often as it fits).
type Every struct {
	Spend    int64  `json:"spend"`
	MaxTimes *int64 `json:"max_times,omitempty"`
}

// Scope says which lines of a cart a rule covers. With neither SKUs nor
// CategoryIDs it is storewide.
type Scope struct {
	Storewide          bool     `json:"storewide,omitempty"`
	SKUs               []string `json:"skus,omitempty"`
	CategoryIDs        []string `json:"category_ids,omitempty"`
	ExcludeSKUs        []string `json:"exclude_skus,omitempty"`
	ExcludeCategoryIDs []string `json:"exclude_category_ids,omitempty"`
}

// Conditions must all hold for a coupon to apply. The zero value asks nothing.
type Conditions struct {
	MinAmount      int64      `json:"min_amount,omitempty"`
	MinQuantity    int64      `json:"min_quantity,omitempty"`
	UserTagsAny    []string   `json:"user_tags_any,omitempty"`
	FirstOrder     bool       `json:"first_order,omitempty"`
	PaymentMethods []string   `json:"payment_methods,omitempty"`
	Channels       []string   `json:"channels,omitempty"`
	DaysOfWeek     []int      `json:"days_of_week,omitempty"` // ISO: 1 Monday … 7 Sunday
	TimeOfDay      *TimeOfDay `json:"time_of_day,omitempty"`
	Expression     string     `json:"expression,omitempty"`
}

// TimeOfDay is a half-open span of every day, as "HH:MM"; over midnight when
// From is later than Until.
type TimeOfDay struct {
	From  string `json:"from"`
	Until string `json:"until"`
}

// Base says of what a percentage, or an every, is taken.
type Base string

// The two bases.
const (
	BaseRemaining Base = "remaining" // of what earlier coupons left
	BaseOriginal  Base = "original"  // of the prices
)

// DefaultPriority is the place of a rule that asks for none; lower goes first.
const DefaultPriority = 100

// Stacking says which other coupons a rule's coupons may stand beside.
type Stacking struct {
	Group        string `json:"group,omitempty"`
	ExclusiveAll bool   `json:"exclusive_all,omitempty"`
	Priority     int    `json:"priority"`
	MaxPerOrder  int64  `json:"max_per_order"`
	Base         Base   `json:"base"`
}

// DefaultStacking is what a rule has that says nothing about it.
func DefaultStacking() Stacking {
	return Stacking{Priority: DefaultPriority, MaxPerOrder: 1, Base: BaseRemaining}
}

// Check notes every fault of the rule's fields, except that of an expression
// which does not compile: that needs the engine.
func (r *Rule) Check(f Faults) {
	CheckName(f, "name", r.Name)
	r.checkEffect(f.In("effect"))
	r.Scope.check(f.In("scope"))
	r.Conditions.check(f.In("conditions"))
	r.Stacking.check(f.In("stacking"))
	if r.Kind == "" {
		f.Require(false, "kind")
	} else if _, known := effectFields(r.Kind); !known {
		f.Add("kind", CodeInvalid, "must be amount_off, percent_off, fixed_price, buy_x_get_y, free_shipping or free_item")
	}
}

// effectFields lists the fields that the effect of a kind may have; true means
// that it must.
func effectFields(k Kind) (fields map[string]bool, known bool) {
	switch k {
	case KindAmountOff:
		return map[string]bool{"amount_off": true, "currency": true, "every": false}, true
	case KindPercentOff:
		return map[string]bool{"percent_off_bp": true, "max_discount": false, "currency": false}, true
	case KindFixedPrice:
		return map[string]bool{"price": true, "currency": true, "max_units": false}, true
	case KindBuyXGetY:
		return map[string]bool{
			"buy_quantity": true, "get_quantity": true, "percent_off_bp": true, "get": false, "max_times": false,
		}, true
	case KindFreeShipping:
		return map[string]bool{"max_discount": false}, true
	case KindFreeItem:
		return map[string]bool{"sku": true, "quantity": true}, true
	}
	return nil, false
}

func (r *Rule) checkEffect(f Faults) {
	allowed, known := effectFields(r.Kind)
	if !known {
		return // the kind's own fault says it all
	}
	for _, field := range r.Effect.fields() {
		needed, ok := allowed[field.name]
		switch {
		case field.set && !ok:
			f.Add(field.name, CodeUnknownField, "is not a field of the effect of %s", r.Kind)
		case !field.set && needed:
			f.Require(false, field.name)
		case field.set && field.check != nil:
			field.check(f, field.name)
		}
	}
}

// effectField is one field of an Effect: whether it is there, and its bounds.
type effectField struct {
	name  string
	set   bool
	check func(f Faults, name string)
}

func (e *Effect) fields() []effectField {
	number := func(name string, n *int64, lo, hi int64) effectField {
		return effectField{name, n != nil, func(f Faults, name string) { f.Between(name, *n, lo, hi) }}
	}
	return []effectField{
		number("amount_off", e.AmountOff, 1, MaxAmount),
		{"every", e.Every != nil, func(f Faults, name string) { e.Every.check(f.In(name)) }},
		number("percent_off_bp", e.PercentOffBP, 1, MaxBP),
		number("max_discount", e.MaxDiscount, 1, MaxAmount),
		number("price", e.Price, 0, MaxAmount),
		number("max_units", e.MaxUnits, 1, MaxUnits),
		{"currency", e.Currency != "", func(f Faults, name string) { CheckCurrency(f, name, e.Currency) }},
		number("buy_quantity", e.BuyQuantity, 1, MaxUnits),
		number("get_quantity", e.GetQuantity, 1, MaxUnits),
		{"get", e.Get != nil, func(f Faults, name string) { e.Get.check(f.In(name)) }},
		number("max_times", e.MaxTimes, 1, MaxUnits),
		{"sku", e.SKU != "", func(f Faults, name string) { CheckForeign(f, name, e.SKU) }},
		number("quantity", e.Quantity, 1, MaxUnits),
	}
}

func (e *Every) check(f Faults) {
	f.Between("spend", e.Spend, 1, MaxAmount)
	if e.MaxTimes != nil {
		f.Between("max_times", *e.MaxTimes, 1, MaxAmount)
	}
}

func (s *Scope) check(f Faults) {
	if s.Storewide && (len(s.SKUs) > 0 || len(s.CategoryIDs) > 0) {
		f.Add("storewide", CodeInvalid, "excludes skus and category_ids")
	}
	checkForeignList(f, "skus", s.SKUs, MaxListLen)
	checkForeignList(f, "category_ids", s.CategoryIDs, MaxListLen)
	checkForeignList(f, "exclude_skus", s.ExcludeSKUs, MaxListLen)
	checkForeignList(f, "exclude_category_ids", s.ExcludeCategoryIDs, MaxListLen)
}

func (c *Conditions) check(f Faults) {
	f.Between("min_amount", c.MinAmount, 0, MaxAmount)
	f.Between("min_quantity", c.MinQuantity, 0, MaxUnits)
	checkForeignList(f, "user_tags_any", c.UserTagsAny, MaxListLen)
	checkForeignList(f, "payment_methods", c.PaymentMethods, MaxListLen)
	checkForeignList(f, "channels", c.Channels, MaxListLen)
	c.checkDays(f)
	if c.TimeOfDay != nil {
		c.TimeOfDay.check(f.In("time_of_day"))
	}
}

func (c *Conditions) checkDays(f Faults) {
	const week = 7
	if len(c.DaysOfWeek) > week {
		f.Add("days_of_week", CodeOutOfRange, "must have at most %d elements", week)
		return
	}
	seen := map[int]bool{}
	for i, day := range c.DaysOfWeek {
		f.Between(fmt.Sprintf("days_of_week[%d]", i), int64(day), 1, week)
		if seen[day] {
			f.Add("days_of_week", CodeNotUnique, "names day %d twice", day)
		}
		seen[day] = true
	}
}

func (t *TimeOfDay) check(f Faults) {
	_, fromErr := MinuteOfDay(t.From)
	_, untilErr := MinuteOfDay(t.Until)
	if fromErr != nil {
		f.Add("from", CodeInvalid, "must be HH:MM")
	}
	if untilErr != nil {
		f.Add("until", CodeInvalid, "must be HH:MM")
	}
	if fromErr == nil && untilErr == nil && t.From == t.Until {
		f.Add("until", CodeInvalid, "must differ from from")
	}
}

// MinuteOfDay reads "HH:MM", 00:00 to 23:59, as minutes since midnight.
func MinuteOfDay(s string) (int, error) {
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		return 0, fmt.Errorf("%q is not HH:MM", s)
	}
	return t.Hour()*60 + t.Minute(), nil
}

func (s *Stacking) check(f Faults) {
	if s.Group != "" {
		CheckForeign(f, "group", s.Group)
	}
	f.Between("priority", int64(s.Priority), -1_000_000, 1_000_000)
	f.Between("max_per_order", s.MaxPerOrder, 1, MaxUnits)
	if s.Base != BaseRemaining && s.Base != BaseOriginal {
		f.Add("base", CodeInvalid, "must be remaining or original")
	}
}
