package models

import (
	"cmp"
	"slices"
	"time"
)

// Bounds of a pack.
const (
	MaxPackItems   = 50
	MaxPackCoupons = 200 // over all its items
)

// Pack is templates that are claimed together, all or nothing. It never changes.
type Pack struct {
	ID         ID
	MerchantID string
	Name       string
	Items      []PackItem
	CreatedAt  time.Time
}

// PackItem is so many coupons of one template.
type PackItem struct {
	TemplateID ID    `json:"template_id"`
	Quantity   int64 `json:"quantity"`
}

// Check notes every fault of the fields themselves; whether the templates are
// there is for the store to see.
func (p *Pack) Check(f Faults) {
	CheckName(f, "name", p.Name)
	if n := len(p.Items); n < 1 || n > MaxPackItems {
		f.Add("items", CodeOutOfRange, "must have 1 to %d elements", MaxPackItems)
		return
	}
	total := int64(0)
	for i, item := range p.Items {
		at := f.At("items", i)
		at.Require(item.TemplateID != 0, "template_id")
		at.Between("quantity", item.Quantity, 1, MaxPackCoupons)
		total += min(item.Quantity, MaxPackCoupons)
		if slices.ContainsFunc(p.Items[:i], func(before PackItem) bool { return before.TemplateID == item.TemplateID }) {
			at.Add("template_id", CodeNotUnique, "names %s twice", item.TemplateID)
		}
	}
	if total > MaxPackCoupons {
		f.Add("items", CodeOutOfRange, "must come to at most %d coupons", MaxPackCoupons)
	}
}

// PackClaim is a user's getting of a pack. The claims that have the same one
// stand or fall together.
type PackClaim struct {
	ID     ID
	PackID ID
}

// MergeLimits joins two refusals of a user who has enough of two templates; nil
// is none. The code is already_claimed while all of them are.
func MergeLimits(a, b *Error) *Error {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	merged := *a
	if b.Code == CodeLimitReached {
		merged.Code, merged.Detail = b.Code, b.Detail
	}
	merged.CouponIDs = slices.Concat(a.CouponIDs, b.CouponIDs)
	return &merged
}
