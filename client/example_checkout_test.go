package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"scrip/client"
)

// A merchant gives 10 off from 30 on and will spend 1000 on it. Ann buys three
// shirts with her coupon and gives them back, one and then two; another order
// of hers is dropped before it is paid.
func Example_checkout() {
	server := httptest.NewServer(shirtShop())
	defer server.Close()
	c, err := client.New(server.URL, "sk_example")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for _, part := range []func(context.Context, *client.Client) error{campaign, order, giveBack, dropped} {
		if err := part(ctx, c); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// best: 10.00 off with coupon 5; coupon 6 needs 12.50 more
	// to pay: 25.00, the shirts at [{1 666} {2 667}]
	// locked; then confirmed, for good
	// one shirt is worth 6.66
	// paid back 6.66 and 13.34; ann has coupon 5 again
	// the budget has 1000.00 left
	// the late order is refused: lock_cancelled
	// order-1 confirmed
	// order-2 lock_cancelled
}

func usd(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// campaign is the merchant's part, and ann's claim.
func campaign(ctx context.Context, c *client.Client) error {
	budget, err := c.CreateBudget(ctx, client.NewBudget{Name: "Spring", Kind: "amount", Currency: "USD", Total: 100_000})
	if err != nil {
		return err
	}
	rule, err := c.CreateRule(ctx, client.NewRule{
		Name: "10 off from 30", Kind: "amount_off", Effect: client.Effect{AmountOff: 1000, Currency: "USD"},
		Conditions: &client.Conditions{MinAmount: 3000},
	})
	if err != nil {
		return err
	}
	template, err := c.CreateTemplate(ctx, client.NewTemplate{
		Name: "Spring", RuleID: rule.ID, Currency: "USD", BudgetIDs: []string{budget.ID},
		Validity: client.Validity{DaysAfterClaim: new(30)},
	})
	if err != nil {
		return err
	}
	if _, err := c.PublishTemplate(ctx, template.ID); err != nil {
		return err
	}
	_, err = c.Claim(ctx, client.Claim{TemplateID: template.ID, UserID: "ann"})
	return err
}

func shirts() client.Shopping {
	return client.Shopping{Cart: client.Cart{
		UserID: "ann", Currency: "USD", Shipping: 500,
		Lines: []client.CartLine{{LineID: "1", SKU: "shirt-m", Quantity: 3, UnitPrice: 1000}},
	}}
}

// order finds the best coupons, holds them, and uses them once it is paid.
func order(ctx context.Context, c *client.Client) error {
	judged, err := c.Qualify(ctx, shirts())
	if err != nil {
		return err
	}
	fmt.Printf("best: %s off with coupon %s; coupon %s needs %s more\n", usd(judged.Best.Discount),
		judged.Best.CouponIDs[0], judged.Inapplicable[0].CouponID, usd(judged.Inapplicable[0].Shortfall))

	wanted := client.Wanted{CouponIDs: judged.Best.CouponIDs}
	quote, err := c.Quote(ctx, client.QuoteRequest{Shopping: shirts(), Wanted: wanted})
	if err != nil {
		return err
	}
	fmt.Printf("to pay: %s, the shirts at %v\n", usd(quote.Total), quote.Lines[0].Units)

	// The name is the order's: whoever repeats this, gets this lock.
	lock, err := c.Lock(ctx, client.NewLock{XID: "order-1", OrderID: "1", Shopping: shirts(), Wanted: wanted})
	if err != nil {
		return err // nothing is held; of CodeNotApplicable the Fields say why
	}
	fmt.Printf("%s; ", lock.State)
	lock, err = c.ConfirmLock(ctx, "order-1") // the payment has come
	if err != nil {
		return err
	}
	fmt.Printf("then %s, for good\n", lock.State)
	return nil
}

// giveBack refunds one shirt, and then the others.
func giveBack(ctx context.Context, c *client.Client) error {
	shirts := func(name string, n int64) client.NewRefund {
		return client.NewRefund{RefundID: name, Lines: []client.RefundLine{{LineID: "1", Quantity: n}}}
	}
	worth, err := c.QuoteRefund(ctx, "order-1", shirts("r1", 1))
	if err != nil {
		return err
	}
	fmt.Println("one shirt is worth", usd(worth.Amount))
	first, err := c.Refund(ctx, "order-1", shirts("r1", 1))
	if err != nil {
		return err
	}
	second, err := c.Refund(ctx, "order-1", shirts("r2", 2))
	if err != nil {
		return err
	}
	fmt.Printf("paid back %s and %s; ann has coupon %s again\n", usd(first.Amount), usd(second.Amount), second.CouponsReturned[0])
	budget, err := c.Budget(ctx, "2")
	if err != nil {
		return err
	}
	fmt.Println("the budget has", usd(*budget.Remaining), "left")
	return nil
}

// dropped cancels an order whose lock may still be under way, and ends many at
// once.
func dropped(ctx context.Context, c *client.Client) error {
	if _, err := c.CancelLock(ctx, "order-2"); err != nil {
		return err
	}
	_, err := c.Lock(ctx, client.NewLock{XID: "order-2", OrderID: "2", Shopping: shirts()})
	if client.IsCode(err, client.CodeLockCancelled) {
		fmt.Println("the late order is refused:", client.CodeLockCancelled)
	} else if err != nil {
		return err
	}
	results, err := c.ConfirmLocks(ctx, []string{"order-1", "order-2"})
	for _, result := range results {
		fmt.Println(result.XID, result.State+result.Code) // one of the two is empty
	}
	return err
}

// shirtShop stands in for a Scrip server: it gives to each request, in turn, an
// answer as the server gives it.
func shirtShop() http.Handler {
	const quote = `"quote":{"currency":"USD","subtotal":3000,"discount":1000,"shipping":500,"shipping_discount":0,"total":2500,
		"applied":[{"coupon_id":"5","discount":1000,"shipping_discount":0,"lines":[{"line_id":"1","discount":1000}]}],
		"lines":[{"line_id":"1","subtotal":3000,"discount":1000,"total":2000,"units":[{"quantity":1,"total":666},{"quantity":2,"total":667}]}],
		"gifts":[],"rejected":[]}`
	const lock = `{"id":"7","xid":"order-1","order_id":"1",` + quote + `,"expires_at":"2026-11-27T10:15:00.000Z","state":`
	const first = `200 {"refund_id":"r1","amount":666,"lines":[{"line_id":"1","quantity":1,"amount":666}],"coupons_returned":[],
		"budget_returned":[{"budget_id":"2","amount":334}]}`
	answers := map[string][]string{
		"/v1/budgets":             {`201 {"id":"2","total":100000}`},
		"/v1/rules":               {`201 {"id":"3","version":1}`},
		"/v1/templates":           {`201 {"id":"4","state":"draft"}`},
		"/v1/templates/4/publish": {`200 {"id":"4","state":"active"}`},
		"/v1/claims":              {`201 {"id":"5","template_id":"4","user_id":"ann"}`},
		"/v1/checkout/qualify": {`200 {"applicable":[{"coupon_id":"5","discount":1000}],
			"inapplicable":[{"coupon_id":"6","code":"min_amount","detail":"spend 12.50 more","shortfall":1250}],
			"best":{"coupon_ids":["5"],"discount":1000}}`},
		"/v1/checkout/quote":             {`200 ` + strings.TrimPrefix(quote, `"quote":`)},
		"/v1/locks":                      {`201 ` + lock + `"locked"}`, `409 {"status":409,"code":"lock_cancelled","detail":"this lock was cancelled"}`},
		"/v1/locks/order-1/confirm":      {`200 ` + lock + `"confirmed"}`},
		"/v1/locks/order-1/refund/quote": {first},
		"/v1/locks/order-1/refund": {first, `200 {"refund_id":"r2","amount":1334,"lines":[{"line_id":"1","quantity":2,"amount":1334}],
			"coupons_returned":["5"],"budget_returned":[{"budget_id":"2","amount":666}]}`},
		"/v1/budgets/2":            {`200 {"id":"2","total":100000,"used":0,"held":0,"remaining":100000}`},
		"/v1/locks/order-2/cancel": {`200 {"id":"8","xid":"order-2","order_id":null,"state":"cancelled","quote":null,"expires_at":null}`},
		"/v1/locks/batch/confirm": {`200 {"results":[{"xid":"order-1","status":200,"state":"confirmed"},
			{"xid":"order-2","status":409,"code":"lock_cancelled"}]}`},
	}
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		queue := answers[r.URL.Path]
		if len(queue) == 0 {
			http.NotFound(w, r)
			return
		}
		answers[r.URL.Path] = queue[1:]
		var status int
		_, _ = fmt.Sscan(queue[0], &status)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, queue[0][len("200 "):])
	})
}
