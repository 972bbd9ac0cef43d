package discount

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"scrip/models"
)

// drawDice makes the dice of one example; rapid finds the seed that fails.
func drawDice(t *rapid.T) *dice {
	return newDice(rapid.Uint64().Draw(t, "seed"))
}

func quoteOf(t *rapid.T, order Order, wallet []Candidate) *Outcome {
	out, err := New(16).Quote(order, wallet)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSumsAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawDice(t)
		order := d.order(12)
		out := quoteOf(t, order, d.wallet(1+d.IntN(10)))
		q, frozen := out.Quote, out.Freeze()
		var subtotal, discount, byCoupon, shipping int64
		for i, line := range q.Lines {
			units, total := int64(0), int64(0)
			for _, r := range line.Units {
				if r.Total < 0 || r.Total > order.Cart.Lines[i].UnitPrice || r.Quantity < 1 {
					t.Fatalf("line %s has %+v", line.LineID, r)
				}
				units, total = units+r.Quantity, total+r.Quantity*r.Total
			}
			if units != order.Cart.Lines[i].Quantity || total != line.Total || line.Total != line.Subtotal-line.Discount {
				t.Fatalf("line %+v does not add up", line)
			}
			subtotal, discount = subtotal+line.Subtotal, discount+line.Discount
		}
		for i, a := range q.Applied {
			lines, shares := int64(0), int64(0)
			for _, line := range a.Lines {
				lines += line.Discount
			}
			for _, line := range frozen.Coupons[i].Shares {
				units := int64(0)
				for _, r := range line.Units {
					units, shares = units+r.Quantity, shares+r.Quantity*r.Discount
				}
				if units != frozen.Lines[line.Line].Quantity {
					t.Fatalf("the shares of coupon %d miss units", a.CouponID)
				}
			}
			if lines != a.Discount || shares != a.Discount {
				t.Fatalf("coupon %+v does not add up: lines %d, units %d", a, lines, shares)
			}
			byCoupon, shipping = byCoupon+a.Discount, shipping+a.ShippingDiscount
		}
		if subtotal != q.Subtotal || discount != q.Discount || byCoupon != q.Discount || shipping != q.ShippingDiscount ||
			q.ShippingDiscount > q.Shipping || q.Total != q.Subtotal-q.Discount+q.Shipping-q.ShippingDiscount {
			t.Fatalf("the quote does not add up: %+v", q)
		}
	})
}

func TestOrderOfLinesAndCouponsChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawDice(t)
		order, wallet := d.order(10), d.wallet(1+d.IntN(8))
		want := quoteOf(t, order, wallet).Quote
		cart := *order.Cart
		cart.Lines = slices.Clone(cart.Lines)
		d.Shuffle(len(cart.Lines), func(i, j int) { cart.Lines[i], cart.Lines[j] = cart.Lines[j], cart.Lines[i] })
		shuffled := slices.Clone(wallet)
		d.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		order.Cart = &cart
		got := quoteOf(t, order, shuffled).Quote
		for _, q := range []*models.Quote{&want, &got} { // listed as the request lists them
			slices.SortFunc(q.Lines, func(a, b models.QuoteLine) int { return cmpString(a.LineID, b.LineID) })
			slices.SortFunc(q.Rejected, func(a, b models.Rejection) int { return int(a.CouponID - b.CouponID) })
			for i := range q.Applied {
				slices.SortFunc(q.Applied[i].Lines, func(a, b models.LineDiscount) int { return cmpString(a.LineID, b.LineID) })
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func cmpString(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

func TestHigherPercentageNeverGivesLess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawDice(t)
		order, wallet := d.order(6), d.wallet(1)
		c := wallet[0]
		rule := *c.Rule
		rule.Kind = []models.Kind{models.KindPercentOff, models.KindBuyXGetY}[d.IntN(2)]
		rule.Effect = models.Effect{BuyQuantity: ptr(1 + d.Int64N(3)), GetQuantity: ptr(1), MaxDiscount: d.maybe(3, 30*d.scale)}
		c.Rule, c.Budgets = &rule, nil
		lower, higher := d.rate(), d.rate()
		if lower > higher {
			lower, higher = higher, lower
		}
		rule.Effect.PercentOffBP = &lower
		less := quoteOf(t, order, []Candidate{c}).Quote.Discount
		rule.Effect.PercentOffBP = &higher
		if more := quoteOf(t, order, []Candidate{c}).Quote.Discount; more < less {
			t.Fatalf("%d bp give %d, %d bp give %d", lower, less, higher, more)
		}
	})
}

func TestMoreCouponsNeverMakeTheBestWorse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawDice(t)
		order, wallet := d.order(6), d.wallet(2+d.IntN(20))
		engine := New(16)
		before := int64(0)
		for n := range wallet {
			best, _, err := engine.Best(order, wallet[:n+1])
			if err != nil {
				t.Fatal(err)
			}
			if best.Discount < before {
				t.Fatalf("%d coupons give %d, one more gives %d", n, before, best.Discount)
			}
			before = best.Discount
		}
	})
}

func TestBestIsTakenWholeByQuote(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawDice(t)
		order, wallet := d.order(8), d.wallet(1+d.IntN(40))
		q, _, err := New(16).Qualify(order, wallet)
		if err != nil {
			t.Fatal(err)
		}
		var set []Candidate
		for i := range wallet {
			if slices.Contains(q.Best.CouponIDs, wallet[i].CouponID) {
				set = append(set, wallet[i])
			}
		}
		got := quoteOf(t, order, set).Quote
		if len(got.Rejected) > 0 || len(got.Applied) != len(q.Best.CouponIDs) || got.Discount+got.ShippingDiscount != q.Best.Discount {
			t.Fatalf("best %+v is quoted as %+v", q.Best, got)
		}
		for i, a := range got.Applied {
			if a.CouponID != q.Best.CouponIDs[i] {
				t.Fatalf("best %v is applied as %v", q.Best.CouponIDs, got.Applied)
			}
		}
		if len(q.Applicable)+len(q.Inapplicable) != len(wallet) {
			t.Fatalf("%d coupons answered for, of %d", len(q.Applicable)+len(q.Inapplicable), len(wallet))
		}
		if len(q.Applicable) > 0 && q.Applicable[0].Discount > q.Best.Discount {
			t.Fatalf("one coupon gives %d, the best set %d", q.Applicable[0].Discount, q.Best.Discount)
		}
	})
}

func TestEveryCouponIsJudgedAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawDice(t)
		order, wallet := d.order(6), d.wallet(1+d.IntN(10))
		q, _, err := New(16).Qualify(order, wallet)
		if err != nil {
			t.Fatal(err)
		}
		for i := range wallet {
			alone := quoteOf(t, order, wallet[i:i+1]).Quote
			at := slices.IndexFunc(q.Applicable, func(a models.Applicable) bool { return a.CouponID == wallet[i].CouponID })
			if len(alone.Applied) == 1 && (at < 0 || q.Applicable[at].Discount != alone.Discount+alone.ShippingDiscount) {
				t.Fatalf("coupon %d: alone %+v, qualify %+v", wallet[i].CouponID, alone, q)
			}
			if len(alone.Rejected) == 1 && !slices.Contains(q.Inapplicable, alone.Rejected[0]) {
				t.Fatalf("coupon %d: alone %+v, qualify %+v", wallet[i].CouponID, alone.Rejected, q.Inapplicable)
			}
		}
	})
}

// TestBestOfLargeWalletsAgreesWithAPlainSearch looks at wallets too large for
// all subsets, by following every set that Quote takes, coupon by coupon.
func TestBestOfLargeWalletsAgreesWithAPlainSearch(t *testing.T) {
	t.Parallel()
	engine := New(16)
	for seed := range uint64(60) {
		d := newDice(5_000_000 + seed)
		order, wallet := d.order(5), d.wallet(14)
		got, exact, err := engine.Best(order, wallet)
		if err != nil || !exact {
			t.Fatal(exact, err)
		}
		if want := growSets(t, engine, order, wallet); got.Discount != want {
			t.Fatalf("seed %d: got %d, want %d\n%s", seed, got.Discount, want, describe(order, wallet))
		}
	}
}

// growSets finds the largest discount by adding to every accepted set each
// coupon that comes after it in the order of application.
func growSets(t *testing.T, engine *Engine, order Order, wallet []Candidate) int64 {
	t.Helper()
	coupons := make([]coupon, len(wallet))
	for i := range wallet {
		coupons[i].Candidate, coupons[i].rule = &wallet[i], wallet[i].Rule
	}
	turn := inTurn(coupons)
	best := int64(0)
	var grow func(set []Candidate, from int)
	grow = func(set []Candidate, from int) {
		for i := from; i < len(turn); i++ {
			next := append(slices.Clone(set), *turn[i].Candidate)
			out, err := engine.Quote(order, next)
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Quote.Rejected) == 0 {
				best = max(best, out.Quote.Discount+out.Quote.ShippingDiscount)
				if len(next) < MaxApplied {
					grow(next, i+1)
				}
			}
		}
	}
	grow(nil, 0)
	return best
}

func TestUncheckedCartsAreRefused(t *testing.T) {
	t.Parallel()
	line := models.CartLine{LineID: "a", SKU: "a", Quantity: 1, UnitPrice: 1}
	for name, spoil := range map[string]func(c *models.Cart){
		"no lines":      func(c *models.Cart) { c.Lines = nil },
		"doubled line":  func(c *models.Cart) { c.Lines = append(c.Lines, line) },
		"no units":      func(c *models.Cart) { c.Lines[0].Quantity = 0 },
		"too many":      func(c *models.Cart) { c.Lines[0].Quantity = models.MaxUnits + 1 },
		"below zero":    func(c *models.Cart) { c.Lines[0].UnitPrice = -1 },
		"overflow":      func(c *models.Cart) { c.Lines[0].UnitPrice, c.Lines[0].Quantity = models.MaxAmount, 10_000 },
		"with shipping": func(c *models.Cart) { c.Lines[0].UnitPrice, c.Shipping = models.MaxAmount, 1 },
	} {
		cart := &models.Cart{UserID: "u", Currency: "USD", Lines: []models.CartLine{line}}
		spoil(cart)
		if _, err := New(1).Quote(Order{Now: sampleNow(), Cart: cart}, nil); !errors.Is(err, ErrCart) {
			t.Errorf("%s: got %v, want ErrCart", name, err)
		}
		faults := models.NewFaults()
		cart.Check(faults)
		if faults.Err() == nil {
			t.Errorf("%s: Check finds nothing", name)
		}
	}
}

func TestQuoteIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	engine := New(2)
	for worker := range uint64(4) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			d := &dice{Rand: rand.New(rand.NewPCG(worker, 1)), scale: 10}
			for range 50 {
				order, wallet := d.order(6), d.wallet(6)
				if _, _, err := engine.Qualify(order, wallet); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
