package handlers

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	gocmp "github.com/google/go-cmp/cmp"

	"scrip/models"
)

const (
	goodRule     = `{"name":"ten off","kind":"amount_off","effect":{"amount_off":1000,"currency":"USD"}}`
	goodBudget   = `{"name":"spring","kind":"amount","currency":"USD","total":100000}`
	goodCart     = `{"user_id":"u1","currency":"USD","lines":[{"line_id":"l1","sku":"a","quantity":3,"unit_price":1000}]}`
	goodTry      = `{"order_id":"o1","cart":` + goodCart + `,"coupon_ids":["31"]}`
	goodRefund   = `{"refund_id":"r1","lines":[{"line_id":"l1","quantity":1}]}`
	goodTemplate = `{"name":"spring","rule_id":"11","currency":"USD","stock":10,"validity":{"days_after_claim":7}}`
)

// namedTry is goodTry with an xid.
func namedTry(xid string) string { return `{"xid":"` + xid + `",` + goodTry[1:] }

// routeCase is a route with a request that is in order, and what each role
// gets for it.
type routeCase struct {
	route, path, body                 string
	platform, merchant, service, user int
}

func routeCases() []routeCase {
	return []routeCase{
		{"POST /v1/rules", "/v1/rules", goodRule, 201, 201, 403, 403},
		{"GET /v1/rules", "/v1/rules", "", 200, 200, 403, 403},
		{"GET /v1/rules/:id", "/v1/rules/11", "", 200, 200, 403, 403},
		{"POST /v1/rules/:id/versions", "/v1/rules/11/versions", goodRule, 201, 201, 403, 403},
		{"POST /v1/templates", "/v1/templates", goodTemplate, 201, 201, 403, 403},
		{"GET /v1/templates", "/v1/templates", "", 200, 200, 403, 403},
		{"GET /v1/templates/:id", "/v1/templates/21", "", 200, 200, 403, 403},
		{"PATCH /v1/templates/:id", "/v1/templates/21", `{"name":"a"}`, 200, 200, 403, 403},
		{"POST /v1/templates/:id/publish", "/v1/templates/21/publish", "", 200, 200, 403, 403},
		{"POST /v1/templates/:id/pause", "/v1/templates/21/pause", "", 409, 409, 403, 403},
		{"POST /v1/templates/:id/resume", "/v1/templates/21/resume", "", 409, 409, 403, 403},
		{"POST /v1/templates/:id/end", "/v1/templates/21/end", "", 200, 200, 403, 403},
		{"POST /v1/templates/:id/stock", "/v1/templates/21/stock", `{"add":-5}`, 200, 200, 403, 403},
		{"GET /v1/templates/:id/stats", "/v1/templates/21/stats", "", 200, 200, 403, 403},
		{"GET /v1/templates/:id/coupons", "/v1/templates/21/coupons", "", 200, 200, 403, 403},
		{"POST /v1/templates/:id/codes", "/v1/templates/21/codes", `{"count":5}`, 202, 202, 403, 403},
		{"GET /v1/templates/:id/codes", "/v1/templates/21/codes", "", 200, 200, 403, 403},
		{"GET /v1/templates/:id/codes.csv", "/v1/templates/21/codes.csv", "", 200, 200, 403, 403},
		{"POST /v1/coupons/:id/revoke", "/v1/coupons/31/revoke", "", 200, 200, 403, 403},
		{"POST /v1/budgets", "/v1/budgets", goodBudget, 201, 201, 403, 403},
		{"GET /v1/budgets", "/v1/budgets", "", 200, 200, 403, 403},
		{"GET /v1/budgets/:id", "/v1/budgets/61", "", 200, 200, 403, 403},
		{"PATCH /v1/budgets/:id", "/v1/budgets/61", `{"name":"a"}`, 200, 200, 403, 403},
		{"GET /v1/budgets/:id/usages", "/v1/budgets/61/usages", "", 200, 200, 403, 403},
		{"POST /v1/checkout/qualify", "/v1/checkout/qualify", `{"cart":` + goodCart + `}`, 200, 403, 200, 200},
		{"POST /v1/checkout/quote", "/v1/checkout/quote", `{"cart":` + goodCart + `}`, 200, 403, 200, 200},
		{"POST /v1/locks", "/v1/locks", namedTry("x1"), 201, 403, 201, 403},
		{"GET /v1/locks/:xid", "/v1/locks/x1", "", 200, 403, 200, 403},
		{"POST /v1/locks/:xid/confirm", "/v1/locks/x1/confirm", "", 200, 403, 200, 403},
		{"POST /v1/locks/:xid/cancel", "/v1/locks/x1/cancel", "", 200, 403, 200, 403},
		{"POST /v1/locks/:xid/refund", "/v1/locks/x1/refund", goodRefund, 200, 403, 200, 403},
		{"POST /v1/locks/:xid/refund/quote", "/v1/locks/x1/refund/quote", goodRefund, 200, 403, 200, 403},
		{"POST /v1/locks/batch/confirm", "/v1/locks/batch/confirm", `{"xids":["x1"]}`, 200, 403, 200, 403},
		{"POST /v1/locks/batch/cancel", "/v1/locks/batch/cancel", `{"xids":["x1"]}`, 200, 403, 200, 403},
		{"POST /v1/dtm/locks/try", "/v1/dtm/locks/try?gid=g&branch_id=01&op=try&trans_type=tcc", goodTry, 200, 403, 200, 403},
		{"POST /v1/dtm/locks/confirm", "/v1/dtm/locks/confirm?gid=g&branch_id=01&op=confirm&trans_type=tcc", goodTry, 200, 403, 200, 403},
		{"POST /v1/dtm/locks/cancel", "/v1/dtm/locks/cancel?gid=g&branch_id=01&op=cancel&trans_type=tcc", goodTry, 200, 403, 200, 403},
		{"POST /v1/packs", "/v1/packs", `{"name":"welcome","items":[{"template_id":"21","quantity":1}]}`, 201, 201, 403, 403},
		{"GET /v1/packs", "/v1/packs", "", 200, 200, 403, 403},
		{"GET /v1/packs/:id", "/v1/packs/95", "", 200, 200, 403, 403},
		{"POST /v1/distributions", "/v1/distributions", `{"template_id":"21","audience":{"kind":"all"}}`, 202, 202, 403, 403},
		{"POST /v1/distributions/import", "/v1/distributions/import?template_id=21", "user_id\nann\n", 202, 202, 403, 403},
		{"GET /v1/distributions", "/v1/distributions", "", 200, 200, 403, 403},
		{"GET /v1/distributions/:id", "/v1/distributions/91", "", 200, 200, 403, 403},
		{"POST /v1/distributions/:id/pause", "/v1/distributions/91/pause", "", 200, 200, 403, 403},
		{"POST /v1/distributions/:id/resume", "/v1/distributions/91/resume", "", 409, 409, 403, 403},
		{"POST /v1/distributions/:id/cancel", "/v1/distributions/91/cancel", "", 200, 200, 403, 403},
		{"GET /v1/distributions/:id/failures.csv", "/v1/distributions/91/failures.csv", "", 200, 200, 403, 403},
		{"PUT /v1/users/:user_id", "/v1/users/u1", `{"tags":["vip"]}`, 201, 201, 403, 403},
		{"GET /v1/users/:user_id", "/v1/users/u%2F1", "", 200, 200, 403, 403},
		{"POST /v1/users/import", "/v1/users/import", "user_id\nann\n", 200, 200, 403, 403},
		{"GET /v1/jobs/:id", "/v1/jobs/91", "", 200, 200, 403, 403},
		{"GET /v1/audit", "/v1/audit", "", 200, 200, 403, 403},
		{"POST /v1/api_keys", "/v1/api_keys", `{"role":"merchant","merchant_id":"m1"}`, 201, 201, 403, 403},
		{"GET /v1/api_keys", "/v1/api_keys", "", 200, 200, 403, 403},
		{"DELETE /v1/api_keys/:id", "/v1/api_keys/41", "", 204, 204, 403, 403},
		{"POST /v1/webhooks", "/v1/webhooks", `{"url":"https://shop.example/hook","events":["coupon.used"]}`, 201, 201, 403, 403},
		{"GET /v1/webhooks", "/v1/webhooks", "", 200, 200, 403, 403},
		{"DELETE /v1/webhooks/:id", "/v1/webhooks/91", "", 204, 204, 403, 403},
		{"GET /v1/templates/claimable", "/v1/templates/claimable?user_id=u1", "", 200, 200, 200, 200},
		{"POST /v1/claims", "/v1/claims", `{"template_id":"21","user_id":"u1"}`, 201, 201, 201, 201},
		{"GET /v1/coupons", "/v1/coupons?user_id=u1", "", 200, 200, 200, 200},
		{"GET /v1/messages", "/v1/messages?user_id=u1", "", 200, 403, 200, 200},
		{"POST /v1/messages/:id/read", "/v1/messages/101/read", `{"user_id":"u1"}`, 200, 403, 200, 200},
		{"GET /v1/coupons/:id", "/v1/coupons/31", "", 200, 200, 200, 200},
	}
}

func TestEveryRouteForEveryRole(t *testing.T) {
	t.Parallel()
	for _, tc := range routeCases() {
		method, _, _ := strings.Cut(tc.route, " ")
		for _, who := range []struct {
			actor  models.Principal
			status int
		}{{platform(), tc.platform}, {merchant(), tc.merchant}, {service(), tc.service}, {user(), tc.user}, {models.Principal{}, 403}} {
			t.Run(tc.route+" "+string(who.actor.Role), func(t *testing.T) {
				t.Parallel()
				f := newFake()
				w := call(serve(t, f, who.actor), request{
					method: method, path: tc.path, body: tc.body, header: map[string]string{"If-Match": `"3"`},
				})
				if w.Code != who.status {
					t.Fatalf("got %d %s, want %d", w.Code, w.Body, who.status)
				}
				if who.status == 403 && (problemOf(t, w).Code != models.CodeForbidden || len(f.args) > 0 || f.asked.Limit > 0) {
					t.Errorf("a forbidden request came as far as %v %v: %s", f.args, f.asked, w.Body)
				}
			})
		}
	}
}

// TestRouteCasesAreComplete is why no route can be added without its roles
// being tested.
func TestRouteCasesAreComplete(t *testing.T) {
	t.Parallel()
	router, ok := serve(t, newFake(), platform()).(*gin.Engine)
	if !ok {
		t.Fatal("the router is not gin's")
	}
	var got, want []string
	for _, r := range router.Routes() {
		if strings.HasPrefix(r.Path, "/v1/") {
			got = append(got, r.Method+" "+r.Path)
		}
	}
	for _, tc := range routeCases() {
		want = append(want, tc.route)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOutsideTheMap(t *testing.T) {
	t.Parallel()
	h := serve(t, newFake(), platform())
	for _, tc := range []struct {
		method, path string
		status       int
		code         models.Code
	}{
		{"GET", "/nowhere", 404, models.CodeNoRoute},
		{"GET", "/v1", 404, models.CodeNoRoute},
		{"GET", "/v1/rules/", 404, models.CodeNoRoute},
		{"GET", "/V1/rules", 404, models.CodeNoRoute},
		{"GET", "/v1/distributions/x", 404, models.CodeNotFound},
		{"POST", "/v1/distributions/x/pause", 404, models.CodeNotFound},
		{"GET", "/v1/distributions/x/failures.csv", 404, models.CodeNotFound},
		{"GET", "/v1/templates/x/codes", 404, models.CodeNotFound},
		{"GET", "/v1/templates/x/codes.csv", 404, models.CodeNotFound},
		{"GET", "/v1/packs/x", 404, models.CodeNotFound},
		{"GET", "/v1/budgets/x", 404, models.CodeNotFound},
		{"GET", "/v1/budgets/x/usages", 404, models.CodeNotFound},
		{"GET", "/v1/users/%20u", 422, models.CodeInvalid},
		{"GET", "/v1/users/" + strings.Repeat("u", 65), 422, models.CodeInvalid},
		{"GET", "/v1/jobs/x", 404, models.CodeNotFound},
		{"GET", "/v1/jobs", 404, models.CodeNoRoute},
		{"POST", "/v1/locks/x1", 405, models.CodeNoMethod},
		{"GET", "/v1/locks/" + strings.Repeat("x", 192), 422, models.CodeInvalid},
		{"POST", "/v1/locks/%20x/cancel", 422, models.CodeInvalid},
		{"PUT", "/v1/rules", 405, models.CodeNoMethod},
		{"DELETE", "/v1/templates/21", 405, models.CodeNoMethod},
		{"GET", "/v1/claims", 405, models.CodeNoMethod},
		{"POST", "/healthz", 405, models.CodeNoMethod},
		{"GET", "/v1/rules/x", 404, models.CodeNotFound},
		{"GET", "/v1/rules/0", 404, models.CodeNotFound},
		{"GET", "/v1/templates/-1", 404, models.CodeNotFound},
		{"GET", "/v1/templates/007", 404, models.CodeNotFound},
		{"GET", "/v1/templates/9223372036854775808/stats", 404, models.CodeNotFound},
		{"GET", "/v1/templates/%31%20/coupons", 404, models.CodeNotFound},
		{"POST", "/v1/templates/x/publish", 404, models.CodeNotFound},
		{"GET", "/v1/coupons/x", 404, models.CodeNotFound},
		{"POST", "/v1/coupons/x/revoke", 404, models.CodeNotFound},
		{"DELETE", "/v1/api_keys/x", 404, models.CodeNotFound},
		{"DELETE", "/v1/webhooks/x", 404, models.CodeNotFound},
	} {
		w := call(h, request{method: tc.method, path: tc.path})
		if w.Code != tc.status || problemOf(t, w).Code != tc.code {
			t.Errorf("%s %s: got %d %s, want %d %s", tc.method, tc.path, w.Code, w.Body, tc.status, tc.code)
		}
		if tc.status == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", tc.method, tc.path)
		}
	}
}

func TestPublicPages(t *testing.T) {
	t.Parallel()
	h := serve(t, newFake(), models.Principal{})
	for path, want := range map[string]string{
		"/healthz": `{"status":"ok"}`, "/metrics": "metrics", "/openapi.yaml": "openapi: 3.1.0",
		"/docs": "docs", "/docs/": "docs", "/docs/app.js": "docs",
		"/readyz": `{"status":"ok","stores":{"mysql":"ok"}}`,
	} {
		if w := call(h, request{method: "GET", path: path}); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: got %d %s, want %s", path, w.Code, w.Body, want)
		}
	}
	if w := call(h, request{method: "GET", path: "/"}); w.Code != 302 || w.Header().Get("Location") != "/docs" {
		t.Errorf("/: got %d to %s", w.Code, w.Header().Get("Location"))
	}
}

func TestRoutesRefusesABadProxy(t *testing.T) {
	t.Parallel()
	none := http.NotFoundHandler()
	if _, err := Routes(Deps{Metrics: none, Docs: none, TrustedProxies: []string{"nowhere"}}); err == nil {
		t.Error("a proxy that is no address was accepted")
	}
}

func TestReadyNamesTheStoreThatIsAway(t *testing.T) {
	t.Parallel()
	silent := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, tc := range map[string]struct {
		redis Probe
		want  string
	}{
		"refused": {func(context.Context) error { return errors.New("connection refused") }, "away"},
		"silent":  {silent, "away"},
		"there":   {func(context.Context) error { return nil }, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			if name == "silent" {
				cancel(nil) // instead of waiting for the timeout
			}
			defer cancel(nil)
			got := probeAll(ctx, map[string]Probe{
				"mysql": func(context.Context) error { return nil }, "redis": tc.redis,
			})
			if diff := gocmp.Diff(map[string]string{"mysql": "ok", "redis": tc.want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	a := api{Deps: Deps{Probes: map[string]Probe{"redis": func(context.Context) error { return errors.New("away") }}}}
	w, c := recorded()
	if err := a.ready(c); err != nil || w.Code != http.StatusServiceUnavailable ||
		w.Body.String() != `{"status":"away","stores":{"redis":"away"}}` {
		t.Errorf("got %v, %d %s", err, w.Code, w.Body)
	}
}

// TestErrorsPassThrough sees that what the store refuses is what the caller
// is told, whatever the handler.
func TestErrorsPassThrough(t *testing.T) {
	t.Parallel()
	for _, tc := range routeCases() {
		if strings.Contains(tc.route, "/stats") || tc.platform == 409 {
			continue // the stats of the fake know no template, the others refuse by themselves
		}
		f := newFake()
		f.refusal = models.NotFound("thing")
		method, _, _ := strings.Cut(tc.route, " ")
		w := call(serve(t, f, platform()), request{
			method: method, path: tc.path, body: tc.body, header: map[string]string{"If-Match": `"3"`},
		})
		if w.Code != 404 || cmp.Or(problemOf(t, w).Code, "none") != models.CodeNotFound {
			t.Errorf("%s: got %d %s, want 404", tc.route, w.Code, w.Body)
		}
		if len(f.announced) > 0 {
			t.Errorf("%s: a change that was refused is announced", tc.route)
		}
	}
}
