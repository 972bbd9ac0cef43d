package handlers

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func TestCreateRuleFillsInDefaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body string
		want models.Rule
	}{
		"as little as possible": {
			goodRule,
			models.Rule{
				Name: "ten off", Kind: models.KindAmountOff,
				Effect: models.Effect{AmountOff: ptr(int64(1000)), Currency: "USD"},
				Scope:  models.Scope{Storewide: true}, Stacking: models.DefaultStacking(),
			},
		},
		"part of each": {
			`{"name":"a","kind":"buy_x_get_y","effect":{"buy_quantity":2,"get_quantity":1,"percent_off_bp":10000,"get":{}},
			  "scope":{"exclude_skus":["x"]},"conditions":{"time_of_day":{"from":"22:00","until":"06:00"},"expression":"true"},
			  "stacking":{"group":"g","priority":0}}`,
			models.Rule{
				Name: "a", Kind: models.KindBuyXGetY,
				Effect: models.Effect{
					BuyQuantity: ptr(int64(2)), GetQuantity: ptr(int64(1)), PercentOffBP: ptr(int64(10000)),
					Get: &models.Scope{Storewide: true},
				},
				Scope: models.Scope{Storewide: true, ExcludeSKUs: []string{"x"}},
				Conditions: models.Conditions{
					TimeOfDay: &models.TimeOfDay{From: "22:00", Until: "06:00"}, Expression: "true",
				},
				Stacking: models.Stacking{Group: "g", Priority: 0, MaxPerOrder: 1, Base: models.BaseRemaining},
			},
		},
		"every, of some skus": {
			`{"name":"a","kind":"amount_off","effect":{"amount_off":5,"currency":"JPY","every":{"spend":100,"max_times":3}},
			  "scope":{"skus":["x"]},"stacking":{"base":"original","exclusive_all":true,"max_per_order":2}}`,
			models.Rule{
				Name: "a", Kind: models.KindAmountOff,
				Effect: models.Effect{
					AmountOff: ptr(int64(5)), Currency: "JPY", Every: &models.Every{Spend: 100, MaxTimes: ptr(int64(3))},
				},
				Scope:    models.Scope{SKUs: []string{"x"}},
				Stacking: models.Stacking{ExclusiveAll: true, Priority: 100, MaxPerOrder: 2, Base: models.BaseOriginal},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			if w := call(serve(t, f, merchant()), request{method: "POST", path: "/v1/rules", body: tc.body}); w.Code != 201 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			got, _ := f.arg("rule").(models.Rule)
			tc.want.ID, tc.want.Version, tc.want.MerchantID, tc.want.CreatedAt = 11, 1, "m1", got.CreatedAt
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCreateRuleNamesEveryFault(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body   string
		code   models.Code
		fields []string
	}{
		"nothing": {`{}`, models.CodeInvalid, []string{"kind", "name"}},
		"nulls":   {`{"name":null,"kind":null,"effect":null}`, models.CodeInvalid, []string{"kind", "name"}},
		"effect of another kind": {
			`{"name":"a","kind":"free_shipping","effect":{"price":1}}`,
			models.CodeUnknownField,
			[]string{"effect.price"},
		},
		"required of the effect": {
			`{"name":"a","kind":"amount_off","effect":{"amount_off":null,"every":{}}}`,
			models.CodeInvalid,
			[]string{"effect.amount_off", "effect.currency", "effect.every.spend"},
		},
		"covers nothing": {
			`{"name":"a","kind":"buy_x_get_y","effect":{"buy_quantity":1,"get_quantity":1,"percent_off_bp":5000,"get":{"storewide":false}},
			  "scope":{"storewide":false,"exclude_skus":["a"]}}`,
			models.CodeInvalid,
			[]string{"effect.get.storewide", "scope.storewide"},
		},
		"several": {
			`{"name":"a","kind":"percent_off","effect":{"percent_off_bp":10001},"scope":{"storewide":true,"skus":["a"]},
			  "conditions":{"days_of_week":[8],"time_of_day":{"until":"25:00"},"expression":"f("},"stacking":{"base":"x"}}`,
			models.CodeInvalid,
			[]string{
				"conditions.days_of_week[0]", "conditions.expression", "conditions.time_of_day.from",
				"conditions.time_of_day.until", "effect.percent_off_bp", "scope.storewide", "stacking.base",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, path := range []string{"/v1/rules", "/v1/rules/11/versions"} {
				f := newFake()
				p := problemOf(t, call(serve(t, f, platform()), request{method: "POST", path: path, body: tc.body}))
				fields := p.fields()
				slices.Sort(fields)
				if p.Status != 422 || p.Code != tc.code || !cmp.Equal(fields, tc.fields) || f.changes != 0 {
					t.Errorf("got %d %s %v, want 422 %s %v", p.Status, p.Code, p.Errors, tc.code, tc.fields)
				}
			}
		})
	}
}

func TestWhoseThingsAre(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		actor  models.Principal
		named  string
		status int
		want   string
	}{
		"a merchant's own":       {merchant(), ``, 201, "m1"},
		"a merchant names it":    {merchant(), `"merchant_id":"m1",`, 201, "m1"},
		"another's":              {merchant(), `"merchant_id":"m2",`, 403, ""},
		"the platform's":         {platform(), ``, 201, ""},
		"null":                   {platform(), `"merchant_id":null,`, 201, ""},
		"the platform names one": {platform(), `"merchant_id":"m2",`, 201, "m2"},
		"no proper id":           {platform(), `"merchant_id":" m2",`, 422, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for path, body := range map[string]string{"/v1/rules": goodRule, "/v1/templates": goodTemplate} {
				w := call(serve(t, newFake(), tc.actor), request{method: "POST", path: path, body: "{" + tc.named + body[1:]})
				if w.Code != tc.status {
					t.Fatalf("got %d %s, want %d", w.Code, w.Body, tc.status)
				}
				if tc.status == 201 && stringIn(t, w.Body.Bytes(), "merchant_id") != tc.want {
					t.Errorf("got %s, want %q", w.Body, tc.want)
				}
			}
		})
	}
}

func TestListOfAnotherMerchant(t *testing.T) {
	t.Parallel()
	h := serve(t, newFake(), merchant())
	for path, status := range map[string]int{
		"/v1/templates?merchant_id=m1": 200, "/v1/templates?merchant_id=m2": 403,
	} {
		if w := call(h, request{method: "GET", path: path}); w.Code != status {
			t.Errorf("%s: got %d %s", path, w.Code, w.Body)
		}
	}
}

func TestRuleVersionQuery(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{"/v1/rules/11": 0, "/v1/rules/11?version=3": 3} {
		f := newFake()
		call(serve(t, f, platform()), request{method: "GET", path: path})
		if got := f.arg("version"); got != want {
			t.Errorf("%s: asked for version %v", path, got)
		}
	}
}
