package discount

import (
	"cmp"
	"math/big"
	"slices"
	"time"

	"scrip/models"
)

// The second implementation: every unit on its own, every product a big.Rat,
// every list walked from its beginning. It is written from the rules as they
// are published and shares nothing with the first but the types.

// refUnit is one unit of one line.
type refUnit struct {
	line  *models.CartLine
	no    int // in its line
	left  *big.Int
	taken map[models.ID]*big.Int // by coupon
}

type refOrder struct {
	order    Order
	units    []*refUnit // by line_id, then number
	shipping *big.Int
	applied  []*refApplied
	rejected map[models.ID]models.Rejection
	gifts    []models.Gift
}

type refApplied struct {
	c               *Candidate
	lines, shipping *big.Int
}

func bigOf(n int64) *big.Int { return big.NewInt(n) }

func refQuote(order Order, candidates []Candidate) *refOrder {
	r := &refOrder{order: order, shipping: bigOf(order.Cart.Shipping), rejected: map[models.ID]models.Rejection{}}
	lines := make([]*models.CartLine, 0)
	for i := range order.Cart.Lines {
		lines = append(lines, &order.Cart.Lines[i])
	}
	slices.SortFunc(lines, func(a, b *models.CartLine) int { return cmp.Compare(a.LineID, b.LineID) })
	for _, line := range lines {
		for no := range int(line.Quantity) {
			r.units = append(r.units, &refUnit{line, no, bigOf(line.UnitPrice), map[models.ID]*big.Int{}})
		}
	}
	turn := slices.Clone(candidates)
	kinds := []models.Kind{"fixed_price", "buy_x_get_y", "percent_off", "amount_off", "free_shipping", "free_item"}
	slices.SortFunc(turn, func(a, b Candidate) int {
		if c := a.Rule.Stacking.Priority - b.Rule.Stacking.Priority; c != 0 {
			return c
		}
		if c := slices.Index(kinds, a.Rule.Kind) - slices.Index(kinds, b.Rule.Kind); c != 0 {
			return c
		}
		return cmp.Compare(a.CouponID, b.CouponID)
	})
	for i := range turn {
		r.turn(&turn[i])
	}
	return r
}

// covers reports whether the line lies in the scope for the coupon's owner.
func (r *refOrder) covers(c *Candidate, scope *models.Scope, line *models.CartLine) bool {
	owner := line.MerchantID
	if owner == "" {
		owner = r.order.Cart.MerchantID
	}
	if c.MerchantID != "" && c.MerchantID != owner {
		return false
	}
	named := len(scope.SKUs) == 0 && len(scope.CategoryIDs) == 0 || slices.Contains(scope.SKUs, line.SKU)
	excluded := slices.Contains(scope.ExcludeSKUs, line.SKU)
	for _, category := range line.CategoryIDs {
		named = named || slices.Contains(scope.CategoryIDs, category)
		excluded = excluded || slices.Contains(scope.ExcludeCategoryIDs, category)
	}
	return named && !excluded
}

func (r *refOrder) unitsIn(c *Candidate, scope *models.Scope) (units []*refUnit) {
	for _, u := range r.units {
		if r.covers(c, scope, u.line) {
			units = append(units, u)
		}
	}
	return units
}

// turn applies one coupon, or rejects it.
func (r *refOrder) turn(c *Candidate) {
	code, short := r.judge(c)
	if code != "" {
		r.rejected[c.CouponID] = models.Rejection{CouponID: c.CouponID, Code: code, Shortfall: short}
		return
	}
	cuts, shipping := r.gives(c)
	lines := bigOf(0)
	for _, cut := range cuts {
		lines.Add(lines, cut)
	}
	total := new(big.Int).Add(lines, shipping)
	if code := r.joins(c, total); code != "" {
		r.rejected[c.CouponID] = models.Rejection{CouponID: c.CouponID, Code: code}
		return
	}
	for u, cut := range cuts {
		u.left.Sub(u.left, cut)
		u.taken[c.CouponID] = cut
	}
	r.shipping.Sub(r.shipping, shipping)
	r.applied = append(r.applied, &refApplied{c, lines, shipping})
	if c.Rule.Kind == "free_item" {
		r.gifts = append(r.gifts, models.Gift{SKU: c.Rule.Effect.SKU, Quantity: *c.Rule.Effect.Quantity, CouponID: c.CouponID})
	}
}

func (r *refOrder) judge(c *Candidate) (models.Code, int64) {
	cart, cond, now := r.order.Cart, &c.Rule.Conditions, r.order.Now
	amount, quantity := int64(0), int64(0)
	for _, u := range r.unitsIn(c, &c.Rule.Scope) {
		amount, quantity = amount+u.line.UnitPrice, quantity+1
	}
	zone := time.UTC
	if c.Zone != nil {
		zone = c.Zone
	}
	local := now.In(zone)
	day := int(local.Weekday())
	if day == 0 {
		day = 7
	}
	tagged := false
	for _, tag := range r.order.UserTags {
		tagged = tagged || slices.Contains(cond.UserTagsAny, tag)
	}
	switch {
	case c.Status == "locked" || c.Status == "used" || c.Status == "revoked":
		return "coupon_not_available", 0
	case now.Before(c.ValidFrom):
		return "not_started", 0
	case c.Status == "expired" || !now.Before(c.ExpiresAt):
		return "expired", 0
	case c.Currency != cart.Currency:
		return "currency_mismatch", 0
	case quantity == 0:
		return "out_of_scope", 0
	case amount < cond.MinAmount:
		return "min_amount", cond.MinAmount - amount
	case quantity < cond.MinQuantity:
		return "min_quantity", cond.MinQuantity - quantity
	case len(cond.UserTagsAny) > 0 && !tagged:
		return "user_tags_any", 0
	case cond.FirstOrder && !cart.FirstOrder:
		return "first_order", 0
	case len(cond.PaymentMethods) > 0 && !slices.Contains(cond.PaymentMethods, cart.PaymentMethod):
		return "payment_methods", 0
	case len(cond.Channels) > 0 && !slices.Contains(cond.Channels, cart.Channel):
		return "channels", 0
	case len(cond.DaysOfWeek) > 0 && !slices.Contains(cond.DaysOfWeek, day):
		return "days_of_week", 0
	case cond.TimeOfDay != nil && !refInSpan(cond.TimeOfDay, local.Format("15:04")):
		return "time_of_day", 0
	case cond.Expression != "" && !refExpressions()[cond.Expression](r):
		return "expression", 0
	}
	return "", 0
}

// refInSpan compares clocks as texts: "HH:MM" sorts as time does.
func refInSpan(span *models.TimeOfDay, clock string) bool {
	if span.From < span.Until {
		return clock >= span.From && clock < span.Until
	}
	return clock >= span.From || clock < span.Until
}

// refExpressions says what the expressions of the random carts mean.
func refExpressions() map[string]func(r *refOrder) bool {
	return map[string]func(r *refOrder) bool{
		`len(cart.lines) >= 2`: func(r *refOrder) bool { return len(r.order.Cart.Lines) >= 2 },
		`any(cart.lines, .sku == "s1")`: func(r *refOrder) bool {
			return slices.ContainsFunc(r.order.Cart.Lines, func(l models.CartLine) bool { return l.SKU == "s1" })
		},
		`cart.quantity % 2 == 0`: func(r *refOrder) bool { return len(r.units)%2 == 0 },
		`"vip" in user.tags or time.hour < 9`: func(r *refOrder) bool {
			return slices.Contains(r.order.UserTags, "vip") || r.order.Now.UTC().Hour() < 9
		},
	}
}

// joins says why the coupon may not join those applied, giving so much.
func (r *refOrder) joins(c *Candidate, total *big.Int) models.Code {
	for _, b := range c.Budgets {
		if !b.Limited {
			continue
		}
		need := bigOf(0)
		for _, a := range r.applied {
			for _, other := range a.c.Budgets {
				if other.ID == b.ID && b.Kind == "count" {
					need.Add(need, bigOf(1))
				} else if other.ID == b.ID {
					need.Add(need, a.lines).Add(need, a.shipping)
				}
			}
		}
		if b.Kind == "count" {
			need.Add(need, bigOf(1))
		} else {
			need.Add(need, total)
		}
		if need.Cmp(bigOf(b.Left)) > 0 {
			return "budget_exhausted"
		}
	}
	mine := &c.Rule.Stacking
	for _, a := range r.applied {
		if mine.ExclusiveAll || a.c.Rule.Stacking.ExclusiveAll {
			return "stacking_exclusive"
		}
	}
	for _, a := range r.applied {
		if mine.Group != "" && a.c.Rule.Stacking.Group == mine.Group && a.c.Rule.MerchantID == c.Rule.MerchantID {
			return "stacking_group"
		}
	}
	limit, count := mine.MaxPerOrder, int64(1)
	for _, a := range r.applied {
		if a.c.Rule.ID == c.Rule.ID {
			count++
			limit = min(limit, a.c.Rule.Stacking.MaxPerOrder)
		}
	}
	if count > limit {
		return "stacking_max_per_order"
	}
	if total.Sign() == 0 && c.Rule.Kind != "free_item" {
		return "no_effect"
	}
	return ""
}

// gives works out what the coupon takes off every unit, and off the shipping.
func (r *refOrder) gives(c *Candidate) (map[*refUnit]*big.Int, *big.Int) {
	e := &c.Rule.Effect
	covered := r.unitsIn(c, &c.Rule.Scope)
	base := func(u *refUnit) *big.Int {
		if c.Rule.Stacking.Base == "original" {
			return bigOf(u.line.UnitPrice)
		}
		return new(big.Int).Set(u.left)
	}
	switch c.Rule.Kind {
	case "percent_off":
		d := refPercent(refSum(covered, base), *e.PercentOffBP)
		return refShareOut(refCap(d, e.MaxDiscount), covered, base), bigOf(0)
	case "amount_off":
		d := bigOf(*e.AmountOff)
		if e.Every != nil {
			times := new(big.Int).Div(refSum(covered, base), bigOf(e.Every.Spend))
			d.Mul(d, refCap(times, e.Every.MaxTimes))
		}
		return refShareOut(d, covered, base), bigOf(0)
	case "fixed_price":
		return r.fixed(c, covered), bigOf(0)
	case "buy_x_get_y":
		given := r.given(c, covered, base)
		d := refPercent(refSum(given, base), *e.PercentOffBP)
		return refShareOut(d, given, base), bigOf(0)
	case "free_shipping":
		return nil, refCap(new(big.Int).Set(r.shipping), e.MaxDiscount)
	case "free_item":
	}
	return nil, bigOf(0)
}

func (r *refOrder) fixed(c *Candidate, covered []*refUnit) map[*refUnit]*big.Int {
	price := bigOf(*c.Rule.Effect.Price)
	var dearer []*refUnit
	for _, u := range covered {
		if u.left.Cmp(price) > 0 {
			dearer = append(dearer, u)
		}
	}
	if most := c.Rule.Effect.MaxUnits; most != nil {
		slices.SortStableFunc(dearer, func(a, b *refUnit) int { return b.left.Cmp(a.left) })
		dearer = dearer[:min(len(dearer), int(*most))]
	}
	cuts := map[*refUnit]*big.Int{}
	for _, u := range dearer {
		cuts[u] = new(big.Int).Sub(u.left, price)
	}
	return cuts
}

// given tries every k from the largest down.
func (r *refOrder) given(c *Candidate, covered []*refUnit, base func(*refUnit) *big.Int) []*refUnit {
	e := &c.Rule.Effect
	get := covered
	if e.Get != nil {
		get = r.unitsIn(c, e.Get)
	}
	alive := func(u *refUnit) bool { return u.left.Sign() > 0 && u.line.UnitPrice > 0 }
	var cheapest []*refUnit
	for _, u := range get {
		if alive(u) {
			cheapest = append(cheapest, u)
		}
	}
	slices.SortStableFunc(cheapest, func(a, b *refUnit) int { return base(a).Cmp(base(b)) })
	for k := len(cheapest); k > 0; k-- {
		n := int64(0)
		for _, u := range covered {
			if alive(u) && !slices.Contains(cheapest[:k], u) {
				n++
			}
		}
		if int64(k) > *e.GetQuantity*(n / *e.BuyQuantity) {
			continue
		}
		if e.MaxTimes != nil && int64(k) > *e.GetQuantity**e.MaxTimes {
			continue
		}
		return cheapest[:k]
	}
	return nil
}

func refSum(units []*refUnit, of func(*refUnit) *big.Int) *big.Int {
	sum := bigOf(0)
	for _, u := range units {
		sum.Add(sum, of(u))
	}
	return sum
}

// refPercent rounds half away from zero; nothing here is below zero.
func refPercent(n *big.Int, bp int64) *big.Int {
	x := new(big.Rat).SetFrac(new(big.Int).Mul(n, bigOf(bp)), bigOf(10_000))
	x.Add(x, big.NewRat(1, 2))
	return new(big.Int).Div(x.Num(), x.Denom())
}

func refCap(n *big.Int, most *int64) *big.Int {
	if most != nil && n.Cmp(bigOf(*most)) > 0 {
		return bigOf(*most)
	}
	return n
}

// refShareOut shares d, or what is left if that is less, first over lines and
// then over the units of each.
func refShareOut(d *big.Int, units []*refUnit, base func(*refUnit) *big.Int) map[*refUnit]*big.Int {
	left := func(u *refUnit) *big.Int { return u.left }
	if all := refSum(units, left); d.Cmp(all) > 0 {
		d = all
	}
	units = slices.Clone(units)
	slices.SortFunc(units, func(a, b *refUnit) int {
		return cmp.Or(cmp.Compare(a.line.LineID, b.line.LineID), cmp.Compare(a.no, b.no))
	})
	var lines [][]*refUnit
	for _, u := range units {
		if n := len(lines); n > 0 && lines[n-1][0].line == u.line {
			lines[n-1] = append(lines[n-1], u)
		} else {
			lines = append(lines, []*refUnit{u})
		}
	}
	var weights, caps []*big.Int
	for _, line := range lines {
		weights, caps = append(weights, refSum(line, base)), append(caps, refSum(line, left))
	}
	cuts := map[*refUnit]*big.Int{}
	for i, share := range refShare(d, weights, caps) {
		weights, caps = nil, nil
		for _, u := range lines[i] {
			weights, caps = append(weights, base(u)), append(caps, u.left)
		}
		for j, cut := range refShare(share, weights, caps) {
			cuts[lines[i][j]] = cut
		}
	}
	return cuts
}

// refShare is the largest remainder method, again and again until it fits.
func refShare(d *big.Int, weights, caps []*big.Int) []*big.Int {
	d = new(big.Int).Set(d)
	shares := make([]*big.Int, len(weights))
	for {
		whole := bigOf(0)
		for i, w := range weights {
			if shares[i] == nil {
				whole.Add(whole, w)
			}
		}
		trial := make([]*big.Int, len(weights))
		rest := make([]*big.Rat, len(weights))
		var order []int
		over := new(big.Int).Set(d)
		for i, w := range weights {
			if shares[i] != nil {
				continue
			}
			trial[i], rest[i] = bigOf(0), new(big.Rat)
			if whole.Sign() > 0 {
				quota := new(big.Rat).SetFrac(new(big.Int).Mul(d, w), whole)
				trial[i].Div(quota.Num(), quota.Denom())
				rest[i].Sub(quota, new(big.Rat).SetInt(trial[i]))
			}
			over.Sub(over, trial[i])
			order = append(order, i)
		}
		slices.SortStableFunc(order, func(a, b int) int { return rest[b].Cmp(rest[a]) })
		for _, i := range order {
			if over.Sign() > 0 {
				trial[i].Add(trial[i], bigOf(1))
				over.Sub(over, bigOf(1))
			}
		}
		full := false
		for _, i := range order {
			if trial[i].Cmp(caps[i]) > 0 {
				shares[i], full = new(big.Int).Set(caps[i]), true
				d.Sub(d, caps[i])
			}
		}
		if !full {
			for _, i := range order {
				shares[i] = trial[i]
			}
			return shares
		}
	}
}

// quote writes the outcome in the form of an answer, without the sentences.
func (r *refOrder) quote(candidates []Candidate) models.Quote {
	cart := r.order.Cart
	q := models.Quote{
		Currency: cart.Currency, Shipping: cart.Shipping, Applied: []models.AppliedCoupon{},
		Gifts: append([]models.Gift{}, r.gifts...), Rejected: []models.Rejection{},
	}
	for i := range cart.Lines {
		line := models.QuoteLine{LineID: cart.Lines[i].LineID, Units: []models.UnitRun{}}
		for _, u := range r.units {
			if u.line != &cart.Lines[i] {
				continue
			}
			line.Subtotal += u.line.UnitPrice
			line.Total += u.left.Int64()
			if n := len(line.Units); n > 0 && line.Units[n-1].Total == u.left.Int64() {
				line.Units[n-1].Quantity++
			} else {
				line.Units = append(line.Units, models.UnitRun{Quantity: 1, Total: u.left.Int64()})
			}
		}
		line.Discount = line.Subtotal - line.Total
		q.Subtotal, q.Discount = q.Subtotal+line.Subtotal, q.Discount+line.Discount
		q.Lines = append(q.Lines, line)
	}
	for _, a := range r.applied {
		applied := models.AppliedCoupon{
			CouponID: a.c.CouponID, Discount: a.lines.Int64(), ShippingDiscount: a.shipping.Int64(),
			Lines: []models.LineDiscount{},
		}
		for i := range cart.Lines {
			sum := bigOf(0)
			for _, u := range r.units {
				if cut := u.taken[a.c.CouponID]; cut != nil && u.line == &cart.Lines[i] {
					sum.Add(sum, cut)
				}
			}
			if sum.Sign() > 0 {
				applied.Lines = append(applied.Lines, models.LineDiscount{LineID: cart.Lines[i].LineID, Discount: sum.Int64()})
			}
		}
		q.Applied = append(q.Applied, applied)
		q.ShippingDiscount += a.shipping.Int64()
	}
	for i := range candidates {
		if rejection, ok := r.rejected[candidates[i].CouponID]; ok {
			q.Rejected = append(q.Rejected, rejection)
		}
	}
	q.Total = q.Subtotal - q.Discount + q.Shipping - q.ShippingDiscount
	return q
}

// refund pays back units one by one and adds up.
func (r *refOrder) refund(before map[string]int64, paid int64, ask []models.RefundLine) (amount int64, perCoupon map[models.ID]int64) {
	after := map[string]int64{}
	for id, n := range before {
		after[id] = n
	}
	for _, line := range ask {
		after[line.LineID] += line.Quantity
	}
	due := bigOf(0)
	perCoupon = map[models.ID]int64{}
	for _, u := range r.units {
		if int64(u.no) < after[u.line.LineID] {
			due.Add(due, u.left)
			if int64(u.no) >= before[u.line.LineID] {
				for id, cut := range u.taken {
					perCoupon[id] += cut.Int64()
				}
			}
		}
	}
	for _, a := range r.applied {
		kept := int64(0)
		for _, u := range r.unitsIn(a.c, &a.c.Rule.Scope) {
			if int64(u.no) >= after[u.line.LineID] {
				kept += u.line.UnitPrice
			}
		}
		if a.c.Return.BelowMinimum != "recompute" || kept >= a.c.Rule.Conditions.MinAmount {
			continue
		}
		for _, u := range r.units {
			if cut := u.taken[a.c.CouponID]; cut != nil && int64(u.no) >= after[u.line.LineID] {
				due.Sub(due, cut)
			}
		}
	}
	return max(0, due.Int64()-paid), perCoupon
}
