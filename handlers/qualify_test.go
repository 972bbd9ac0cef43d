package handlers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func TestQuoteForWhom(t *testing.T) {
	t.Parallel()
	own := models.Cart{UserID: "u1", Currency: "USD", Lines: []models.CartLine{{LineID: "l1", SKU: "a", Quantity: 3, UnitPrice: 1000}}}
	other := own
	other.UserID = "u2"
	nobody := strings.Replace(goodCart, `"user_id":"u1",`, "", 1)
	foreign := strings.Replace(goodCart, "u1", "u2", 1)
	for name, tc := range map[string]struct {
		actor  models.Principal
		body   string
		status int
		want   asked
		fields []string
	}{
		"a user":                 {user(), `{"cart":` + goodCart + `}`, 200, asked{Cart: own, Tags: []string{"vip"}}, nil},
		"a user names nobody":    {user(), `{"cart":` + nobody + `}`, 200, asked{Cart: own, Tags: []string{"vip"}}, nil},
		"a user names another":   {user(), `{"cart":` + foreign + `}`, 403, asked{}, nil},
		"a user brings tags":     {user(), `{"cart":` + goodCart + `,"user_tags":["vip"]}`, 403, asked{}, nil},
		"a service":              {service(), `{"cart":` + foreign + `,"user_tags":["a"]}`, 200, asked{Cart: other, Tags: []string{"a"}}, nil},
		"a service names nobody": {service(), `{"cart":` + nobody + `}`, 422, asked{}, []string{"cart.user_id"}},
		"a bad tag":              {service(), `{"cart":` + goodCart + `,"user_tags":["a",""]}`, 422, asked{}, []string{"user_tags[1]"}},
		"no cart":                {service(), `{}`, 422, asked{}, []string{"cart"}},
		"no lines":               {service(), `{"cart":{"user_id":"u1","currency":"USD"}}`, 422, asked{}, []string{"cart.lines"}},
		"no price": {
			service(), `{"cart":{"user_id":"u1","currency":"USD","lines":[{"line_id":"l1","sku":"a","quantity":1}]}}`, 422,
			asked{},
			[]string{"cart.lines[0].unit_price"},
		},
		"no quantity": {
			service(), `{"cart":{"user_id":"u1","currency":"USD","lines":[{"line_id":"l1","sku":"a","unit_price":null}]}}`, 422,
			asked{},
			[]string{"cart.lines[0].quantity", "cart.lines[0].unit_price"},
		},
		"misspelt": {
			service(), strings.Replace(`{"cart":`+goodCart+`}`, "unit_price", "unitprice", 1), 422,
			asked{},
			[]string{"cart.lines[0].unitprice"},
		},
	} {
		for _, what := range []string{"qualify", "quote"} {
			t.Run(name+" "+what, func(t *testing.T) {
				t.Parallel()
				f := newFake()
				w := call(serve(t, f, tc.actor), request{method: "POST", path: "/v1/checkout/" + what, body: tc.body})
				if w.Code != tc.status {
					t.Fatalf("got %d %s, want %d", w.Code, w.Body, tc.status)
				}
				if tc.status == 200 {
					if diff := cmp.Diff(tc.want, f.arg(what)); diff != "" {
						t.Error(diff)
					}
				} else if p := problemOf(t, w); !cmp.Equal(p.fields(), tc.fields) || f.changes > 0 {
					t.Errorf("got %v after %d calls, want %v", p, f.changes, tc.fields)
				}
			})
		}
	}
}

func TestQuoteNamesCoupons(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(t, f, service())
	body := `{"cart":` + goodCart + `,"coupon_ids":["31","32"],"codes":["yvzy-74x6 4mnpx"]}`
	w := call(h, request{method: "POST", path: "/v1/checkout/quote", body: body})
	got, _ := f.arg("quote").(asked)
	if w.Code != 200 || !cmp.Equal(got.IDs, []models.ID{31, 32}) || !cmp.Equal(got.Codes, []string{"yvzy-74x6 4mnpx"}) {
		t.Errorf("got %d %s, asked for %v", w.Code, w.Body, got)
	}
	for bad, field := range map[string]string{
		`"coupon_ids":["31",null]`: "coupon_ids[1]",
		`"coupon_ids":[31]`:        "coupon_ids[0]",
		`"codes":[""]`:             "codes[0]",
		`"codes":["a","\u0000"]`:   "codes[1]",
	} {
		w := call(h, request{method: "POST", path: "/v1/checkout/quote", body: `{"cart":` + goodCart + `,` + bad + `}`})
		if p := problemOf(t, w); p.Status != 422 || !cmp.Equal(p.fields(), []string{field}) {
			t.Errorf("%s: got %v", bad, p)
		}
	}
}
