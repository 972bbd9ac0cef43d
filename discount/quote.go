package discount

import (
	"cmp"
	"slices"

	"scrip/models"
)

// Outcome is a quote, and what freezing it needs.
type Outcome struct {
	Quote models.Quote

	session *session
	given   []given
}

// given is a coupon that was applied and what it gave.
type given struct {
	coupon *coupon
	offer  offer
	shares []models.LineShare
}

// Quote applies the candidates to the order: in order of priority, kind and
// id, each as far as those before it let it. The order of the candidates does
// not matter but for the order of Rejected. ErrCart for what the caller should
// have checked.
func (e *Engine) Quote(order Order, candidates []Candidate) (*Outcome, error) {
	s, err := e.open(order)
	if err != nil {
		return nil, err
	}
	coupons, err := s.judge(candidates)
	if err != nil {
		return nil, err
	}
	b := s.basket()
	out := &Outcome{session: s}
	for _, c := range inTurn(coupons) {
		if c.refusal != nil {
			continue
		}
		o := s.offer(b, c)
		if c.refusal = s.mayJoin(out.given, c, &o); c.refusal != nil {
			continue
		}
		rec := recorder{
			runs:  make([]models.ShareRun, 0, 2*len(s.lines)),
			lines: make([]recorded, 0, len(s.lines)),
		}
		s.take(b, c, &o, &rec)
		out.given = append(out.given, given{c, o, rec.shares()})
	}
	s.render(out, b, coupons)
	return out, nil
}

// inTurn returns the coupons in their order of application.
func inTurn(coupons []coupon) []*coupon {
	turn := make([]*coupon, len(coupons))
	for i := range coupons {
		turn[i] = &coupons[i]
	}
	slices.SortStableFunc(turn, func(a, b *coupon) int {
		return cmp.Or(
			cmp.Compare(a.rule.Stacking.Priority, b.rule.Stacking.Priority),
			cmp.Compare(kindOrder(a.rule.Kind), kindOrder(b.rule.Kind)),
			cmp.Compare(a.CouponID, b.CouponID),
		)
	})
	return turn
}

// kindOrder is the place of a kind at equal priority.
func kindOrder(k models.Kind) int {
	switch k {
	case models.KindFixedPrice:
		return 1
	case models.KindBuyXGetY:
		return 2
	case models.KindPercentOff:
		return 3
	case models.KindAmountOff:
		return 4
	case models.KindFreeShipping:
		return 5
	case models.KindFreeItem:
		return 6
	}
	return 7
}

// mayJoin returns why c may not join those already applied with what it would
// give, or nil.
func (s *session) mayJoin(applied []given, c *coupon, o *offer) *refusal {
	if !s.fitsBudgets(applied, c, o.total()) {
		return refuse(models.CodeBudgetExhausted, "a budget of the coupon is used up")
	}
	stacking := &c.rule.Stacking
	same, limit := int64(1), stacking.MaxPerOrder
	exclusive, grouped := false, false
	for i := range applied {
		other := applied[i].coupon
		exclusive = exclusive || stacking.ExclusiveAll || other.rule.Stacking.ExclusiveAll
		grouped = grouped || c.group != 0 && c.group == other.group
		if other.rule.ID == c.rule.ID {
			same, limit = same+1, min(limit, other.rule.Stacking.MaxPerOrder)
		}
	}
	switch {
	case exclusive && stacking.ExclusiveAll:
		return refuse(models.CodeExclusive, "the coupon stands alone, and others are applied")
	case exclusive:
		return refuse(models.CodeExclusive, "another coupon stands alone")
	case grouped:
		return refuse(models.CodeGroup, "another coupon of the group %s is applied", stacking.Group)
	case same > limit:
		return refuse(models.CodeMaxPerOrder, "at most %d coupons of this rule can be applied", limit)
	case o.total() == 0 && c.rule.Kind != models.KindFreeItem:
		return refuse(models.CodeNoEffect, "the coupon would give nothing")
	}
	return nil
}

// fitsBudgets reports whether what c would take fits into what the coupons
// applied before it leave of its budgets.
func (s *session) fitsBudgets(applied []given, c *coupon, total int64) bool {
	for _, u := range c.uses {
		left := s.names.left[u.budget-1]
		for i := range applied {
			for _, other := range applied[i].coupon.uses {
				if other.budget == u.budget {
					left -= other.takes(applied[i].offer.total())
				}
			}
		}
		if u.takes(total) > left {
			return false
		}
	}
	return true
}

// takes is what an application that gives so much counts for.
func (u use) takes(total int64) int64 {
	if u.kind == models.BudgetCount {
		return 1
	}
	return total
}

func (s *session) render(out *Outcome, b *basket, coupons []coupon) {
	q := &out.Quote
	q.Currency = s.order.Cart.Currency
	q.Subtotal, q.Discount = s.subtotal, s.subtotal-b.left
	q.Shipping = s.order.Cart.Shipping
	q.ShippingDiscount = q.Shipping - b.shipping
	q.Total = b.left + b.shipping
	q.Applied = make([]models.AppliedCoupon, len(out.given))
	q.Gifts, q.Rejected = []models.Gift{}, []models.Rejection{}
	for i := range out.given {
		g := &out.given[i]
		q.Applied[i] = s.renderApplied(g)
		if g.coupon.rule.Kind == models.KindFreeItem {
			e := &g.coupon.rule.Effect
			q.Gifts = append(q.Gifts, models.Gift{SKU: e.SKU, Quantity: *e.Quantity, CouponID: g.coupon.CouponID})
		}
	}
	for i := range coupons {
		if coupons[i].refusal != nil {
			q.Rejected = append(q.Rejected, coupons[i].rejection())
		}
	}
	q.Lines = make([]models.QuoteLine, len(s.lines))
	for i := range s.lines {
		q.Lines[s.lines[i].place] = s.renderLine(i, &b.lines[i])
	}
}

// renderApplied lists the lines in the request's order, as everywhere.
func (s *session) renderApplied(g *given) models.AppliedCoupon {
	applied := models.AppliedCoupon{
		CouponID: g.coupon.CouponID, Discount: g.offer.lines, ShippingDiscount: g.offer.shipping,
		Lines: make([]models.LineDiscount, 0, len(g.shares)),
	}
	slices.SortFunc(g.shares, func(a, b models.LineShare) int {
		return cmp.Compare(s.lines[a.Line].place, s.lines[b.Line].place)
	})
	for i := range g.shares {
		line := &s.lines[g.shares[i].Line]
		sum := int64(0)
		for _, r := range g.shares[i].Units {
			sum += r.Quantity * r.Discount
		}
		if sum > 0 {
			applied.Lines = append(applied.Lines, models.LineDiscount{LineID: line.line.LineID, Discount: sum})
		}
	}
	return applied
}

func (s *session) renderLine(i int, left *basketLine) models.QuoteLine {
	line := models.QuoteLine{
		LineID: s.lines[i].line.LineID, Subtotal: s.lines[i].subtotal,
		Discount: s.lines[i].subtotal - left.left, Total: left.left,
		Units: make([]models.UnitRun, 0, len(left.runs)),
	}
	for _, r := range left.runs {
		if last := len(line.Units) - 1; last >= 0 && line.Units[last].Total == r.left {
			line.Units[last].Quantity += r.n
			continue
		}
		line.Units = append(line.Units, models.UnitRun{Quantity: r.n, Total: r.left})
	}
	return line
}

// rejection names the coupon as the request did.
func (c *coupon) rejection() models.Rejection {
	return models.Rejection{
		CouponID: c.CouponID, CouponCode: c.Code,
		Code: c.refusal.code, Detail: c.refusal.detail, Shortfall: c.refusal.shortfall,
	}
}

// Freeze returns the quote with everything that a refund will need to know.
func (o *Outcome) Freeze() models.Frozen {
	s := o.session
	f := models.Frozen{
		Quote: o.Quote, At: models.Instant(s.order.Now),
		Lines:   make([]models.FrozenLine, len(s.lines)),
		Coupons: make([]models.FrozenCoupon, len(o.given)),
	}
	for _, line := range s.lines {
		f.Lines[line.place] = models.FrozenLine{
			LineID: line.line.LineID, UnitPrice: line.price, Quantity: line.quantity,
		}
	}
	for i := range o.given {
		f.Coupons[i] = s.freeze(&o.given[i])
	}
	return f
}

func (s *session) freeze(g *given) models.FrozenCoupon {
	c := g.coupon
	f := models.FrozenCoupon{
		CouponID: c.CouponID, TemplateID: c.TemplateID, RuleID: c.rule.ID, RuleVersion: c.rule.Version,
		MinAmount: c.rule.Conditions.MinAmount, Return: c.Return,
		Budgets: make([]models.BudgetRef, len(c.Budgets)),
		Covers:  []int{},
		Shares:  make([]models.LineShare, 0, len(g.shares)),
	}
	for i, b := range c.Budgets {
		f.Budgets[i] = models.BudgetRef{ID: b.ID, Kind: b.Kind}
	}
	for i := c.scope.next(0); i >= 0; i = c.scope.next(i + 1) {
		f.Covers = append(f.Covers, s.lines[i].place)
	}
	slices.Sort(f.Covers)
	for _, share := range g.shares {
		f.Shares = append(f.Shares, models.LineShare{Line: s.lines[share.Line].place, Units: share.Units})
	}
	return f
}
