package client_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"scrip/client"
)

func TestWhatIsSentAtCheckout(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{answer(200, `{}`)}}
	c := newClient(t, s)
	ctx, key := t.Context(), client.WithIdempotencyKey("k")
	shopping := client.Shopping{
		Cart:     client.Cart{UserID: "ann", Currency: "USD", Lines: []client.CartLine{{LineID: "1", SKU: "a", Quantity: 2}}, Shipping: 5},
		UserTags: []string{"vip"},
	}
	wanted := client.Wanted{CouponIDs: []string{"9"}, Codes: []string{"abc"}}
	refund := client.NewRefund{RefundID: "r", Lines: []client.RefundLine{{LineID: "1", Quantity: 1}}}
	lock := client.NewLock{XID: "x", OrderID: "o", Shopping: shopping, Wanted: wanted, TTLSeconds: 60}
	calls := []func() error{
		func() error {
			_, err := c.CreateBudget(ctx, client.NewBudget{Name: "b", Kind: "count", Total: 5, AlertAtBP: []int{}}, key)
			return err
		},
		func() error { _, err := c.Budget(ctx, "1"); return err },
		func() error { _, err := c.Budgets(ctx, client.PageOptions{Limit: 7}); return err },
		func() error {
			_, err := c.UpdateBudget(ctx, "1", 3, client.BudgetPatch{Total: new(int64(0))})
			return err
		},
		func() error {
			_, err := c.UpdateBudget(ctx, "1", 3, client.BudgetPatch{Name: new("n"), PerUserTotal: new(int64(0))})
			return err
		},
		func() error { _, err := c.BudgetUsages(ctx, "1", client.PageOptions{}); return err },
		func() error { _, err := c.Qualify(ctx, shopping); return err },
		func() error {
			_, err := c.Quote(ctx, client.QuoteRequest{Shopping: shopping, Wanted: wanted})
			return err
		},
		func() error { _, err := c.Lock(ctx, lock); return err },
		func() error { _, err := c.Lock(ctx, client.NewLock{XID: "x"}, key); return err },
		func() error { _, err := c.LockByXID(ctx, "a/b c"); return err },
		func() error { _, err := c.ConfirmLock(ctx, "a/b"); return err },
		func() error { _, err := c.CancelLock(ctx, "x", key); return err },
		func() error { _, err := c.ConfirmLocks(ctx, []string{"x", "y"}); return err },
		func() error { _, err := c.CancelLocks(ctx, []string{"x"}); return err },
		func() error { _, err := c.Refund(ctx, "x", refund); return err },
		func() error { _, err := c.QuoteRefund(ctx, "x", refund); return err },
	}
	for i, call := range calls {
		if err := call(); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	const cart = `"cart":{"user_id":"ann","currency":"USD","lines":[{"line_id":"1","sku":"a","quantity":2,"unit_price":0}],"shipping":5},"user_tags":["vip"]`
	const coupons = `"coupon_ids":["9"],"codes":["abc"]`
	const some = `{"refund_id":"r","lines":[{"line_id":"1","quantity":1}]}`
	want := []string{
		`POST /v1/budgets k {"name":"b","kind":"count","total":5,"alert_at_bp":[]}`,
		`GET /v1/budgets/1  `,
		`GET /v1/budgets?limit=7  `,
		`PATCH /v1/budgets/1 "3" {"total":0}`,
		`PATCH /v1/budgets/1 "3" {"name":"n","per_user_total":null}`,
		`GET /v1/budgets/1/usages  `,
		`POST /v1/checkout/qualify  {` + cart + `}`,
		`POST /v1/checkout/quote  {` + cart + `,` + coupons + `}`,
		`POST /v1/locks  {"xid":"x","order_id":"o",` + cart + `,` + coupons + `,"ttl_seconds":60}`,
		`POST /v1/locks k {"xid":"x","order_id":"","cart":{"currency":"","lines":null}}`,
		`GET /v1/locks/a%2Fb%20c  `,
		`POST /v1/locks/a%2Fb/confirm  `,
		`POST /v1/locks/x/cancel k `,
		`POST /v1/locks/batch/confirm  {"xids":["x","y"]}`,
		`POST /v1/locks/batch/cancel  {"xids":["x"]}`,
		`POST /v1/locks/x/refund  ` + some,
		`POST /v1/locks/x/refund/quote  ` + some,
	}
	if diff := cmp.Diff(want, s.sent()); diff != "" {
		t.Error(diff)
	}
}

// TestALockIsRepeatedAsItWas: a lock whose answer is lost is asked for again in
// the same words, and by those alone the server knows it.
func TestALockIsRepeatedAsItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const refused = `{"status":409,"code":"not_applicable","errors":[{"field":"coupon_ids[0]","code":"min_amount","detail":"spend 1.00 more"}]}`
		s := &script{steps: []step{{}, answer(503, `{"code":"outcome_unknown"}`), answer(409, refused)}}
		_, err := newClient(t, s).Lock(t.Context(), client.NewLock{XID: "x"})
		if !client.IsCode(err, client.CodeNotApplicable) || !strings.Contains(err.Error(), "not_applicable") {
			t.Errorf("got %v", err)
		}
		if len(s.seen) != 3 || s.seen[0].Body != s.seen[2].Body || s.seen[0].Key != "" {
			t.Errorf("sent %+v", s.seen)
		}
	})
}

func TestLockWithoutAQuote(t *testing.T) {
	t.Parallel()
	var lock client.Lock
	if err := json.Unmarshal([]byte(`{"id":"1","xid":"x","order_id":null,"state":"cancelled","quote":null,"expires_at":null}`), &lock); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(client.Lock{ID: "1", XID: "x", State: client.LockCancelled}, lock); diff != "" {
		t.Error(diff)
	}
}
