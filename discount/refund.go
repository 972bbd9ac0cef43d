package discount

import (
	"cmp"
	"maps"
	"slices"

	"scrip/models"
)

// Refund works out what refunding the asked units of a frozen quote pays, when
// so much was refunded before. Units go in their order, each at its frozen net
// price; a coupon that recomputes has lost its share on the units kept once
// their original prices no longer meet its minimum. Errors are refusals:
// refund_exceeds for an unknown line or more units than are left of it.
func Refund(f *models.Frozen, before models.Refunded, ask []models.RefundLine) (models.Refund, error) {
	r, err := newRefunding(f, before, ask)
	if err != nil {
		return models.Refund{}, err
	}
	refund := models.Refund{Amount: max(0, r.due()-before.Amount), Last: r.last()}
	refund.Lines = r.lines(refund.Amount)
	r.giveBack(&refund)
	return refund, nil
}

// refunding is one refund: for every line the units returned before it, and
// with it.
type refunding struct {
	frozen *models.Frozen
	ask    []models.RefundLine
	place  []int   // of each asked line among the frozen ones
	before []int64 // by line
	after  []int64
}

func newRefunding(f *models.Frozen, before models.Refunded, ask []models.RefundLine) (*refunding, error) {
	r := &refunding{frozen: f, ask: ask, before: make([]int64, len(f.Lines))}
	places := make(map[string]int, len(f.Lines))
	for i := range f.Lines {
		places[f.Lines[i].LineID] = i
		r.before[i] = before.Units[f.Lines[i].LineID]
	}
	r.after = slices.Clone(r.before)
	for _, line := range ask {
		i, known := places[line.LineID]
		switch {
		case line.Quantity < 1:
			return nil, models.Refuse(models.CodeOutOfRange, "at least one unit of a line is refunded")
		case !known:
			return nil, models.Refuse(models.CodeRefundExceeds, "the order has no line %q", line.LineID)
		case slices.Contains(r.place, i):
			return nil, models.Refuse(models.CodeNotUnique, "line %q is named twice", line.LineID)
		case line.Quantity > f.Lines[i].Quantity-r.before[i]:
			return nil, models.Refuse(models.CodeRefundExceeds, "of line %q only %d units are left",
				line.LineID, f.Lines[i].Quantity-r.before[i])
		}
		r.place = append(r.place, i)
		r.after[i] += line.Quantity
	}
	return r, nil
}

// due is what the refunds up to this one come to in all.
func (r *refunding) due() int64 {
	sum := int64(0)
	for i := range r.frozen.Lines {
		sum += netOf(r.frozen.Quote.Lines[i].Units, 0, r.after[i])
	}
	for i := range r.frozen.Coupons {
		if c := &r.frozen.Coupons[i]; r.loses(c) {
			for _, share := range c.Shares {
				sum -= shareOf(share.Units, r.after[share.Line], r.frozen.Lines[share.Line].Quantity)
			}
		}
	}
	return sum
}

// loses reports whether the units kept no longer earn the coupon.
func (r *refunding) loses(c *models.FrozenCoupon) bool {
	if c.Return.BelowMinimum != models.BelowRecompute {
		return false
	}
	kept := int64(0)
	for _, i := range c.Covers {
		kept += (r.frozen.Lines[i].Quantity - r.after[i]) * r.frozen.Lines[i].UnitPrice
	}
	return kept < c.MinAmount
}

func (r *refunding) last() bool {
	for i := range r.frozen.Lines {
		if r.after[i] < r.frozen.Lines[i].Quantity {
			return false
		}
	}
	return true
}

// lines says what of the amount is for which line. With shares lost or won
// back the amount is not the sum of the units' net prices: then it is shared
// over the lines in proportion to those, as a discount would be, or to the
// original prices where all were free.
func (r *refunding) lines(amount int64) []models.RefundedLine {
	lines := make([]models.RefundedLine, len(r.ask))
	parts := make([]part, len(r.ask))
	net := int64(0)
	for i, line := range r.ask {
		p := r.place[i]
		parts[i] = part{n: 1, left: amount, weight: netOf(r.frozen.Quote.Lines[p].Units, r.before[p], r.after[p])}
		net += parts[i].weight
		lines[i] = models.RefundedLine{LineID: line.LineID, Quantity: line.Quantity}
	}
	if net == 0 {
		for i, p := range r.place {
			parts[i].weight = r.ask[i].Quantity * r.frozen.Lines[p].UnitPrice
		}
	}
	for i := range parts { // ties go to the earlier line_id
		for j := range r.ask {
			if r.ask[j].LineID < r.ask[i].LineID {
				parts[i].pos++
			}
		}
	}
	for i, p := range share(amount, parts) {
		lines[i].Amount = p.share
	}
	return lines
}

// giveBack fills in what the budgets get: of an amount the shares on the units
// returned, of a count the application once nothing is left of the order, and
// then the coupons too.
func (r *refunding) giveBack(refund *models.Refund) {
	refund.CouponsReturned = []models.ID{}
	refund.PerCoupon = make([]models.CouponShare, len(r.frozen.Coupons))
	budgets := map[models.ID]int64{}
	for i := range r.frozen.Coupons {
		c := &r.frozen.Coupons[i]
		sum := int64(0)
		for _, share := range c.Shares {
			sum += shareOf(share.Units, r.before[share.Line], r.after[share.Line])
		}
		refund.PerCoupon[i] = models.CouponShare{CouponID: c.CouponID, Discount: sum}
		for _, b := range c.Budgets {
			switch {
			case b.Kind == models.BudgetAmount && sum > 0:
				budgets[b.ID] += sum
			case b.Kind == models.BudgetCount && refund.Last:
				budgets[b.ID]++
			}
		}
		if refund.Last && c.Return.OnCancel {
			refund.CouponsReturned = append(refund.CouponsReturned, c.CouponID)
		}
	}
	refund.BudgetReturned = make([]models.BudgetReturned, 0, len(budgets))
	for _, id := range slices.SortedFunc(maps.Keys(budgets), cmp.Compare[models.ID]) {
		refund.BudgetReturned = append(refund.BudgetReturned, models.BudgetReturned{BudgetID: id, Amount: budgets[id]})
	}
}

// netOf is the net price of a line's units from the given one up to another.
func netOf(runs []models.UnitRun, from, until int64) int64 {
	sum, pos := int64(0), int64(0)
	for _, r := range runs {
		sum += overlap(pos, r.Quantity, from, until) * r.Total
		pos += r.Quantity
	}
	return sum
}

// shareOf is a coupon's share on a line's units from the given one up to
// another.
func shareOf(runs []models.ShareRun, from, until int64) int64 {
	sum, pos := int64(0), int64(0)
	for _, r := range runs {
		sum += overlap(pos, r.Quantity, from, until) * r.Discount
		pos += r.Quantity
	}
	return sum
}

// overlap counts the units of a run of n from pos that lie in from … until.
func overlap(pos, n, from, until int64) int64 {
	return max(0, min(pos+n, until)-max(pos, from))
}
