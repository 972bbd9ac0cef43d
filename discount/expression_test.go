package discount

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// expressionSample is a cart of two lines on a Saturday evening.
func expressionSample() *ExpressionEnv {
	return &ExpressionEnv{
		Cart: &ExpressionCart{
			UserID: "u1", Currency: "USD", MerchantID: "m1", PaymentMethod: "card", Channel: "app", FirstOrder: true,
			Subtotal: 5999, Shipping: 500, Quantity: 4,
			Lines: []ExpressionLine{
				{LineID: "1", SKU: "shoe", CategoryIDs: []string{"shoes", "sale"}, MerchantID: "m1", Quantity: 1, UnitPrice: 4999, Subtotal: 4999},
				{LineID: "2", SKU: "sock", CategoryIDs: []string{"socks"}, MerchantID: "m2", Quantity: 3, UnitPrice: 333, Subtotal: 999},
			},
		},
		User: &ExpressionUser{ID: "u1", Tags: []string{"vip", "new"}},
		Time: &ExpressionTime{Year: 2026, Month: 11, Day: 28, Weekday: 6, Hour: 20, Minute: 5, Date: "2026-11-28", Clock: "20:05"},
	}
}

func TestExpressionHolds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`true`:                      true,
		`cart.subtotal >= 5000`:     true,
		`cart.subtotal > 5999`:      false,
		`cart.currency == "USD"`:    true,
		`cart.channel in ["app"]`:   true,
		`cart.first_order`:          true,
		`"vip" in user.tags`:        true,
		`"gold" in user.tags`:       false,
		`user.id startsWith "u"`:    true,
		`cart.user_id == user.id`:   true,
		`time.weekday >= 6`:         true,
		`time.clock < "20:05"`:      false,
		`time.date == "2026-11-28"`: true,
		`len(cart.lines) == 2`:      true,
		`any(cart.lines, .sku == "sock" and .quantity >= 3)`:        true,
		`all(cart.lines, .merchant_id == "m1")`:                     false,
		`any(cart.lines, "sale" in .category_ids)`:                  true,
		`sum(cart.lines, .quantity) == cart.quantity`:               true,
		`sum(filter(cart.lines, .sku != "shoe"), .subtotal) < 1000`: true,
		`count(cart.lines, .unit_price > 1000) == 1`:                true,
		`cart.lines[0].sku == "shoe"`:                               true,
		`cart.subtotal % 2 == 1`:                                    true,
		`cart.subtotal > 2 * cart.shipping - 1`:                     true,
		`let n = cart.quantity; n > 1 ? n < 5 : false`:              true,
		`max(map(cart.lines, .unit_price)) == 4999`:                 true,
		`lower("ABC") == "abc"`:                                     true,
	} {
		got, err := newPrograms(4).holds(text, expressionSample())
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestExpressionRefused(t *testing.T) {
	t.Parallel()
	for text, why := range map[string]string{
		``:                                       "unexpected token",
		`cart.subtotal >`:                        "column",
		`cart.sutotal > 1`:                       "sutotal",
		`cart.subtotal`:                          "expected bool",
		`user.tags[0]`:                           "expected bool",
		`basket.subtotal > 1`:                    "basket",
		`cart.subtotal > "100"`:                  "mismatched",
		`cart.subtotal / 2 > 100`:                "no division",
		`cart.subtotal > 10.5`:                   "whole",
		`len(1..1000000) > 3`:                    "..",
		`2 ** 3 == 8`:                            "**",
		`user.id matches "(a+)+$"`:               "matches",
		`now().Year() > 2000`:                    "now",
		`repeat("a", 1000000) == ""`:             "repeat",
		`toJSON(cart) == ""`:                     "toJSON",
		`$env["cart"] != nil`:                    "$env",
		`10000000000000001 > 1`:                  "10^16",
		`any(cart.lines, any(cart.lines, true))`: "inside another",
		`any(filter(cart.lines, len(filter(cart.lines, true)) > 0), true)`:       "inside another",
		strings.Repeat(`any(cart.lines, true) or `, 8) + `any(cart.lines, true)`: "at most 8",
		`"` + strings.Repeat("x", 1000) + `" == ""`:                              "1000 characters",
		strings.Repeat("1+", 110) + "1 > 2":                                      "maximum allowed nodes",
		"\xff":                                                                   "UTF-8",
	} {
		err := CompileExpression(text)
		if err == nil {
			t.Errorf("%.60s: compiled", text)
			continue
		}
		if !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60s: got %q, want one line with %q in it", text, err, why)
		}
	}
}

func TestExpressionThatFailsOnTheWayDoesNotHold(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`cart.lines[7].quantity > 0`,
		`cart.subtotal % (cart.shipping - 500) == 0`,
		`cart.subtotal * 9000000000000000 > 1`,
		`-9000000000000000 - 9000000000000000 < 0`,
		`9000000000000000 + 9000000000000000 > 0`,
		`sum(map(cart.lines, 9000000000000000)) + 1 > 0`,
	} {
		if err := CompileExpression(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		got, err := newPrograms(4).holds(text, expressionSample())
		if got || err == nil {
			t.Errorf("%s: got %v, %v, want false and an error", text, got, err)
		}
	}
}

func TestProgramsAreBoundedAndShared(t *testing.T) {
	t.Parallel()
	p := newPrograms(8)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 200 {
				n := (i*7 + worker) % 30
				got, err := p.holds(fmt.Sprintf("cart.quantity > %d", n), expressionSample())
				if err != nil || got != (4 > n) {
					t.Errorf("%d: got %v, %v", n, got, err)
				}
			}
		})
	}
	wg.Wait()
	if len(p.young) > 8 || len(p.old) > 8 {
		t.Errorf("kept %d and %d programs, want at most 8 each", len(p.young), len(p.old))
	}
}

func TestProgramsKeepWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	p := newPrograms(2)
	first := p.get("true").program
	for i := range 10 {
		p.get(fmt.Sprintf("cart.quantity == %d", i))
		if p.get("true").program != first {
			t.Fatalf("compiled again after %d others", i+1)
		}
	}
}

func FuzzCompileExpression(f *testing.F) {
	for _, seed := range []string{
		`cart.subtotal >= 5000 and any(cart.lines, "shoes" in .category_ids)`,
		`let x = sum(cart.lines, .quantity); x > 2 ? "a" in user.tags : not false`,
		`{"a": 1}.a == 1 | len`, `cart?.lines[-1]?.sku ?? "" != ""`, `map(cart.lines, #)[0:1] == []`,
		`if time.hour > 3 { true } else { false }`, "\"\\x00\" contains `b`", `((((((`, `#.x`, `1;true`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		program, err := compileExpression(text)
		if err != nil {
			return
		}
		if utf8.RuneCountInString(text) > MaxExpressionLen {
			t.Fatal("compiled a text that is too long")
		}
		p := newPrograms(1)
		p.keep(text, compiled{program: program})
		first, _ := p.holds(text, expressionSample())
		if again, _ := p.holds(text, expressionSample()); again != first {
			t.Error("the same text gave two answers")
		}
	})
}
