package discount

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"scrip/models"
)

// cartLine is a line of the cart with its place in the request.
type cartLine struct {
	line     *models.CartLine
	place    int
	price    int64
	quantity int64
	subtotal int64
}

// session is one call: the cart prepared, and what the coupons share.
type session struct {
	engine   *Engine
	order    Order
	lines    []cartLine // by line_id
	index    *lineIndex
	subtotal int64
	units    int64
	names    naming
	env      *ExpressionEnv // made when the first expression asks
}

// naming numbers groups and budgets from 1 as they come.
type naming struct {
	groups  map[groupName]int
	budgets map[models.ID]int
	left    []int64 // of budget number i + 1
}

// groupName is a stacking group: its name means something to its owner only.
type groupName struct{ owner, name string }

// coupon is a candidate as one cart meets it.
type coupon struct {
	*Candidate
	rule    *models.Rule
	place   int // among the candidates
	group   int // 0: none
	uses    []use
	scope   lineSet
	get     lineSet // of buy_x_get_y
	amount  int64   // Σ price of the scope, before any discount
	refusal *refusal
}

// use is a limited budget that a coupon counts against, by number.
type use struct {
	budget int
	kind   models.BudgetKind
}

// refusal says why a coupon does not apply.
type refusal struct {
	code      models.Code
	detail    string
	shortfall int64
}

func refuse(code models.Code, format string, args ...any) *refusal {
	if len(args) == 0 {
		return &refusal{code: code, detail: format}
	}
	return &refusal{code: code, detail: fmt.Sprintf(format, args...)}
}

func (e *Engine) open(order Order) (*session, error) {
	subtotal, units, ok := order.Cart.Totals()
	if n := len(order.Cart.Lines); !ok || n < 1 || n > models.MaxLines {
		return nil, ErrCart
	}
	s := &session{engine: e, order: order, subtotal: subtotal, units: units}
	s.lines = make([]cartLine, len(order.Cart.Lines))
	for i := range order.Cart.Lines {
		line := &order.Cart.Lines[i]
		s.lines[i] = cartLine{line, i, line.UnitPrice, line.Quantity, line.UnitPrice * line.Quantity}
	}
	slices.SortFunc(s.lines, func(a, b cartLine) int { return strings.Compare(a.line.LineID, b.line.LineID) })
	for i := 1; i < len(s.lines); i++ {
		if s.lines[i].line.LineID == s.lines[i-1].line.LineID {
			return nil, ErrCart
		}
	}
	s.index = newLineIndex(order.Cart, s.lines)
	return s, nil
}

// judge looks at everything about the candidates that the other coupons of the
// order do not change.
func (s *session) judge(candidates []Candidate) ([]coupon, error) {
	coupons := make([]coupon, len(candidates))
	for i := range candidates {
		c := &coupons[i]
		c.Candidate, c.place, c.rule = &candidates[i], i, candidates[i].Rule
		if !soundRule(c.rule) {
			return nil, ErrCart
		}
		c.scope = s.index.covered(&c.rule.Scope, c.MerchantID)
		if c.rule.Kind == models.KindBuyXGetY {
			c.get = c.scope
			if c.rule.Effect.Get != nil {
				c.get = s.index.covered(c.rule.Effect.Get, c.MerchantID)
			}
		}
		c.amount = s.original(&c.scope)
		c.group = s.names.group(c.rule)
		c.uses = s.names.uses(c.Budgets)
		c.refusal = s.refuses(c)
	}
	return coupons, nil
}

// soundRule reports whether an effect has the numbers that its kind needs.
func soundRule(r *models.Rule) bool {
	if r == nil {
		return false
	}
	e := &r.Effect
	switch r.Kind {
	case models.KindFixedPrice:
		return e.Price != nil
	case models.KindBuyXGetY:
		return e.BuyQuantity != nil && *e.BuyQuantity > 0 && e.GetQuantity != nil && e.PercentOffBP != nil
	case models.KindPercentOff:
		return e.PercentOffBP != nil
	case models.KindAmountOff:
		return e.AmountOff != nil && (e.Every == nil || e.Every.Spend > 0)
	case models.KindFreeShipping:
		return true
	case models.KindFreeItem:
		return e.Quantity != nil
	}
	return false
}

func (n *naming) group(r *models.Rule) int {
	if r.Stacking.Group == "" {
		return 0
	}
	if n.groups == nil {
		n.groups = map[groupName]int{}
	}
	name := groupName{r.MerchantID, r.Stacking.Group}
	if n.groups[name] == 0 {
		n.groups[name] = len(n.groups) + 1
	}
	return n.groups[name]
}

func (n *naming) uses(budgets []Budget) []use {
	var uses []use
	for _, b := range budgets {
		if !b.Limited {
			continue
		}
		if n.budgets == nil {
			n.budgets = map[models.ID]int{}
		}
		number := n.budgets[b.ID]
		if number == 0 {
			n.left = append(n.left, b.Left)
			number = len(n.left)
			n.budgets[b.ID] = number
		}
		n.left[number-1] = min(n.left[number-1], b.Left)
		uses = append(uses, use{number, b.Kind})
	}
	return uses
}

// original is Σ price over the lines of a set.
func (s *session) original(set *lineSet) int64 {
	sum := int64(0)
	for i := set.next(0); i >= 0; i = set.next(i + 1) {
		sum += s.lines[i].subtotal
	}
	return sum
}

func (s *session) quantity(set *lineSet) int64 {
	sum := int64(0)
	for i := set.next(0); i >= 0; i = set.next(i + 1) {
		sum += s.lines[i].quantity
	}
	return sum
}

// refuses returns the first reason against a coupon that does not depend on
// the other coupons of the order, or nil.
func (s *session) refuses(c *coupon) *refusal {
	now, cart := s.order.Now, s.order.Cart
	switch {
	// Whether a job has noted the end of a coupon yet must not change the
	// answer, so one that is expired is told as its time tells it.
	case c.Status != models.CouponAvailable && c.Status != models.CouponExpired:
		return refuse(models.CodeCouponNotAvailable, "the coupon is %s", c.Status)
	case now.Before(c.ValidFrom):
		return refuse(models.CodeNotStarted, "the coupon is valid from %s on", c.ValidFrom.UTC().Format(time.RFC3339))
	case !now.Before(c.ExpiresAt) || c.Status == models.CouponExpired:
		return refuse(models.CodeExpired, "the coupon expired at %s", c.ExpiresAt.UTC().Format(time.RFC3339))
	case c.Currency != cart.Currency:
		return refuse(models.CodeCurrencyDiffer, "the coupon is for %s, the cart in %s", c.Currency, cart.Currency)
	case c.scope.empty():
		return refuse(models.CodeOutOfScope, "no line of the cart is covered by the coupon")
	}
	return s.failsConditions(c)
}

func (s *session) failsConditions(c *coupon) *refusal {
	cond, cart := &c.rule.Conditions, s.order.Cart
	if short := cond.MinAmount - c.amount; short > 0 {
		r := refuse(models.CodeMinAmount, "spend %s more", models.FormatAmount(short, cart.Currency))
		r.shortfall = short
		return r
	}
	if cond.MinQuantity > 0 {
		if short := cond.MinQuantity - s.quantity(&c.scope); short > 0 {
			r := refuse(models.CodeMinQuantity, "%d more units are needed", short)
			r.shortfall = short
			return r
		}
	}
	switch {
	case len(cond.UserTagsAny) > 0 && !slices.ContainsFunc(s.order.UserTags, func(tag string) bool {
		return slices.Contains(cond.UserTagsAny, tag)
	}):
		return refuse(models.CodeUserTagsAny, "the coupon is for other users")
	case cond.FirstOrder && !cart.FirstOrder:
		return refuse(models.CodeFirstOrder, "the coupon is for a first order")
	case len(cond.PaymentMethods) > 0 && !slices.Contains(cond.PaymentMethods, cart.PaymentMethod):
		return refuse(models.CodePaymentMethods, "the coupon is for another way to pay")
	case len(cond.Channels) > 0 && !slices.Contains(cond.Channels, cart.Channel):
		return refuse(models.CodeChannels, "the coupon is for another channel")
	}
	return s.failsTimes(c)
}

func (s *session) failsTimes(c *coupon) *refusal {
	cond := &c.rule.Conditions
	if len(cond.DaysOfWeek) == 0 && cond.TimeOfDay == nil && cond.Expression == "" {
		return nil
	}
	local := s.order.Now.UTC()
	if c.Zone != nil {
		local = s.order.Now.In(c.Zone)
	}
	if len(cond.DaysOfWeek) > 0 && !slices.Contains(cond.DaysOfWeek, isoWeekday(local)) {
		return refuse(models.CodeDaysOfWeek, "the coupon does not apply on a %s", local.Weekday())
	}
	if t := cond.TimeOfDay; t != nil && !inTimeOfDay(t, local) {
		return refuse(models.CodeTimeOfDay, "the coupon applies from %s to %s", t.From, t.Until)
	}
	if cond.Expression != "" {
		yes, err := s.engine.programs.holds(cond.Expression, s.environment(local))
		if err != nil {
			return refuse(models.CodeExpression, "the coupon's condition cannot be judged: %v", err)
		}
		if !yes {
			return refuse(models.CodeExpression, "the cart does not meet the coupon's condition")
		}
	}
	return nil
}

// isoWeekday is 1 for Monday … 7 for Sunday.
func isoWeekday(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 }

// inTimeOfDay reports from ≤ t < until, over midnight if from > until. A span
// that cannot be read holds never.
func inTimeOfDay(span *models.TimeOfDay, local time.Time) bool {
	from, fromErr := models.MinuteOfDay(span.From)
	until, untilErr := models.MinuteOfDay(span.Until)
	if fromErr != nil || untilErr != nil {
		return false
	}
	minute := local.Hour()*60 + local.Minute()
	if from < until {
		return from <= minute && minute < until
	}
	return minute >= from || minute < until
}

// environment is what expressions see; only the time differs between coupons.
func (s *session) environment(local time.Time) *ExpressionEnv {
	if s.env == nil {
		s.env = &ExpressionEnv{
			Cart: s.expressionCart(),
			User: &ExpressionUser{ID: s.order.Cart.UserID, Tags: s.order.UserTags},
		}
	}
	env := *s.env
	env.Time = &ExpressionTime{
		Year: local.Year(), Month: int(local.Month()), Day: local.Day(), Weekday: isoWeekday(local),
		Hour: local.Hour(), Minute: local.Minute(),
		Date: local.Format(time.DateOnly), Clock: local.Format("15:04"),
	}
	return &env
}

// expressionCart shows the lines in their own order, not the request's, so
// that not even lines[0] lets that order change anything.
func (s *session) expressionCart() *ExpressionCart {
	cart := s.order.Cart
	lines := make([]ExpressionLine, len(s.lines))
	for i := range s.lines {
		l := &s.lines[i]
		lines[i] = ExpressionLine{
			LineID: l.line.LineID, SKU: l.line.SKU, CategoryIDs: l.line.CategoryIDs, MerchantID: cart.Owner(l.line),
			Quantity: int(l.quantity), UnitPrice: int(l.price), Subtotal: int(l.subtotal),
		}
	}
	return &ExpressionCart{
		UserID: cart.UserID, Currency: cart.Currency, MerchantID: cart.MerchantID, PaymentMethod: cart.PaymentMethod,
		Channel: cart.Channel, FirstOrder: cart.FirstOrder,
		Subtotal: int(s.subtotal), Shipping: int(cart.Shipping), Quantity: int(s.units), Lines: lines,
	}
}
