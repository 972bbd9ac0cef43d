package discount

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"scrip/models"
)

// benchOrder is a cart of 20 lines in 5 categories.
func benchOrder() Order {
	cart := &models.Cart{UserID: "u", Currency: "USD", Shipping: 799}
	d := rand.New(rand.NewPCG(1, 1))
	for i := range 20 {
		cart.Lines = append(cart.Lines, models.CartLine{
			LineID: fmt.Sprint("line-", i), SKU: fmt.Sprint("sku-", i), CategoryIDs: []string{fmt.Sprint("cat-", i%5), "all"},
			Quantity: 1 + d.Int64N(5), UnitPrice: 199 + d.Int64N(9800),
		})
	}
	return Order{Now: sampleNow(), Cart: cart}
}

func benchRule(id int, kind models.Kind, effect models.Effect) *models.Rule {
	return &models.Rule{ID: models.ID(id), Version: 1, Kind: kind, Effect: effect, Stacking: models.DefaultStacking()}
}

// mixedRules are the rules of a shop that does everything: of 20, all stack.
func mixedRules(d *rand.Rand) []*models.Rule {
	var rules []*models.Rule
	add := func(kind models.Kind, effect models.Effect) *models.Rule {
		r := benchRule(len(rules)+1, kind, effect)
		rules = append(rules, r)
		return r
	}
	category := func() models.Scope { return models.Scope{CategoryIDs: []string{fmt.Sprint("cat-", d.IntN(5))}} }
	for range 6 {
		add(models.KindPercentOff, models.Effect{PercentOffBP: ptr(500 + 100*d.Int64N(20))})
	}
	for range 3 {
		add(models.KindPercentOff, models.Effect{PercentOffBP: ptr(1000 + 100*d.Int64N(20)), MaxDiscount: ptr(2000)}).Scope = category()
	}
	for range 5 {
		r := add(models.KindAmountOff, models.Effect{AmountOff: ptr(300 + 100*d.Int64N(30)), Currency: "USD"})
		r.Conditions.MinAmount = 5000
	}
	for range 2 {
		add(models.KindAmountOff, models.Effect{AmountOff: ptr(200), Every: &models.Every{Spend: 3000}}).Scope = category()
	}
	add(models.KindFixedPrice, models.Effect{Price: ptr(999), MaxUnits: ptr(3)}).Scope = category()
	add(models.KindBuyXGetY, models.Effect{BuyQuantity: ptr(2), GetQuantity: ptr(1), PercentOffBP: ptr(10000)}).Scope = category()
	add(models.KindFreeShipping, models.Effect{})
	add(models.KindFreeItem, models.Effect{SKU: "mug", Quantity: ptr(1)})
	return rules
}

// percentRules all take a percentage of all, so that only rounding tells most
// orders of application apart: the worst case of the search.
func percentRules(d *rand.Rand) []*models.Rule {
	var rules []*models.Rule
	for i := range 20 {
		rules = append(rules, benchRule(i+1, models.KindPercentOff, models.Effect{PercentOffBP: ptr(300 + d.Int64N(2000))}))
	}
	return rules
}

// scopedRules take percentages and amounts of one category each.
func scopedRules(d *rand.Rand) []*models.Rule {
	var rules []*models.Rule
	for i := range 20 {
		r := benchRule(i+1, models.KindPercentOff, models.Effect{PercentOffBP: ptr(500 + d.Int64N(2500))})
		if i%3 == 0 {
			r = benchRule(i+1, models.KindAmountOff, models.Effect{AmountOff: ptr(200 + d.Int64N(2500))})
		}
		if i%4 != 0 {
			r.Scope = models.Scope{CategoryIDs: []string{fmt.Sprint("cat-", i%5)}}
		}
		rules = append(rules, r)
	}
	return rules
}

// benchWallet deals n coupons of the rules' templates in a random order.
func benchWallet(n int, d *rand.Rand, rules []*models.Rule) []Candidate {
	wallet := make([]Candidate, n)
	for i := range wallet {
		r := rules[i%len(rules)]
		wallet[i] = Candidate{
			CouponID: models.ID(1000 + i), TemplateID: r.ID, Currency: "USD", Status: models.CouponAvailable,
			ValidFrom: sampleNow().Add(-time.Hour), ExpiresAt: sampleNow().Add(time.Duration(1+d.IntN(72)) * time.Hour),
			Rule: r, Return: models.DefaultReturnPolicy(),
		}
	}
	for i, j := range d.Perm(n) {
		wallet[i].CouponID = models.ID(1000 + j)
	}
	return wallet
}

func BenchmarkQuote20Lines10Coupons(b *testing.B) {
	order, d := benchOrder(), rand.New(rand.NewPCG(2, 2))
	rules := mixedRules(d)
	engine := New(16)
	// Ten of all kinds, the two that look at single units among them.
	wallet := benchWallet(10, d, []*models.Rule{
		rules[0], rules[1], rules[6], rules[7], rules[9], rules[10], rules[14], rules[16], rules[17], rules[18],
	})
	b.ReportAllocs()
	for b.Loop() {
		if out, err := engine.Quote(order, wallet); err != nil || len(out.Quote.Applied) < 8 {
			b.Fatal(err, out.Quote.Applied)
		}
	}
}

func BenchmarkQuote200Lines10Coupons(b *testing.B) {
	order, d := benchOrder(), rand.New(rand.NewPCG(2, 2))
	for i := 20; i < 200; i++ {
		line := order.Cart.Lines[i%20]
		line.LineID = fmt.Sprint("more-", i)
		order.Cart.Lines = append(order.Cart.Lines, line)
	}
	wallet := benchWallet(10, d, mixedRules(d)[:10])
	engine := New(16)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := engine.Quote(order, wallet); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBest(b *testing.B) {
	for _, c := range []struct {
		name    string
		coupons int
		rules   func(d *rand.Rand) []*models.Rule
	}{
		{"mixed/50of20", 50, mixedRules},
		{"percents/50of20", 50, percentRules},
		{"percents/20of20", 20, percentRules},
		{"scoped/50of20", 50, scopedRules},
		{"scoped/20of20", 20, scopedRules},
		{"mixed/500of20", 500, mixedRules},
	} {
		b.Run(c.name, func(b *testing.B) {
			order, engine := benchOrder(), New(16)
			b.ReportAllocs()
			cut, n := 0, 0
			var wallets [][]Candidate
			for seed := range uint64(16) {
				d := rand.New(rand.NewPCG(seed, 3))
				wallets = append(wallets, benchWallet(c.coupons, d, c.rules(d)))
			}
			for b.Loop() {
				_, exact, err := engine.Best(order, wallets[n%len(wallets)])
				if err != nil {
					b.Fatal(err)
				}
				if !exact {
					cut++
				}
				n++
			}
			b.ReportMetric(float64(cut)/float64(n), "cut/op")
		})
	}
}
