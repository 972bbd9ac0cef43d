package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"scrip/client"
)

// campaign is a merchant's template of 5.00 off from 30.00 with its budget, and
// the credential of the service that takes the orders.
type campaign struct {
	*site

	merchant, service string
	budget, template  string
}

func (s *site) campaign(t *testing.T, budget object) *campaign {
	t.Helper()
	key := func(body object) string {
		return s.want(t, http.StatusCreated, "", post("/api_keys", platformKey, body)).field("key")
	}
	c := &campaign{site: s, merchant: key(object{"role": "merchant", "merchant_id": "shop"}), service: key(object{"role": "service"})}
	spec := object{"name": "spring", "kind": "amount", "currency": "USD", "total": 100_000}
	if budget != nil {
		spec = budget
	}
	c.budget = s.want(t, http.StatusCreated, "", post("/budgets", c.merchant, spec)).field("id")
	c.template = s.sale(t, c.merchant, object{"budget_ids": []string{c.budget}})
	return c
}

// coupon is a new coupon of the user's.
func (c *campaign) coupon(t *testing.T, user string) answer {
	t.Helper()
	return c.want(t, http.StatusCreated, "", post("/claims", c.service, claim(c.template, user)))
}

// counters fails the test unless the budget has so much used and held.
func (c *campaign) counters(t *testing.T, used, held int) {
	t.Helper()
	got := c.want(t, http.StatusOK, "", get("/budgets/"+c.budget, c.merchant).on(len(c.servers)-1))
	if got.field("used") != strconv.Itoa(used) || got.field("held") != strconv.Itoa(held) {
		t.Errorf("used %s and held %s, want %d and %d", got.field("used"), got.field("held"), used, held)
	}
}

// status fails the test unless the coupon stands so.
func (c *campaign) status(t *testing.T, coupon, status string) answer {
	t.Helper()
	got := c.want(t, http.StatusOK, "", get("/coupons/"+coupon, c.service).on(len(c.servers)-1))
	if got.field("status") != status {
		t.Errorf("the coupon is %s, want %s", got.text, status)
	}
	return got
}

func cartOf(user string) object {
	return object{
		"user_id": user, "currency": "USD", "merchant_id": "shop", "shipping": 500,
		"lines": []object{{"line_id": "1", "sku": "shirt", "quantity": 3, "unit_price": 1000}},
	}
}

func lockOf(xid, user string, coupons ...string) object {
	return object{"xid": xid, "order_id": "order of " + xid, "cart": cartOf(user), "coupon_ids": coupons}
}

func refundOf(id string, units int) object {
	return object{"refund_id": id, "lines": []object{{"line_id": "1", "quantity": units}}}
}

func TestFromBudgetToRefund(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		c, last := s.campaign(t, nil), len(s.servers)-1
		ann := s.user(t, "ann")
		coupon := c.coupon(t, "ann")
		id := coupon.field("id")

		judged := s.want(t, http.StatusOK, "", post("/checkout/qualify", ann, object{"cart": cartOf("ann")}))
		if !strings.Contains(judged.text, `"best":{"coupon_ids":["`+id+`"],"discount":500}`) {
			t.Errorf("qualified %s", judged.text)
		}
		s.want(t, http.StatusForbidden, "forbidden", post("/checkout/qualify", ann, object{"cart": cartOf("bob")}))
		s.want(t, http.StatusForbidden, "forbidden", post("/checkout/quote", c.merchant, object{"cart": cartOf("ann")}))
		typed := strings.ToLower(coupon.field("code"))
		quote := s.want(t, http.StatusOK, "", post("/checkout/quote", ann,
			object{"cart": cartOf("ann"), "codes": []string{typed, "nobody's"}}).on(last))
		const units = `"units":[{"quantity":2,"total":833},{"quantity":1,"total":834}]`
		if quote.field("total") != "3000" || !strings.Contains(quote.text, units) ||
			!strings.Contains(quote.text, `"rejected":[{"coupon_code":"nobody's","code":"coupon_not_available",`) {
			t.Errorf("quoted %s", quote.text)
		}
		s.want(t, http.StatusUnprocessableEntity, "duplicate", post("/checkout/quote", c.service,
			object{"cart": cartOf("ann"), "codes": []string{typed}, "coupon_ids": []string{id}}))
		c.counters(t, 0, 0)

		lock := s.want(t, http.StatusCreated, "", post("/locks", c.service, lockOf("x1", "ann", id)))
		if lock.field("state") != "locked" || !strings.Contains(lock.text, units) {
			t.Errorf("locked %s", lock.text)
		}
		again := s.want(t, http.StatusOK, "", post("/locks", c.service, lockOf("x1", "ann", id)).on(last))
		if again.text != lock.text {
			t.Errorf("the same lock: %s, then %s", lock.text, again.text)
		}
		s.want(t, http.StatusUnprocessableEntity, "xid_reused", post("/locks", c.service, lockOf("x1", "ann")))
		taken := s.want(t, http.StatusConflict, "coupon_not_available", post("/locks", c.service, lockOf("x2", "ann", id)).on(last))
		if !strings.Contains(taken.text, `"errors":[{"field":"coupon_ids[0]","code":"coupon_not_available",`) {
			t.Errorf("refused %s", taken.text)
		}
		s.want(t, http.StatusConflict, "wrong_state", post("/coupons/"+id+"/revoke", c.merchant, nil))
		if held := c.status(t, id, "locked"); held.field("lock_id") != lock.field("id") || held.field("order_id") != "order of x1" {
			t.Errorf("locked %s", held.text)
		}
		c.counters(t, 0, 500)

		s.want(t, http.StatusConflict, "lock_not_confirmed", post("/locks/x1/refund", c.service, refundOf("r1", 1)))
		s.want(t, http.StatusOK, "", post("/templates/"+c.template+"/end", c.merchant, nil))
		confirmed := s.want(t, http.StatusOK, "", post("/locks/x1/confirm", c.service, nil).on(last))
		if confirmed.field("state") != "confirmed" || s.want(t, http.StatusOK, "", post("/locks/x1/confirm", c.service, nil)).text != confirmed.text {
			t.Errorf("confirmed %s", confirmed.text)
		}
		s.want(t, http.StatusConflict, "lock_confirmed", post("/locks/x1/cancel", c.service, nil))
		if used := c.status(t, id, "used"); used.body["used_at"] == nil {
			t.Errorf("used %s", used.text)
		}
		c.counters(t, 500, 0)
		c.refunds(t, id)
		s.consistent(t)
	})
}

// refunds gives an order of three units back, one and then two.
func (c *campaign) refunds(t *testing.T, coupon string) {
	t.Helper()
	last := len(c.servers) - 1
	quoted := c.want(t, http.StatusOK, "", post("/locks/x1/refund/quote", c.service, refundOf("r1", 1)))
	c.counters(t, 500, 0)
	first := c.want(t, http.StatusOK, "", post("/locks/x1/refund", c.service, refundOf("r1", 1)))
	want := `{"refund_id":"r1","amount":833,"lines":[{"line_id":"1","quantity":1,"amount":833}],"coupons_returned":[],` +
		`"budget_returned":[{"budget_id":"` + c.budget + `","amount":167}]}`
	if first.text != want || quoted.text != want {
		t.Errorf("quoted %s, refunded %s", quoted.text, first.text)
	}
	c.counters(t, 333, 0)
	c.status(t, coupon, "used")
	if again := c.want(t, http.StatusOK, "", post("/locks/x1/refund", c.service, refundOf("r1", 1)).on(last)); again.text != want {
		t.Errorf("the same refund: %s", again.text)
	}
	c.want(t, http.StatusUnprocessableEntity, "refund_id_reused", post("/locks/x1/refund", c.service, refundOf("r1", 2)))
	c.want(t, http.StatusConflict, "refund_exceeds", post("/locks/x1/refund", c.service, refundOf("r2", 3)).on(last))
	rest := c.want(t, http.StatusOK, "", post("/locks/x1/refund", c.service, refundOf("r2", 2)).on(last))
	if rest.field("amount") != "1667" || !strings.Contains(rest.text, `"coupons_returned":["`+coupon+`"]`) {
		t.Errorf("refunded the rest: %s", rest.text)
	}
	c.counters(t, 0, 0)
	if back := c.status(t, coupon, "available"); back.body["lock_id"] != nil || back.body["used_at"] != nil {
		t.Errorf("returned %s", back.text)
	}
	usages := c.want(t, http.StatusOK, "", get("/budgets/"+c.budget+"/usages?limit=200", c.merchant))
	var ledger struct {
		Data []client.BudgetUsage `json:"data"`
	}
	if err := json.Unmarshal([]byte(usages.text), &ledger); err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, entry := range ledger.Data {
		steps = append(steps, entry.Step+" "+strconv.FormatInt(entry.Amount, 10))
	}
	if got := strings.Join(steps, ", "); got != "return 333, return 167, use 500, hold 500" {
		t.Errorf("the ledger has %s", got)
	}
	c.want(t, http.StatusCreated, "", post("/locks", c.service, lockOf("x3", "ann", coupon)))
	c.want(t, http.StatusOK, "", post("/locks/x3/cancel", c.service, nil))
	c.status(t, coupon, "available")
}

func TestCancelBeforeTry(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		c, last := s.campaign(t, nil), len(s.servers)-1
		id := c.coupon(t, "ann").field("id")
		const xid = "an order/1 + more"
		path := "/locks/an%20order%2F1%20+%20more"
		s.want(t, http.StatusNotFound, "not_found", get(path, c.service))
		s.want(t, http.StatusNotFound, "not_found", post(path+"/confirm", c.service, nil))
		first := s.want(t, http.StatusOK, "", post(path+"/cancel", c.service, nil))
		if first.field("state") != "cancelled" || first.field("xid") != xid || first.body["order_id"] != nil || first.body["quote"] != nil {
			t.Errorf("cancelled %s", first.text)
		}
		if again := s.want(t, http.StatusOK, "", post(path+"/cancel", c.service, nil).on(last)); again.text != first.text {
			t.Errorf("cancelled again: %s", again.text)
		}
		for range 2 {
			s.want(t, http.StatusConflict, "lock_cancelled", post("/locks", c.service, lockOf(xid, "ann", id)).on(last))
		}
		s.want(t, http.StatusConflict, "lock_cancelled", post(path+"/confirm", c.service, nil))
		if got := s.want(t, http.StatusOK, "", get(path, c.service)); got.text != first.text {
			t.Errorf("it is %s by now", got.text)
		}
		c.status(t, id, "available")
		s.consistent(t)
	})
}

func TestOneXIDTriedByManyAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		c := s.campaign(t, nil)
		body := lockOf("x1", "ann", c.coupon(t, "ann").field("id"))
		told := c.atOnce(t, 50, func(int) request { return post("/locks", c.service, body) })
		texts := map[string]bool{}
		for _, got := range told.answers {
			texts[got.text] = true
		}
		if told.count["201 <nil>"] != 1 || told.count["200 <nil>"] != 49 || len(texts) != 1 {
			t.Errorf("told %v in %d ways", told.count, len(texts))
		}
		c.counters(t, 0, 500)
		ends := c.atOnce(t, 40, func(i int) request {
			return post("/locks/x1/"+[]string{"confirm", "cancel"}[i/2%2], c.service, nil)
		})
		won, lost := "confirmed", "409 lock_confirmed"
		if ends.count["409 lock_cancelled"] > 0 {
			won, lost = "cancelled", "409 lock_cancelled"
		}
		if ends.count["200 <nil>"] != 20 || ends.count[lost] != 20 {
			t.Errorf("told %v", ends.count)
		}
		if got := s.want(t, http.StatusOK, "", get("/locks/x1", c.service)); got.field("state") != won {
			t.Errorf("it is %s, want %s", got.text, won)
		}
		s.consistent(t)
	})
}

// verdicts are answers, and how many there were of each status and code.
type verdicts struct {
	answers []answer
	count   map[string]int
}

// atOnce sends n requests at once, to the servers in turn.
func (s *site) atOnce(t *testing.T, n int, ask func(i int) request) verdicts {
	t.Helper()
	var mu sync.Mutex
	told := verdicts{count: map[string]int{}}
	var callers sync.WaitGroup
	for i := range n {
		callers.Go(func() {
			got, err := s.try(t.Context(), ask(i).on(i%len(s.servers)))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			told.answers = append(told.answers, got)
			told.count[fmt.Sprint(got.status, " ", got.body["code"])]++
		})
	}
	callers.Wait()
	return told
}

func TestTenUsesLeftForAHundredLocks(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		c := s.campaign(t, object{"name": "ten uses", "kind": "count", "total": 10})
		coupons := make([]string, 100)
		for i := range coupons {
			coupons[i] = c.coupon(t, fmt.Sprint("user", i)).field("id")
		}
		told := c.atOnce(t, len(coupons), func(i int) request {
			return post("/locks", c.service, lockOf(fmt.Sprint("x", i), fmt.Sprint("user", i), coupons[i]))
		})
		if told.count["201 <nil>"] != 10 || told.count["409 budget_exhausted"] != 90 {
			t.Errorf("told %v", told.count)
		}
		c.counters(t, 0, 10)
		s.consistent(t)

		var xids []string
		for _, got := range told.answers {
			if got.status == http.StatusCreated {
				xids = append(xids, got.field("xid"))
			}
		}
		s.want(t, http.StatusOK, "", post("/locks/batch/confirm", c.service, object{"xids": xids}))
		c.counters(t, 10, 0)
		s.want(t, http.StatusConflict, "budget_exhausted", post("/claims", c.service, claim(c.template, "late")))
		s.want(t, http.StatusConflict, "wrong_state", request{
			method: http.MethodPatch, path: "/budgets/" + c.budget, as: c.merchant, body: object{"total": 9},
		}.with("If-Match", `"1"`))
		s.want(t, http.StatusOK, "", request{
			method: http.MethodPatch, path: "/budgets/" + c.budget, as: c.merchant, body: object{"total": 11},
		}.with("If-Match", `"1"`))
		s.consistent(t)
	})
}

func TestBatchesAnswerForEach(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		c := s.campaign(t, nil)
		for _, user := range []string{"ann", "bob"} {
			s.want(t, http.StatusCreated, "", post("/locks", c.service, lockOf("of "+user, user, c.coupon(t, user).field("id"))))
		}
		confirmed := s.want(t, http.StatusOK, "", post("/locks/batch/confirm", c.service, object{"xids": []string{"nobody's", "of ann"}}))
		if confirmed.text != `{"results":[{"xid":"nobody's","status":404,"code":"not_found"},{"xid":"of ann","status":200,"state":"confirmed"}]}` {
			t.Errorf("got %s", confirmed.text)
		}
		cancelled := s.want(t, http.StatusOK, "", post("/locks/batch/cancel", c.service, object{"xids": []string{"of ann", "of bob", "later", "of bob"}}))
		if cancelled.text != `{"results":[{"xid":"of ann","status":409,"code":"lock_confirmed"},{"xid":"of bob","status":200,"state":"cancelled"},`+
			`{"xid":"later","status":200,"state":"cancelled"},{"xid":"of bob","status":200,"state":"cancelled"}]}` {
			t.Errorf("got %s", cancelled.text)
		}
		c.counters(t, 500, 0)
		s.consistent(t)
	})
}

func TestALockThatNobodyEndsIsFreed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		c := s.campaign(t, nil)
		id := c.coupon(t, "ann").field("id")
		body := lockOf("x1", "ann", id)
		body["ttl_seconds"] = 1
		s.want(t, http.StatusCreated, "", post("/locks", c.service, body))
		c.counters(t, 0, 500)
		for deadline := time.After(30 * time.Second); s.want(t, http.StatusOK, "", get("/coupons/"+id, c.service)).field("status") != "available"; {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-deadline:
				t.Fatal("the coupon is still held")
			}
		}
		c.counters(t, 0, 0)
		s.want(t, http.StatusConflict, "lock_expired", post("/locks/x1/confirm", c.service, nil))
		if again := s.want(t, http.StatusOK, "", post("/locks", c.service, body)); again.field("state") != "expired" {
			t.Errorf("tried again %s", again.text)
		}
		if got := s.want(t, http.StatusOK, "", post("/locks/x1/cancel", c.service, nil)); got.field("state") != "expired" {
			t.Errorf("cancelled %s", got.text)
		}
		s.want(t, http.StatusConflict, "lock_cancelled", post("/locks", c.service, body))
		s.consistent(t)
	})
}

func TestARevokedCouponCannotBeLocked(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		c := s.campaign(t, nil)
		id := c.coupon(t, "ann").field("id")
		s.want(t, http.StatusOK, "", post("/coupons/"+id+"/revoke", c.merchant, nil))
		s.want(t, http.StatusConflict, "coupon_not_available", post("/locks", c.service, lockOf("x1", "ann", id)))
		s.want(t, http.StatusNotFound, "not_found", get("/locks/x1", c.service))
		other := c.coupon(t, "bob").field("id")
		s.want(t, http.StatusConflict, "coupon_not_available", post("/locks", c.service, lockOf("x1", "ann", other)))
		poor := lockOf("x1", "bob", other)
		poor["cart"] = object{"user_id": "bob", "currency": "USD", "merchant_id": "shop", "lines": []object{
			{"line_id": "1", "sku": "shirt", "quantity": 3, "unit_price": 900},
		}}
		refused := s.want(t, http.StatusConflict, "not_applicable", post("/locks", c.service, poor))
		if !strings.Contains(refused.text, `"field":"coupon_ids[0]","code":"min_amount"`) {
			t.Errorf("refused %s", refused.text)
		}
		s.want(t, http.StatusCreated, "", post("/locks", c.service, lockOf("x1", "bob", other)))
		s.consistent(t)
	})
}

func dtm(step, gid, branch string) string {
	return "/dtm/locks/" + step + "?gid=" + gid + "&branch_id=" + branch + "&op=" + step + "&trans_type=tcc&other=1"
}

func TestDTM(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		c, last := s.campaign(t, nil), len(s.servers)-1
		id := c.coupon(t, "ann").field("id")
		body := lockOf("dtm", "ann", id)
		delete(body, "xid")
		first := s.want(t, http.StatusOK, "", post(dtm("try", "g-1", "01"), c.service, body))
		if !strings.HasPrefix(first.text, `{"dtm_result":"SUCCESS","id":"`) || first.field("discount") != "500" || first.field("total") != "3000" {
			t.Errorf("tried %s", first.text)
		}
		if again := s.want(t, http.StatusOK, "", post(dtm("try", "g-1", "01"), c.service, body).on(last)); again.text != first.text {
			t.Errorf("tried again: %s", again.text)
		}
		other := lockOf("dtm", "ann")
		delete(other, "xid")
		s.want(t, http.StatusUnprocessableEntity, "xid_reused", post(dtm("try", "g-1", "01"), c.service, other))
		refused := s.want(t, http.StatusConflict, "coupon_not_available",
			post(dtm("try", "g-1", "02"), c.service, body).with("X-Request-Id", "FAILURE"))
		if strings.Contains(refused.text, "FAILURE") || len(refused.text) > 1000 {
			t.Errorf("refused %s", refused.text)
		}
		s.want(t, http.StatusOK, "", post(dtm("cancel", "g-1", "02"), c.service, body))
		s.want(t, http.StatusConflict, "lock_cancelled", post(dtm("try", "g-1", "02"), c.service, other).on(last))
		s.want(t, http.StatusConflict, "lock_cancelled", post(dtm("confirm", "g-1", "02"), c.service, body))
		if got := s.want(t, http.StatusOK, "", get("/locks/g-1-01", c.service)); got.field("state") != "locked" {
			t.Errorf("the other branch is %s", got.text)
		}
		for range 2 {
			done := s.want(t, http.StatusOK, "", post(dtm("confirm", "g-1", "01"), c.service, []string{"no", "lock"}).on(last))
			if done.text != `{"dtm_result":"SUCCESS"}` {
				t.Errorf("confirmed %s", done.text)
			}
		}
		s.want(t, http.StatusConflict, "lock_confirmed", post(dtm("cancel", "g-1", "01"), c.service, body))
		s.want(t, http.StatusNotFound, "not_found", post(dtm("confirm", "g-9", "01"), c.service, nil))
		s.want(t, http.StatusUnprocessableEntity, "invalid", post("/dtm/locks/cancel?gid=g", c.service, nil))
		c.counters(t, 500, 0)
		s.consistent(t)
	})
}

func TestIdempotencyKeysOfLocks(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		c, last := s.campaign(t, nil), len(s.servers)-1
		try := post("/locks", c.service, lockOf("x1", "ann", c.coupon(t, "ann").field("id"))).with("Idempotency-Key", "k1")
		first := s.want(t, http.StatusCreated, "", try)
		again := s.want(t, http.StatusCreated, "", try.on(last))
		if again.text != first.text || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("replayed %v %s", again.header, again.text)
		}
		other := try
		other.body = lockOf("x2", "ann")
		s.want(t, http.StatusUnprocessableEntity, "idempotency_key_reused", other)
		s.want(t, http.StatusNotFound, "not_found", get("/locks/x2", c.service))
		s.consistent(t)
	})
}

func TestTheClientWalksThroughIt(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		c := s.campaign(t, nil)
		id := c.coupon(t, "ann").field("id")
		shop, err := client.New(s.servers[0].DSN(""), c.service, client.WithHTTPClient(s.http))
		if err != nil {
			t.Fatal(err)
		}
		owner, err := client.New(s.servers[0].DSN(""), c.merchant, client.WithHTTPClient(s.http))
		if err != nil {
			t.Fatal(err)
		}
		shopping := client.Shopping{Cart: client.Cart{
			UserID: "ann", Currency: "USD", MerchantID: "shop", Shipping: 500,
			Lines: []client.CartLine{{LineID: "1", SKU: "shirt", Quantity: 3, UnitPrice: 1000}},
		}}
		ctx := t.Context()
		judged, err := shop.Qualify(ctx, shopping)
		if err != nil || len(judged.Best.CouponIDs) != 1 || judged.Best.CouponIDs[0] != id {
			t.Fatalf("qualified %+v, %v", judged, err)
		}
		wanted := client.Wanted{CouponIDs: judged.Best.CouponIDs}
		quote, err := shop.Quote(ctx, client.QuoteRequest{Shopping: shopping, Wanted: wanted})
		if err != nil || quote.Total != 3000 {
			t.Fatalf("quoted %+v, %v", quote, err)
		}
		lock, err := shop.Lock(ctx, client.NewLock{XID: "a/b", OrderID: "1", Shopping: shopping, Wanted: wanted, TTLSeconds: 60})
		if err != nil || lock.State != client.LockLocked || lock.Quote.Total != quote.Total {
			t.Fatalf("locked %+v, %v", lock, err)
		}
		if lock, err = shop.ConfirmLock(ctx, "a/b"); err != nil || lock.State != client.LockConfirmed {
			t.Fatalf("confirmed %+v, %v", lock, err)
		}
		if _, err := shop.CancelLock(ctx, "a/b"); !client.IsCode(err, client.CodeLockConfirmed) {
			t.Errorf("cancelled: %v", err)
		}
		whole := client.NewRefund{RefundID: "r", Lines: []client.RefundLine{{LineID: "1", Quantity: 3}}}
		quoted, err := shop.QuoteRefund(ctx, "a/b", whole)
		if err != nil || quoted.Amount != 2500 {
			t.Errorf("quoted a refund of %+v, %v", quoted, err)
		}
		refund, err := shop.Refund(ctx, "a/b", whole)
		if err != nil || refund.Amount != 2500 || len(refund.CouponsReturned) != 1 {
			t.Errorf("refunded %+v, %v", refund, err)
		}
		budget, err := owner.Budget(ctx, c.budget)
		if err != nil || budget.Used != 0 || *budget.Remaining != 100_000 {
			t.Errorf("the budget is %+v, %v", budget, err)
		}
		if budget, err = owner.UpdateBudget(ctx, c.budget, budget.Version, client.BudgetPatch{Total: new(int64(5))}); err != nil || budget.Total != 5 {
			t.Errorf("edited %+v, %v", budget, err)
		}
	})
}
