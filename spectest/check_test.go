package spectest

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exchange is a request and its answer, as a test would see them.
type exchange struct {
	method, path, body string
	status             int
	header             map[string]string
	answer             string
}

const coupon = `{"id":"7","code":"YVZY74X64MNPX","template_id":"6","rule_version":1,"user_id":"u-1","status":"available",` +
	`"issue_no":1,"valid_from":"2026-11-27T09:00:00.000Z","expires_at":"2026-12-31T15:00:00.000Z",` +
	`"claimed_at":"2026-11-27T09:00:00.421Z"}`

const soldOut = `{"type":"about:blank","title":"Conflict","status":409,"code":"sold_out","detail":"every coupon is claimed",` +
	`"request_id":"r-1"}`

// granted is a claim that is answered as the document has it; each test then
// changes one thing.
func granted() *exchange {
	return &exchange{
		method: "POST", path: "/v1/claims", body: `{"template_id":"6"}`,
		status: 201, header: map[string]string{"Content-Type": "application/json", "X-Request-Id": "r-1"}, answer: coupon,
	}
}

func refused() *exchange {
	x := granted()
	x.status, x.answer = 409, soldOut
	x.header["Content-Type"] = "application/problem+json"
	return x
}

func (x *exchange) request(t *testing.T) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), x.method, "http://scrip.test"+x.path, strings.NewReader(x.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return req
}

func (x *exchange) response(req *http.Request) *http.Response {
	resp := &http.Response{
		StatusCode: x.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(x.answer)), Request: req,
	}
	for name, value := range x.header {
		resp.Header.Set(name, value)
	}
	return resp
}

func TestCheck(t *testing.T) {
	t.Parallel()
	checker := Load(t, document)
	for name, tt := range map[string]struct {
		of     *exchange
		change func(*exchange)
		want   string // in the error; empty: no error
	}{
		"granted":        {granted(), func(*exchange) {}, ""},
		"replayed":       {granted(), func(x *exchange) { x.header["Idempotency-Replayed"] = "true" }, ""},
		"refused":        {refused(), func(*exchange) {}, ""},
		"with a charset": {granted(), func(x *exchange) { x.header["Content-Type"] += "; charset=utf-8" }, ""},

		"undocumented status":     {granted(), func(x *exchange) { x.status = 418 }, "status 418 is not documented"},
		"undocumented redirect":   {granted(), func(x *exchange) { x.status = 301 }, "status 301 is not documented"},
		"undocumented media type": {granted(), func(x *exchange) { x.header["Content-Type"] = "text/html" }, "media type"},
		"undocumented header":     {granted(), func(x *exchange) { x.header["ETag"] = `"1"` }, "header ETag is not documented"},
		"undocumented field":      {granted(), swap(`"issue_no":1`, `"issue_no":1,"gate_id":"9"`), "gate_id"},
		"field of the wrong type": {granted(), swap(`"issue_no":1`, `"issue_no":"1"`), "issue_no"},
		"field out of bounds":     {granted(), swap(`"issue_no":1`, `"issue_no":0`), "issue_no"},
		"field missing":           {granted(), swap(`"issue_no":1,`, ``), "issue_no"},
		"unknown state":           {granted(), swap(`available`, `fresh`), "status"},
		"time without millis":     {granted(), swap(`09:00:00.421Z`, `09:00:00Z`), "claimed_at"},
		"not JSON":                {granted(), func(x *exchange) { x.answer = "ok" }, "failed to decode"},
		"header missing":          {granted(), func(x *exchange) { delete(x.header, "X-Request-Id") }, "X-Request-Id"},
		"code of another status":  {refused(), swap(`sold_out`, `version_mismatch`), "code"},
		"code without its ids":    {refused(), swap(`sold_out`, `already_claimed`), "coupon_ids"},

		"wrong request granted": {granted(), func(x *exchange) { x.body = `{"template_id":6}` }, "the server took a request"},
		"wrong request weighed": {refused(), func(x *exchange) { x.body = `{}` }, "the server took a request"},
		"null is absent":        {granted(), func(x *exchange) { x.body = `{"template_id":"6","user_id":null}` }, ""},
		"wrong request refused": {refused(), asProblem(422, "unknown_field", `{"claim_id":"6"}`), ""},
		"no content":            {granted(), func(x *exchange) { x.toDelete("") }, ""},
		"content after all":     {granted(), func(x *exchange) { x.toDelete("{}") }, "a body is not documented"},
		"wrong parameter":       {granted(), func(x *exchange) { x.toList("?limit=201") }, "limit"},
		"right parameter":       {granted(), func(x *exchange) { x.toList("?limit=200&user_id=u-1") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.change(tt.of)
			tt.of.check(t, checker, tt.want)
		})
	}
}

// check wants the checker to object to the exchange as told, and to leave the
// answer as it was.
func (x *exchange) check(t *testing.T, checker *Checker, want string) {
	t.Helper()
	req := x.request(t)
	resp := x.response(req)
	defer func() { _ = resp.Body.Close() }()
	expect(t, checker.Check(req, resp), want)
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != x.answer {
		t.Errorf("the body afterwards: %q, %v", body, err)
	}
}

func expect(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error %v, want none", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("error %v, want one about %q", err, want)
	}
}

func swap(from, to string) func(*exchange) {
	return func(x *exchange) { x.answer = strings.Replace(x.answer, from, to, 1) }
}

func asProblem(status int, code, body string) func(*exchange) {
	return func(x *exchange) {
		x.status, x.body = status, body
		x.answer = strings.NewReplacer("409", strconv.Itoa(status), "sold_out", code).Replace(x.answer)
	}
}

func (x *exchange) toDelete(answer string) {
	x.method, x.path, x.body, x.status, x.answer = "DELETE", "/v1/api_keys/7", "", 204, answer
	delete(x.header, "Content-Type")
}

func (x *exchange) toList(query string) {
	x.method, x.path, x.body, x.status = "GET", "/v1/coupons"+query, "", 200
	x.answer = `{"data":[` + coupon + `],"next_cursor":null}`
}

// What is not in the document may not be served either.
func TestCheckUnrouted(t *testing.T) {
	t.Parallel()
	checker := Load(t, document)
	for name, tt := range map[string]struct {
		method, path string
		status       int
		code, want   string
	}{
		"unknown path":            {"GET", "/v1/unicorns", 404, "no_route", ""},
		"unknown path answered":   {"GET", "/v1/unicorns", 409, "sold_out", "must be 404 no_route"},
		"unknown path, one more":  {"GET", "/v1/rules/7/x/y", 404, "no_route", ""},
		"unknown method":          {"PUT", "/v1/claims", 405, "method_not_allowed", ""},
		"unknown method answered": {"PUT", "/v1/claims", 404, "no_route", "must be 405 method_not_allowed"},
		"the other path's method": {"PATCH", "/v1/templates/claimable", 404, "not_found", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := refused()
			asProblem(tt.status, tt.code, "")(x)
			x.method, x.path = tt.method, tt.path
			x.check(t, checker, tt.want)
		})
	}
}

// recorder is a test that only notes how it fails.
type recorder struct {
	testing.TB
	faults []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, _ ...any) { r.faults = append(r.faults, format) }

type roundTrip func(*http.Request) (*http.Response, error)

func (rt roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return rt(req) }

func TestRoundTripper(t *testing.T) {
	t.Parallel()
	checker := Load(t, document)
	for name, tt := range map[string]struct {
		answer string
		faults int
	}{
		"right": {coupon, 0},
		"wrong": {"{}", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := granted()
			x.answer = tt.answer
			var sent string
			next := roundTrip(func(req *http.Request) (*http.Response, error) {
				body, err := io.ReadAll(req.Body)
				sent = string(body)
				return x.response(req), err
			})
			test := &recorder{TB: t}
			req := x.request(t)
			req.GetBody = nil // as of a request that was made by hand
			resp, err := checker.RoundTripper(test, next).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if body, err := io.ReadAll(resp.Body); err != nil || string(body) != tt.answer {
				t.Errorf("the caller got %q, %v", body, err)
			}
			if sent != x.body || len(test.faults) != tt.faults {
				t.Errorf("the server got %q, and the test failed with %q", sent, test.faults)
			}
		})
	}
}

func TestRoundTripperPassesErrors(t *testing.T) {
	t.Parallel()
	cut := errors.New("connection cut")
	next := roundTrip(func(*http.Request) (*http.Response, error) { return nil, cut })
	test := &recorder{TB: t}
	resp, err := Load(t, document).RoundTripper(test, next).RoundTrip(granted().request(t))
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, cut) || len(test.faults) != 0 {
		t.Errorf("error %v, faults %q", err, test.faults)
	}
}

func TestCompareRoutes(t *testing.T) {
	t.Parallel()
	checker := Load(t, document)
	var routes []string
	for operation := range operations(checker.doc) {
		route := strings.NewReplacer("{file}", "*file", "{id}", ":id").Replace(operation)
		routes = append(routes, route)
	}
	checker.CompareRoutes(t, routes)
	checker.CompareRoutes(t, append(routes, "GET /debug"), "GET /debug")

	for name, tt := range map[string]struct {
		routes, ignored, want []string
	}{
		"not documented": {
			append(routes[:len(routes):len(routes)], "GET /debug/:id"), nil,
			[]string{"the server routes GET /debug/{id}, but the document does not have it"},
		},
		"not routed": {
			without(routes, "POST /v1/claims"), nil,
			[]string{"the document has POST /v1/claims, but the server does not route it"},
		},
		"another parameter": {
			append(without(routes, "GET /v1/rules/:id"), "GET /v1/rules/:rule"), nil,
			[]string{
				"the document has GET /v1/rules/{id}, but the server does not route it",
				"the server routes GET /v1/rules/{rule}, but the document does not have it",
			},
		},
		"ignored in vain": {
			routes,
			[]string{"GET /debug", "POST /v1/claims"},
			[]string{
				"GET /debug is to be ignored, but the server does not route it",
				"POST /v1/claims is to be ignored, but the document has it",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, checker.compare(tt.routes, tt.ignored)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func without(routes []string, route string) (rest []string) {
	for _, r := range routes {
		if r != route {
			rest = append(rest, r)
		}
	}
	return rest
}

// What is not a document of OpenAPI 3.1, or has an example that is wrong by it,
// is not loaded.
func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ file, want string }{
		"no file":       {"testdata/none.yaml", "none.yaml"},
		"OpenAPI 3.0":   {"testdata/version.yaml", "3.1 is needed"},
		"wrong example": {"testdata/example.yaml", "minimum: got 0"},
		"no responses":  {"testdata/responses.yaml", "responses"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(tt.file)
			expect(t, err, tt.want)
		})
	}
}
