package handlers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func TestCodesOfEitherKind(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body   string
		status int
		args   map[string]any // of what was made
		fields []string       // what is wrong
	}{
		"a number": {`{"count":5000000}`, 202, map[string]any{
			"pattern": models.CodePattern{Length: 14, Charset: "0123456789ABCDEFGHJKMNPQRSTVWXYZ"},
		}, nil},
		"a pattern": {`{"count":1,"prefix":"vip-","length":12,"charset":"0123456789"}`, 202, map[string]any{
			"pattern": models.CodePattern{Prefix: "vip-", Length: 12, Charset: "0123456789"},
		}, nil},
		"a word":                {`{"code":"Summer 25","usage_limit":1000}`, 201, map[string]any{"shared": "Summer 25"}, nil},
		"nothing":               {`{}`, 422, nil, []string{"count"}},
		"none":                  {`{"count":0}`, 422, nil, []string{"count"}},
		"too many":              {`{"count":5000001}`, 422, nil, []string{"count"}},
		"a limit for many":      {`{"count":1,"usage_limit":2}`, 422, nil, []string{"usage_limit"}},
		"a bad pattern":         {`{"count":1,"prefix":"a b","length":2,"charset":"aA"}`, 422, nil, []string{"prefix", "length", "charset"}},
		"a word without limit":  {`{"code":"SUMMER"}`, 422, nil, []string{"usage_limit"}},
		"a word for none":       {`{"code":"SUMMER","usage_limit":0}`, 422, nil, []string{"usage_limit"}},
		"a bad word":            {`{"code":"50%","usage_limit":1}`, 422, nil, []string{"code"}},
		"a word and a number":   {`{"code":"SUMMER","usage_limit":1,"count":3}`, 422, nil, []string{"count"}},
		"a word and a pattern":  {`{"code":"SUMMER","usage_limit":1,"length":3}`, 422, nil, []string{"count"}},
		"a number for the word": {`{"code":5,"usage_limit":1}`, 422, nil, []string{"code"}},
		"a field too many":      {`{"count":5,"suffix":"x"}`, 422, nil, []string{"suffix"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			w := call(serve(t, f, merchant()), request{method: "POST", path: "/v1/templates/21/codes", body: tc.body})
			if w.Code != tc.status {
				t.Fatalf("got %d %s, want %d", w.Code, w.Body, tc.status)
			}
			if tc.fields != nil {
				if p := problemOf(t, w); !cmp.Equal(p.fields(), tc.fields) || f.changes > 0 {
					t.Errorf("got %v after %d changes, want %v", p, f.changes, tc.fields)
				}
			}
			for arg, want := range tc.args {
				if !cmp.Equal(f.arg(arg), want) {
					t.Errorf("%s: got %v, want %v", arg, f.arg(arg), want)
				}
			}
		})
	}
}

func TestSharedCodeIsShownOnce(t *testing.T) {
	t.Parallel()
	f := newFake()
	w := call(serve(t, f, merchant()), request{method: "POST", path: "/v1/templates/21/codes", body: `{"code":"Summer","usage_limit":9}`})
	if got := stringIn(t, w.Body.Bytes(), "code"); got != "Summer" {
		t.Errorf("got %s", w.Body)
	}
	w = call(serve(t, f, merchant()), request{method: "GET", path: "/v1/templates/21/codes"})
	if strings.Contains(w.Body.String(), `"code"`) || w.Code != http.StatusOK {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestWhatIsClaimedByCode(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		actor models.Principal
		body  string
		want  models.CodeClaim
	}{
		"a user":    {user(), `{"code":" vip-1 "}`, models.CodeClaim{Code: " vip-1 ", UserID: "u1", Tags: []string{"vip"}, Address: "192.0.2.1"}},
		"a service": {service(), `{"code":"x","user_id":"u2"}`, models.CodeClaim{Code: "x", UserID: "u2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			w := call(serve(t, f, tc.actor), request{method: "POST", path: "/v1/claims", body: tc.body})
			if w.Code != http.StatusCreated || !cmp.Equal(f.arg("ask"), any(tc.want)) {
				t.Errorf("got %d %s: asked %+v, want %+v", w.Code, w.Body, f.arg("ask"), tc.want)
			}
		})
	}
}

func TestTheOneAnswerToAWrongCode(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.refusal = models.Refuse(models.CodeInvalidCode, "this code is not valid")
	w := call(serve(t, f, user()), request{method: "POST", path: "/v1/claims", body: `{"code":"x"}`})
	if p := problemOf(t, w); w.Code != http.StatusConflict || p.Code != "code_invalid" {
		t.Errorf("got %d %+v", w.Code, p)
	}
	f.refusal = &models.Error{Code: models.CodeRateLimited, RetryAfter: 59_001 * 1e6}
	w = call(serve(t, f, user()), request{method: "POST", path: "/v1/claims", body: `{"code":"x"}`})
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "60" {
		t.Errorf("got %d, Retry-After %s", w.Code, w.Header().Get("Retry-After"))
	}
}

func TestExportOfCodes(t *testing.T) {
	t.Parallel()
	f := newFake()
	w := call(serve(t, f, merchant()), request{method: "GET", path: "/v1/templates/21/codes.csv"})
	if w.Body.String() != "code\n" || w.Code != http.StatusOK {
		t.Errorf("of none: got %d %q", w.Code, w.Body)
	}
	f.pieces = []string{"A\nB\n", "C\n"}
	w = call(serve(t, f, merchant()), request{method: "GET", path: "/v1/templates/21/codes.csv"})
	if w.Body.String() != "code\nA\nB\nC\n" {
		t.Errorf("got %q", w.Body)
	}
	for header, want := range map[string]string{
		"Content-Type": "text/csv; charset=utf-8", "Cache-Control": "no-store", "Content-Disposition": `attachment; filename="codes-21.csv"`,
	} {
		if got := w.Header().Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	f.pieces, f.refusal = nil, models.NotFound("template")
	w = call(serve(t, f, merchant()), request{method: "GET", path: "/v1/templates/21/codes.csv"})
	if p := problemOf(t, w); p.Code != models.CodeNotFound || w.Header().Get("Content-Disposition") != "" {
		t.Errorf("got %+v", p)
	}
}

// A client must not take a part of the codes for all of them.
func TestExportIsCutWhenItFails(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.pieces, f.refusal = []string{"A\n"}, errors.New("the database went away")
	server := httptest.NewServer(serve(t, f, merchant()))
	defer server.Close()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server.URL+"/v1/templates/21/codes.csv", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk_test")
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Skip("cut before the first byte came") // which is as good
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("it seemed whole: %q", body)
	}
}
