package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/client"
)

// script is a transport that answers the n-th request with its n-th step, the
// last one for ever, and keeps what it was asked and when.
type script struct {
	steps []step
	seen  []seen
}

// step is an answer; without a status none comes. A torn one breaks off.
type step struct {
	status int
	body   string
	retry  string // Retry-After
	torn   bool
}

type seen struct {
	Method, Target, Key, Body string
	Match                     string // If-Match
	After                     time.Duration
	at                        time.Time
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	request := seen{Method: r.Method, Target: r.URL.RequestURI(), Key: r.Header.Get("Idempotency-Key"), Match: r.Header.Get("If-Match"), at: time.Now()}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		request.Body = string(body)
	}
	if n := len(s.seen); n > 0 {
		request.After = request.at.Sub(s.seen[n-1].at)
	}
	s.seen = append(s.seen, request)
	return s.steps[min(len(s.seen), len(s.steps))-1].play()
}

// sent shows each request as its method, target, key or version, and body.
func (s *script) sent() []string {
	var lines []string
	for _, r := range s.seen {
		lines = append(lines, r.Method+" "+r.Target+" "+r.Key+r.Match+" "+r.Body)
	}
	return lines
}

func (s step) play() (*http.Response, error) {
	if s.status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	var body io.Reader = strings.NewReader(s.body)
	if s.torn {
		body = io.MultiReader(body, brokenReader{})
	}
	header := http.Header{"Retry-After": {s.retry}}
	return &http.Response{StatusCode: s.status, Header: header, Body: io.NopCloser(body)}, nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func answer(status int, body string) step { return step{status: status, body: body} }

func newClient(t *testing.T, s *script, options ...client.Option) *client.Client {
	t.Helper()
	options = append([]client.Option{client.WithHTTPClient(&http.Client{Transport: s})}, options...)
	c, err := client.New("http://scrip.test", "sk_test", options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRepeatsWithTheSameKey(t *testing.T) {
	t.Parallel()
	lost, torn := step{}, step{status: http.StatusCreated, body: `{"id":"1`, torn: true}
	const made = `{"id":"7","user_id":"ann"}`
	tests := map[string][]step{
		"connection lost":    {lost, answer(201, made)},
		"answer torn":        {torn, answer(201, made)},
		"busy":               {answer(503, `{"code":"busy"}`), answer(201, made)},
		"outcome unknown":    {answer(503, `{"code":"outcome_unknown"}`), answer(201, made)},
		"too many":           {answer(429, `{"code":"rate_limited"}`), answer(201, made)},
		"still under way":    {answer(409, `{"code":"in_progress"}`), answer(201, made)},
		"a proxy's bad day":  {answer(502, `<html>`), answer(504, ``), answer(201, made)},
		"all of it together": {lost, answer(503, `{"code":"busy"}`), lost, torn, answer(201, made)},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: steps}
				coupon, err := newClient(t, s).Claim(t.Context(), client.Claim{TemplateID: "3", UserID: "ann"})
				if err != nil {
					t.Fatal(err)
				}
				if coupon.ID != "7" || coupon.UserID != "ann" {
					t.Errorf("got %+v", coupon)
				}
				if len(s.seen) != len(steps) {
					t.Errorf("%d requests, want %d", len(s.seen), len(steps))
				}
				for _, request := range s.seen {
					if request.Key == "" || request.Key != s.seen[0].Key || request.Body != s.seen[0].Body {
						t.Errorf("%+v differs from the first, %+v", request, s.seen[0])
					}
				}
			})
		})
	}
}

func TestEachCallHasAKeyOfItsOwnUnlessGiven(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{answer(201, `{}`)}}
	c := newClient(t, s)
	for _, options := range [][]client.CallOption{nil, nil, {client.WithIdempotencyKey("mine")}} {
		if _, err := c.Claim(t.Context(), client.Claim{TemplateID: "3"}, options...); err != nil {
			t.Fatal(err)
		}
	}
	if s.seen[0].Key == s.seen[1].Key || s.seen[2].Key != "mine" {
		t.Errorf("keys %q, %q, %q", s.seen[0].Key, s.seen[1].Key, s.seen[2].Key)
	}
}

func TestDoesNotRepeatARefusal(t *testing.T) {
	t.Parallel()
	body := `{"type":"about:blank","title":"Conflict","status":409,"code":"already_claimed","detail":"claimed already",
		"request_id":"r1","coupon_ids":["12","13"],"errors":[{"field":"user_id","code":"invalid","detail":"no"}]}`
	s := &script{steps: []step{{status: 409, body: body, retry: "9"}}}
	_, err := newClient(t, s).Claim(t.Context(), client.Claim{TemplateID: "3"}, client.WithIdempotencyKey("k"))
	want := &client.Error{
		Status: 409, Code: "already_claimed", Detail: "claimed already", RequestID: "r1",
		Fields:    []client.FieldError{{Field: "user_id", Code: "invalid", Detail: "no"}},
		CouponIDs: []string{"12", "13"}, RetryAfter: 9 * time.Second, IdempotencyKey: "k",
	}
	var got *client.Error
	if !errors.As(err, &got) {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !client.IsCode(err, client.CodeAlreadyClaimed) || client.IsCode(err, client.CodeSoldOut) {
		t.Error("IsCode does not see the code")
	}
	if len(s.seen) != 1 {
		t.Errorf("%d requests, want 1", len(s.seen))
	}
}

func TestWaitsAsLongAsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []step{
			{status: 503, body: `{"code":"busy"}`, retry: "3"}, answer(200, `{"id":"3"}`),
		}}
		if _, err := newClient(t, s).Template(t.Context(), "3"); err != nil {
			t.Fatal(err)
		}
		if after := s.seen[1].After; after < 3*time.Second || after > 4500*time.Millisecond {
			t.Errorf("asked again after %v, want 3 s and at most half as much again", after)
		}
	})
}

func TestBacksOffFurtherAndFurther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []step{{}}}
		began := time.Now()
		_, err := newClient(t, s, client.WithPatience(time.Minute)).Template(t.Context(), "3")
		var unanswered *client.UnansweredError
		if !errors.As(err, &unanswered) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("tried for %v, longer than its patience", took)
		}
		for i, request := range s.seen[1:] {
			least := min(50*time.Millisecond<<i, 5*time.Second)
			if request.After < least || request.After > least*3/2 {
				t.Errorf("pause %d was %v, want %v and at most half as much again", i+1, request.After, least)
			}
		}
		if len(s.seen) < 12 {
			t.Errorf("gave up after %d tries", len(s.seen))
		}
	})
}

func TestTheContextBoundsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []step{{status: 503, body: `{"code":"busy"}`, retry: "5"}}}
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		began := time.Now()
		_, err := newClient(t, s).Template(ctx, "3")
		if !client.IsCode(err, client.CodeBusy) {
			t.Errorf("got %v, want what the server said last", err)
		}
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestACancelledCallSaysSo(t *testing.T) {
	t.Parallel()
	cause := errors.New("the shop closes")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	_, err := newClient(t, &script{steps: []step{{}}}).Claim(ctx, client.Claim{TemplateID: "3"})
	var unanswered *client.UnansweredError
	if !errors.Is(err, cause) || !errors.As(err, &unanswered) || unanswered.IdempotencyKey == "" {
		t.Errorf("got %v", err)
	}
}

func TestDeletingTwiceBecauseTheAnswerWasLost(t *testing.T) {
	t.Parallel()
	gone := answer(404, `{"code":"not_found"}`)
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []step{{}, gone}}
		if err := newClient(t, s).DeleteAPIKey(t.Context(), "1"); err != nil {
			t.Errorf("repeated after a lost answer: %v", err)
		}
		s = &script{steps: []step{gone}}
		if err := newClient(t, s).DeleteAPIKey(t.Context(), "1"); !client.IsCode(err, client.CodeNotFound) {
			t.Errorf("of an unknown key at once: %v", err)
		}
	})
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{answer(200, `{}`)}}
	c := newClient(t, s)
	ctx, key := t.Context(), client.WithIdempotencyKey("k")
	page := client.PageOptions{Limit: 200, Cursor: "a+b"}
	stock := int64(5)
	calls := []func() error{
		func() error {
			_, err := c.CreateRule(ctx, client.NewRule{
				Name: "5 off", Kind: "amount_off", Effect: client.Effect{AmountOff: 500, Currency: "USD"},
			}, key)
			return err
		},
		func() error {
			_, err := c.CreateTemplate(ctx, client.NewTemplate{
				Name: "t", RuleID: "1", Currency: "USD", Stock: &stock, Validity: client.Validity{DaysAfterClaim: new(0)},
			}, key)
			return err
		},
		func() error { _, err := c.PublishTemplate(ctx, "2/3", key); return err },
		func() error { _, err := c.TemplateStats(ctx, "2"); return err },
		func() error { _, err := c.TemplateCoupons(ctx, "2", page); return err },
		func() error { _, err := c.Claim(ctx, client.Claim{TemplateID: "2", UserID: "ann"}, key); return err },
		func() error { _, err := c.Coupon(ctx, "9"); return err },
		func() error {
			_, err := c.Coupons(ctx, client.CouponFilter{UserID: "a&b", Status: "used"}, client.PageOptions{})
			return err
		},
		func() error { _, err := c.CreateAPIKey(ctx, client.NewAPIKey{Role: "service"}, key); return err },
		func() error { _, err := c.APIKeys(ctx, client.PageOptions{}); return err },
		func() error { return c.DeleteAPIKey(ctx, "4") },
	}
	for i, call := range calls {
		if err := call(); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	want := []string{
		`POST /v1/rules k {"name":"5 off","kind":"amount_off","effect":{"amount_off":500,"currency":"USD"}}`,
		`POST /v1/templates k {"name":"t","rule_id":"1","currency":"USD","stock":5,"validity":{"days_after_claim":0}}`,
		`POST /v1/templates/2%2F3/publish k `,
		`GET /v1/templates/2/stats  `,
		`GET /v1/templates/2/coupons?cursor=a%2Bb&limit=200  `,
		`POST /v1/claims k {"template_id":"2","user_id":"ann"}`,
		`GET /v1/coupons/9  `,
		`GET /v1/coupons?status=used&user_id=a%26b  `,
		`POST /v1/api_keys k {"role":"service"}`,
		`GET /v1/api_keys  `,
		`DELETE /v1/api_keys/4  `,
	}
	var got []string
	for _, request := range s.seen {
		got = append(got, request.Method+" "+request.Target+" "+request.Key+" "+request.Body)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAllWalksEveryPage(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{
		answer(200, `{"data":[{"id":"3"},{"id":"2"}],"next_cursor":"n"}`),
		answer(200, `{"data":[{"id":"1"}],"next_cursor":null}`),
		answer(404, `{"code":"not_found"}`),
	}}
	c := newClient(t, s)
	pages := func(p client.PageOptions) (client.Page[client.Coupon], error) {
		return c.TemplateCoupons(t.Context(), "2", p)
	}
	var ids []string
	for coupon, err := range client.All(pages, 2) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, coupon.ID)
	}
	if diff := cmp.Diff([]string{"3", "2", "1"}, ids); diff != "" {
		t.Error(diff)
	}
	var last error
	for _, err := range client.All(pages, 2) {
		last = err
	}
	if !client.IsCode(last, client.CodeNotFound) {
		t.Errorf("got %v, want the error of the page", last)
	}
}

func TestNewRefusesWhatIsNoBaseURL(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "localhost:8080", "ftp://h", "http://", "http://h?x=1", "http://h#f", "http://%zz"} {
		if _, err := client.New(bad, "k"); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-1": 0, "1.5": 0, "99999999999999999999": 0, "soon": 0,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second,
		"Sun, 01 Mar 2026 11:00:00 GMT": 0,
	}
	for value, want := range tests {
		if got := client.RetryAfter(value, now); got != want {
			t.Errorf("RetryAfter(%q) = %v, want %v", value, got, want)
		}
	}
}
