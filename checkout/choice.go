package checkout

import (
	"fmt"

	"scrip/models"
)

// choice is the coupons that a request names: by id first, then by code.
type choice struct {
	ids    []models.ID
	codes  []string // as they were typed
	stored []string // the same as the store has them
}

// choose checks what a request names. What cannot be a code stays as it is:
// there is no coupon that it names, and that is answered as such.
func choose(ids []models.ID, codes []string) (choice, error) {
	f := models.NewFaults()
	if len(ids)+len(codes) > models.MaxLockCoupons {
		field := "coupon_ids"
		if len(ids) <= models.MaxLockCoupons {
			field = "codes"
		}
		f.Add(field, models.CodeOutOfRange, "must name at most %d coupons, ids and codes together", models.MaxLockCoupons)
		return choice{}, f.Err()
	}
	c := choice{ids: ids, codes: codes, stored: make([]string, len(codes))}
	for i, typed := range codes {
		code, err := models.NormalizeCode(typed)
		if err != nil {
			code = typed
		}
		c.stored[i] = code
	}
	noteTwice(f, "coupon_ids", c.ids)
	noteTwice(f, "codes", c.stored)
	return c, f.Err()
}

func noteTwice[T comparable](f models.Faults, field string, list []T) {
	seen := make(map[T]bool, len(list))
	for _, one := range list {
		if seen[one] {
			f.Add(field, models.CodeNotUnique, "names %v twice", one)
			return
		}
		seen[one] = true
	}
}

// pick is one coupon as the request named it.
type pick struct {
	field  string // of the request, as "codes[1]"
	id     models.ID
	code   string               // as it was typed; empty if named by id
	coupon *models.WalletCoupon // nil: the user has no such coupon
}

// find matches what is named with what the user has, in the request's order.
// A coupon that is named by its id and by its code is named twice.
func (c *choice) find(wallet []models.WalletCoupon) ([]pick, error) {
	byID := make(map[models.ID]*models.WalletCoupon, len(wallet))
	byCode := make(map[string]*models.WalletCoupon, len(wallet))
	for i := range wallet {
		byID[wallet[i].ID], byCode[wallet[i].Code] = &wallet[i], &wallet[i]
	}
	picks := make([]pick, 0, len(c.ids)+len(c.codes))
	named := make(map[models.ID]bool, len(c.ids))
	for i, id := range c.ids {
		picks = append(picks, pick{field: fmt.Sprintf("coupon_ids[%d]", i), id: id, coupon: byID[id]})
		named[id] = true
	}
	for i, typed := range c.codes {
		p := pick{field: fmt.Sprintf("codes[%d]", i), code: typed, coupon: byCode[c.stored[i]]}
		if p.coupon != nil && named[p.coupon.ID] {
			f := models.NewFaults()
			f.Add("codes", models.CodeNotUnique, "%q is named by its id too", typed)
			return nil, f.Err()
		}
		picks = append(picks, p)
	}
	return picks, nil
}

// reject names the coupon as the request did.
func (p *pick) reject(why models.Rejection) models.Rejection {
	why.CouponID, why.CouponCode = p.id, p.code
	return why
}

// name is what the coupon is called in words: by its id where that is known, so
// that nobody has to count in a request to learn which one it was.
func (p *pick) name() string {
	switch {
	case p.coupon != nil:
		return "coupon " + p.coupon.ID.String()
	case p.id != 0:
		return "coupon " + p.id.String()
	}
	return fmt.Sprintf("code %q", p.code)
}

// absent is the rejection of a coupon that the user does not have. Whether
// somebody else has it is not the caller's to know.
func absent() models.Rejection {
	return models.Rejection{Code: models.CodeCouponNotAvailable, Detail: "the user has no such coupon"}
}
