package handlers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func tryOf(t *testing.T, body string) models.Try {
	t.Helper()
	f := newFake()
	w := call(serve(t, f, service()), request{method: "POST", path: "/v1/locks", body: body})
	try, ok := f.arg("try").(models.Try)
	if w.Code != http.StatusCreated || !ok {
		t.Fatalf("%s: got %d %s", body, w.Code, w.Body)
	}
	return try
}

func TestTryTakesEverything(t *testing.T) {
	t.Parallel()
	got := tryOf(t, `{"xid":"x/1 é","order_id":"o1","ttl_seconds":60,"user_tags":["vip"],"coupon_ids":["31"],"codes":["abc"],
		"cart":{"user_id":"u1","currency":"JPY","merchant_id":"m1","shipping":500,"payment_method":"card","channel":"app","first_order":true,
		"lines":[{"line_id":"l1","sku":"a","category_ids":["c1","c2"],"quantity":3,"unit_price":0,"merchant_id":"m2"}]}}`)
	want := models.Try{
		XID: "x/1 é", OrderID: "o1", Hash: got.Hash, TTL: time.Minute, Actor: "key:3",
		UserTags: []string{"vip"}, CouponIDs: []models.ID{31}, Codes: []string{"abc"},
		Cart: models.Cart{
			UserID: "u1", Currency: "JPY", MerchantID: "m1", Shipping: 500, PaymentMethod: "card", Channel: "app", FirstOrder: true,
			Lines: []models.CartLine{{
				LineID: "l1", SKU: "a", CategoryIDs: []string{"c1", "c2"}, Quantity: 3, UnitPrice: 0, MerchantID: "m2",
			}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestTheSameTry is about what makes two requests with one xid the same: what
// they ask for, and nothing about how it is written.
func TestTheSameTry(t *testing.T) {
	t.Parallel()
	first := tryOf(t, namedTry("x1"))
	for name, body := range map[string]string{
		"spaces":         strings.ReplaceAll(namedTry("x1"), ",", " ,\n"),
		"order":          `{"coupon_ids":["31"],"cart":` + goodCart + `,"order_id":"o1","xid":"x1"}`,
		"a default":      `{"ttl_seconds":900,` + namedTry("x1")[1:],
		"nulls":          `{"codes":null,"user_tags":null,` + namedTry("x1")[1:],
		"empty":          `{"codes":[],"user_tags":[],` + namedTry("x1")[1:],
		"default inside": strings.Replace(namedTry("x1"), `"currency"`, `"shipping":0,"first_order":false,"currency"`, 1),
		"another xid":    namedTry("x2"),
	} {
		if tryOf(t, body).Hash != first.Hash {
			t.Errorf("%s: it is taken for another", name)
		}
	}
	for name, body := range map[string]string{
		"order":    strings.Replace(namedTry("x1"), "o1", "o2", 1),
		"user":     strings.Replace(namedTry("x1"), "u1", "u2", 1),
		"price":    strings.Replace(namedTry("x1"), "1000", "1001", 1),
		"coupon":   strings.Replace(namedTry("x1"), `"31"`, `"32"`, 1),
		"a coupon": strings.Replace(namedTry("x1"), `"31"`, `"31","32"`, 1),
		"code":     `{"codes":["abc"],` + namedTry("x1")[1:],
		"tag":      `{"user_tags":["abc"],` + namedTry("x1")[1:],
		"ttl":      `{"ttl_seconds":901,` + namedTry("x1")[1:],
		"shipping": strings.Replace(namedTry("x1"), `"currency"`, `"shipping":1,"currency"`, 1),
	} {
		if tryOf(t, body).Hash == first.Hash {
			t.Errorf("%s: it is taken for the same", name)
		}
	}
}

func TestTryNamesEveryFault(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(t, f, platform())
	for body, want := range map[string][]string{
		`{}`:                                    {"xid", "order_id", "cart"},
		namedTry("batch"):                       {"xid"},
		namedTry(strings.Repeat("x", 65)):       {"xid"},
		`{"ttl_seconds":0,` + namedTry("x")[1:]: {"ttl_seconds"},
		`{"ttl_seconds":604801,"order_id":"` + strings.Repeat("o", 65) + `",` + strings.Replace(namedTry("x")[1:], `"order_id":"o1",`, "", 1): {
			"order_id", "ttl_seconds",
		},
		`{"ttl_seconds":9223372036854775807,` + namedTry("x")[1:]: {"ttl_seconds"},
	} {
		p := problemOf(t, call(h, request{method: "POST", path: "/v1/locks", body: body}))
		if p.Status != 422 || !cmp.Equal(p.fields(), want) || f.changes > 0 {
			t.Errorf("%s: got %v, want %v", body, p, want)
		}
	}
	if got := tryOf(t, `{"ttl_seconds":604800,`+namedTry("x")[1:]).TTL; got != models.MaxLockTTL {
		t.Errorf("the longest TTL became %s", got)
	}
}

func TestRepeatedTryIs200(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.verdict.Made = false
	if w := call(serve(t, f, service()), request{method: "POST", path: "/v1/locks", body: namedTry("x1")}); w.Code != 200 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestRefusedTryNamesTheCoupon(t *testing.T) {
	t.Parallel()
	f := newFake()
	refusal := models.Refuse(models.CodeNotApplicable, "coupon_ids[0]: spend more")
	refusal.Fields = []models.FieldError{{Field: "coupon_ids[0]", Code: models.CodeMinAmount, Detail: "spend more"}}
	f.refusal = refusal
	p := problemOf(t, call(serve(t, f, service()), request{method: "POST", path: "/v1/locks", body: namedTry("x1")}))
	if p.Status != 409 || p.Code != models.CodeNotApplicable || !cmp.Equal(p.Errors, refusal.Fields) {
		t.Errorf("got %v", p)
	}
}

// TestXIDInAPath is about the callers' own names, which may hold what means
// something in a URL.
func TestXIDInAPath(t *testing.T) {
	t.Parallel()
	for escaped, xid := range map[string]string{
		"x1": "x1", "a%2Fb": "a/b", "a+b": "a+b", "a+b%2Fc": "a+b/c", "a%20b": "a b", "50%25": "50%", "50%2525": "50%25",
		"%C3%A9": "é", "a:b*c": "a:b*c", strings.Repeat("x", 191): strings.Repeat("x", 191),
	} {
		for _, step := range []string{"/confirm", "/cancel", ""} {
			f := newFake()
			h := serve(t, f, service())
			method, got := "POST", func() any { e, _ := f.arg("end").(ended); return strings.Join(e.XIDs, " ") }
			if step == "" {
				method, got = "GET", func() any { return f.arg("get") }
			}
			w := call(h, request{method: method, path: "/v1/locks/" + escaped + step})
			if w.Code != 200 || got() != any(xid) {
				t.Errorf("%s%s: got %d %s for %v", escaped, step, w.Code, w.Body, got())
			}
		}
	}
}

func TestEndsGoToTheirService(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]ended{
		"/v1/locks/x1/confirm":                                     {models.LockConfirmed, []string{"x1"}, "key:3"},
		"/v1/locks/x1/cancel":                                      {models.LockCancelled, []string{"x1"}, "key:3"},
		"/v1/locks/batch/confirm":                                  {models.LockConfirmed, []string{"x1", "unknown", "x1"}, "key:3"},
		"/v1/locks/batch/cancel":                                   {models.LockCancelled, []string{"x1", "unknown", "x1"}, "key:3"},
		"/v1/dtm/locks/confirm?gid=g-1&branch_id=01&a=b":           {models.LockConfirmed, []string{"g-1-01"}, "key:3"},
		"/v1/dtm/locks/cancel?gid=g%2F1&branch_id=01&op=cancel&op": {models.LockCancelled, []string{"g/1-01"}, "key:3"},
	} {
		f := newFake()
		var body string
		if strings.Contains(path, "batch") {
			body = `{"xids":["x1","unknown","x1"]}`
		}
		w := call(serve(t, f, service()), request{method: "POST", path: path, body: body})
		if diff := cmp.Diff(any(want), f.arg("end")); diff != "" || w.Code != 200 {
			t.Errorf("%s: %d %s: %s", path, w.Code, w.Body, diff)
		}
		if body != "" && w.Body.String() != `{"results":[{"xid":"x1","status":200,"state":"locked"},`+
			`{"xid":"unknown","status":404,"code":"not_found"},{"xid":"x1","status":200,"state":"locked"}]}` {
			t.Errorf("%s: got %s", path, w.Body)
		}
	}
}

func TestBatchBounds(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(t, f, service())
	many := `{"xids":["x"` + strings.Repeat(`,"x"`, 199) + `]}`
	if w := call(h, request{method: "POST", path: "/v1/locks/batch/confirm", body: many}); w.Code != 200 {
		t.Errorf("200 locks: %d %s", w.Code, w.Body)
	}
	for body, field := range map[string]string{
		`{}`:          "xids",
		`{"xids":[]}`: "xids",
		`{"xids":["x"` + strings.Repeat(`,"x"`, 200) + `]}`: "xids",
		`{"xids":["x",""]}`: "xids[1]",
		`{"xids":[1]}`:      "xids[0]",
	} {
		p := problemOf(t, call(h, request{method: "POST", path: "/v1/locks/batch/cancel", body: body}))
		if p.Status != 422 || !cmp.Equal(p.fields(), []string{field}) || f.changes > 1 {
			t.Errorf("%.40s: got %v", body, p)
		}
	}
}

func TestRefund(t *testing.T) {
	t.Parallel()
	for path, dry := range map[string]bool{"/v1/locks/a%2Fb/refund": false, "/v1/locks/a%2Fb/refund/quote": true} {
		ask := func(body string) refunded {
			f := newFake()
			w := call(serve(t, f, service()), request{method: "POST", path: path, body: body})
			got, ok := f.arg("refund").(refunded)
			if !ok || w.Code != 200 || !strings.HasPrefix(w.Body.String(), `{"refund_id":"r1","amount":0,`) {
				t.Fatalf("%s: got %d %s", body, w.Code, w.Body)
			}
			return got
		}
		got := ask(goodRefund)
		want := refunded{models.RefundRequest{
			XID: "a/b", RefundID: "r1", Hash: got.Request.Hash, Lines: []models.RefundLine{{LineID: "l1", Quantity: 1}}, Actor: "key:3",
		}, dry}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if same := ask(`{ "lines":[{"quantity":1,"line_id":"l1"}], "refund_id":"r1"}`); same.Request.Hash != got.Request.Hash {
			t.Error("the same refund, written otherwise, is taken for another")
		}
		if other := ask(strings.Replace(goodRefund, ":1}", ":2}", 1)); other.Request.Hash == got.Request.Hash {
			t.Error("another refund is taken for the same")
		}
	}
}

func TestRefundNamesEveryFault(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(t, f, service())
	for body, want := range map[string][]string{
		`{}`:                           {"refund_id", "lines"},
		`{"refund_id":"r","lines":[]}`: {"lines"},
		`{"refund_id":"r","lines":[{"line_id":"","quantity":0},{"line_id":"a","quantity":1},{"line_id":"a","quantity":10001}]}`: {
			"lines[0].line_id", "lines[0].quantity", "lines[2].quantity", "lines[2].line_id",
		},
		`{"refund_id":"r","lines":[{"line_id":"a","quantity":1}` + strings.Repeat(`,{"line_id":"a","quantity":1}`, 200) + `]}`: {"lines"},
	} {
		p := problemOf(t, call(h, request{method: "POST", path: "/v1/locks/x/refund", body: body}))
		if p.Status != 422 || !cmp.Equal(p.fields(), want) || f.changes > 0 {
			t.Errorf("%.60s: got %v, want %v", body, p, want)
		}
	}
}
