package discount

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func ptr(n int64) *int64 { return &n }

// sampleNow is a Tuesday, 08:30 in UTC and 17:30 in Tokyo.
func sampleNow() time.Time { return time.Date(2026, 11, 24, 8, 30, 0, 0, time.UTC) }

// dice makes random carts and coupons: few skus, categories, prices and rates,
// so that things meet, and now and then amounts that need 128 bits.
type dice struct {
	*rand.Rand
	scale int64 // of the prices
}

func newDice(seed uint64) *dice {
	d := &dice{Rand: rand.New(rand.NewPCG(seed, 7)), scale: 1}
	switch d.IntN(10) {
	case 0:
		d.scale = 1_000_000_000
	case 1, 2, 3:
		d.scale = 97
	case 4:
		d.scale = 1_000
	}
	return d
}

func (d *dice) chance(n int) bool { return d.IntN(n) == 0 }

func (d *dice) some(words ...string) []string {
	var list []string
	for _, w := range words {
		if d.chance(2) {
			list = append(list, w)
		}
	}
	return list
}

func (d *dice) order(maxLines int) Order {
	cart := &models.Cart{UserID: "u", Currency: "USD"}
	for i := range 1 + d.IntN(maxLines) {
		line := models.CartLine{
			LineID: fmt.Sprint(d.IntN(50), "-", i), SKU: fmt.Sprint("s", d.IntN(5)),
			CategoryIDs: d.some("c0", "c1", "c2"), Quantity: 1 + int64(d.IntN(4)), UnitPrice: int64(d.IntN(12)) * d.scale,
		}
		if d.chance(3) {
			line.UnitPrice += int64(d.IntN(7))
		}
		if d.chance(5) {
			line.MerchantID = fmt.Sprint("m", d.IntN(3))
		}
		cart.Lines = append(cart.Lines, line)
	}
	if d.chance(2) {
		cart.MerchantID = "m0"
	}
	if d.chance(2) {
		cart.Shipping = int64(d.IntN(10)) * d.scale
	}
	if d.chance(2) {
		cart.PaymentMethod, cart.Channel, cart.FirstOrder = "card", "app", true
	}
	return Order{Now: sampleNow(), Cart: cart, UserTags: d.some("vip", "new")}
}

func (d *dice) scope() models.Scope {
	var s models.Scope
	switch d.IntN(5) {
	case 0:
		s.SKUs = d.some("s0", "s1", "s2", "s3")
	case 1:
		s.CategoryIDs = d.some("c0", "c1")
	case 2:
		s.SKUs, s.CategoryIDs = d.some("s1", "s4"), d.some("c2")
	}
	if d.chance(6) {
		s.ExcludeSKUs, s.ExcludeCategoryIDs = d.some("s0", "s2"), d.some("c1")
	}
	return s
}

func (d *dice) maybe(n int, most int64) *int64 {
	if d.chance(n) {
		return ptr(1 + d.Int64N(most))
	}
	return nil
}

func (d *dice) rate() int64 {
	return []int64{500, 1000, 1250, 2500, 3333, 4000, 5000, 7000, 10000, 1 + d.Int64N(10000)}[d.IntN(10)]
}

func (d *dice) rule(id models.ID) *models.Rule {
	kinds := []models.Kind{
		models.KindFixedPrice, models.KindBuyXGetY, models.KindPercentOff, models.KindPercentOff,
		models.KindAmountOff, models.KindAmountOff, models.KindFreeShipping, models.KindFreeItem,
	}
	r := &models.Rule{ID: id, Version: 1, Kind: kinds[d.IntN(len(kinds))], Scope: d.scope(), Stacking: d.stacking()}
	e := &r.Effect
	switch r.Kind {
	case models.KindFixedPrice:
		e.Price, e.MaxUnits = ptr(int64(d.IntN(9))*d.scale), d.maybe(2, 6)
	case models.KindBuyXGetY:
		e.BuyQuantity, e.GetQuantity, e.PercentOffBP = ptr(1+d.Int64N(3)), ptr(1+d.Int64N(2)), ptr(d.rate())
		e.MaxTimes = d.maybe(3, 3)
		if d.chance(2) {
			get := d.scope()
			e.Get = &get
		}
	case models.KindPercentOff:
		e.PercentOffBP, e.MaxDiscount = ptr(d.rate()), d.maybe(3, 30*d.scale)
	case models.KindAmountOff:
		e.AmountOff = ptr(1 + d.Int64N(20*d.scale))
		if d.chance(3) {
			e.Every = &models.Every{Spend: 1 + d.Int64N(20*d.scale), MaxTimes: d.maybe(2, 3)}
		}
	case models.KindFreeShipping:
		e.MaxDiscount = d.maybe(2, 5*d.scale)
	case models.KindFreeItem:
		e.SKU, e.Quantity = "gift", ptr(1)
	}
	if d.chance(4) {
		d.conditions(&r.Conditions)
	}
	if d.chance(6) {
		r.MerchantID = "m0"
	}
	return r
}

func (d *dice) conditions(c *models.Conditions) {
	switch d.IntN(10) {
	case 0:
		c.MinAmount = int64(d.IntN(40)) * d.scale
	case 1:
		c.MinQuantity = d.Int64N(8)
	case 2:
		c.UserTagsAny = []string{"vip", "gold"}
	case 3:
		c.FirstOrder = true
	case 4:
		c.PaymentMethods = []string{"card"}
	case 5:
		c.Channels = []string{"web", "app"}
	case 6:
		c.DaysOfWeek = []int{2, 6}
	case 7:
		c.TimeOfDay = &models.TimeOfDay{From: "22:00", Until: "08:31"}
	case 8:
		c.TimeOfDay = &models.TimeOfDay{From: "08:00", Until: "08:30"}
	case 9:
		expressions := []string{
			`len(cart.lines) >= 2`, `any(cart.lines, .sku == "s1")`, `cart.quantity % 2 == 0`,
			`"vip" in user.tags or time.hour < 9`,
		}
		c.Expression = expressions[d.IntN(len(expressions))]
	}
}

func (d *dice) stacking() models.Stacking {
	s := models.DefaultStacking()
	if d.chance(4) {
		s.Priority = 90 + d.IntN(20)
	}
	if d.chance(3) {
		s.Base = models.BaseOriginal
	}
	if d.chance(4) {
		s.MaxPerOrder = 1 + d.Int64N(3)
	}
	if d.chance(5) {
		s.Group = fmt.Sprint("g", d.IntN(2))
	}
	s.ExclusiveAll = d.chance(12)
	return s
}

// wallet makes n coupons of some rules; copies of one rule are common.
func (d *dice) wallet(n int) []Candidate {
	var templates []Candidate
	for i := range 1 + n/2 + d.IntN(n) {
		c := Candidate{
			TemplateID: models.ID(i + 1), Currency: "USD", Status: models.CouponAvailable,
			ValidFrom: sampleNow(), Rule: d.rule(models.ID(1 + i)), Return: models.DefaultReturnPolicy(),
		}
		if d.chance(6) {
			c.Rule.ID = models.ID(1 + d.IntN(n)) // another version of a rule
		}
		if d.chance(3) {
			c.Return.BelowMinimum = models.BelowRecompute
		}
		if d.chance(6) {
			c.MerchantID = "m0"
		}
		if d.chance(4) {
			c.Zone = time.FixedZone("east", 9*3600)
			c.Rule.Conditions.Expression = ""
		}
		templates = append(templates, c)
	}
	budgets := []Budget{
		{ID: 1, Kind: models.BudgetAmount, Limited: true, Left: d.Int64N(40 * d.scale)},
		{ID: 2, Kind: models.BudgetCount, Limited: true, Left: d.Int64N(3)},
		{ID: 3, Kind: models.BudgetAmount},
	}
	for i := range templates {
		for _, b := range budgets {
			if d.chance(6) {
				templates[i].Budgets = append(templates[i].Budgets, b)
			}
		}
	}
	wallet := make([]Candidate, 0, n)
	ids := d.Perm(100)
	for i := range n {
		c := templates[d.IntN(len(templates))]
		c.CouponID = models.ID(1 + ids[i])
		c.ExpiresAt = sampleNow().Add(time.Duration(1+d.IntN(4)) * time.Hour)
		if d.chance(30) {
			d.spoil(&c)
		}
		wallet = append(wallet, c)
	}
	return wallet
}

func (d *dice) spoil(c *Candidate) {
	switch d.IntN(4) {
	case 0:
		c.Status = models.CouponLocked
	case 1:
		c.ExpiresAt = sampleNow()
	case 2:
		c.ValidFrom = sampleNow().Add(time.Millisecond)
	case 3:
		c.Currency = "EUR"
	}
}

// wordless drops the sentences, which are not part of the sums.
func wordless(q models.Quote) models.Quote {
	q.Rejected = slices.Clone(q.Rejected)
	for i := range q.Rejected {
		q.Rejected[i].Detail = ""
	}
	return q
}

func describe(order Order, wallet []Candidate) string {
	var b strings.Builder
	fmt.Fprintf(&b, "cart %+v tags %v\n", *order.Cart, order.UserTags)
	for i := range wallet {
		c := &wallet[i]
		fmt.Fprintf(&b, "coupon %d owner %q budgets %v rule %d %s scope %+v stacking %+v effect", c.CouponID, c.MerchantID,
			c.Budgets, c.Rule.ID, c.Rule.Kind, c.Rule.Scope, c.Rule.Stacking)
		e := &c.Rule.Effect
		for name, n := range map[string]*int64{
			"amount": e.AmountOff, "bp": e.PercentOffBP, "max": e.MaxDiscount, "price": e.Price, "units": e.MaxUnits,
			"buy": e.BuyQuantity, "get": e.GetQuantity, "times": e.MaxTimes,
		} {
			if n != nil {
				fmt.Fprintf(&b, " %s=%d", name, *n)
			}
		}
		fmt.Fprintf(&b, " every %+v get %+v\n", e.Every, e.Get)
	}
	return b.String()
}

func TestQuoteAgreesWithTheSecondImplementation(t *testing.T) {
	t.Parallel()
	const carts, chunk = 10_000, 1_000
	engine := New(16)
	for from := 0; from < carts; from += chunk {
		t.Run(strconv.Itoa(from), func(t *testing.T) {
			t.Parallel()
			applied := map[models.Kind]int{}
			refused := map[models.Code]int{}
			for seed := from; seed < from+chunk; seed++ {
				d := newDice(uint64(seed))
				order, wallet := d.order(6), d.wallet(1+d.IntN(8))
				got, err := engine.Quote(order, wallet)
				if err != nil {
					t.Fatal(err)
				}
				want := refQuote(order, wallet)
				if diff := cmp.Diff(want.quote(wallet), wordless(got.Quote)); diff != "" {
					t.Fatalf("seed %d: the second implementation says - , the engine + :\n%s\n%s", seed, diff, describe(order, wallet))
				}
				compareRefunds(t, d, want, got.Freeze())
				for _, a := range want.applied {
					applied[a.c.Rule.Kind]++
				}
				for _, r := range want.rejected {
					refused[r.Code]++
				}
			}
			if len(applied) != 6 || len(refused) < 15 {
				t.Errorf("only %v applied and %v refused: the carts show too little", applied, refused)
			}
		})
	}
}

// compareRefunds sends everything back in random steps.
func compareRefunds(t *testing.T, d *dice, want *refOrder, frozen models.Frozen) {
	t.Helper()
	before := models.Refunded{Units: map[string]int64{}}
	lines := want.order.Cart.Lines
	for {
		var ask []models.RefundLine
		for i := range lines {
			left := lines[i].Quantity - before.Units[lines[i].LineID]
			if left > 0 && d.chance(2) {
				ask = append(ask, models.RefundLine{LineID: lines[i].LineID, Quantity: 1 + d.Int64N(left)})
			}
		}
		got, err := Refund(&frozen, before, ask)
		if err != nil {
			t.Fatal(err)
		}
		amount, perCoupon := want.refund(before.Units, before.Amount, ask)
		sum := int64(0)
		for _, line := range got.Lines {
			sum += line.Amount
		}
		if got.Amount != amount || sum != amount {
			t.Fatalf("refund of %v after %v: got %d, lines %v, want %d", ask, before, got.Amount, got.Lines, amount)
		}
		for _, c := range got.PerCoupon {
			if c.Discount != perCoupon[c.CouponID] {
				t.Fatalf("coupon %d has a share of %d on what came back, want %d", c.CouponID, c.Discount, perCoupon[c.CouponID])
			}
		}
		for _, line := range ask {
			before.Units[line.LineID] += line.Quantity
		}
		before.Amount += got.Amount
		if got.Last {
			break
		}
	}
	if paid := frozen.Quote.Subtotal - frozen.Quote.Discount; before.Amount != paid {
		t.Fatalf("everything came back: %d refunded of %d paid", before.Amount, paid)
	}
}

func TestBestAgreesWithAllSubsets(t *testing.T) {
	t.Parallel()
	const chunk = 500
	engine := New(16)
	for from := 0; from < wallets; from += chunk {
		t.Run(strconv.Itoa(from), func(t *testing.T) {
			t.Parallel()
			for seed := from; seed < from+chunk; seed++ {
				d := newDice(uint64(1_000_000 + seed))
				order, wallet := d.order(5), d.wallet(1+d.IntN(8))
				got, exact, err := engine.Best(order, wallet)
				if err != nil {
					t.Fatal(err)
				}
				if want := allSubsets(t, engine, order, wallet); !exact || cmp.Diff(want, got) != "" {
					t.Fatalf("seed %d: got %v (exact %v), want %v\n%s", seed, got, exact, want, describe(order, wallet))
				}
			}
		})
	}
}

// allSubsets quotes every set of coupons.
func allSubsets(t *testing.T, engine *Engine, order Order, wallet []Candidate) models.Combination {
	t.Helper()
	best := models.Combination{CouponIDs: []models.ID{}}
	var bestSet []Candidate
	for mask := 1; mask < 1<<len(wallet); mask++ {
		var set []Candidate
		for i := range wallet {
			if mask&(1<<i) != 0 {
				set = append(set, wallet[i])
			}
		}
		out, err := engine.Quote(order, set)
		if err != nil {
			t.Fatal(err)
		}
		q := &out.Quote
		total := q.Discount + q.ShippingDiscount
		if len(q.Rejected) > 0 || total < best.Discount {
			continue
		}
		if total > best.Discount || len(bestSet) > 0 && tieBreak(set, bestSet) < 0 {
			best.Discount, bestSet = total, set
			best.CouponIDs = nil
			for _, a := range q.Applied {
				best.CouponIDs = append(best.CouponIDs, a.CouponID)
			}
		}
	}
	return best
}

func tieBreak(a, b []Candidate) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	ends := func(set []Candidate) (list []int64) {
		for i := range set {
			list = append(list, set[i].ExpiresAt.UnixMilli())
		}
		slices.Sort(list)
		return list
	}
	ids := func(set []Candidate) (list []models.ID) {
		for i := range set {
			list = append(list, set[i].CouponID)
		}
		slices.Sort(list)
		return list
	}
	if c := slices.Compare(ends(a), ends(b)); c != 0 {
		return c
	}
	return slices.Compare(ids(a), ids(b))
}
