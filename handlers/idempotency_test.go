package handlers

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"scrip/models"
)

func withKey(key string) map[string]string { return map[string]string{"Idempotency-Key": key} }

func TestReplay(t *testing.T) {
	t.Parallel()
	for _, tc := range routeCases() {
		method, _, _ := strings.Cut(tc.route, " ")
		if method != http.MethodPost || strings.Contains(tc.route, "/dtm/") {
			continue // a branch of a transaction has a name, and needs no key
		}
		t.Run(tc.route, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			h := serve(t, f, platform())
			again := request{method: method, path: tc.path, body: tc.body, header: withKey("k1")}
			first, second := call(h, again), call(h, again)
			if first.Code != tc.platform || second.Code != first.Code || !bytes.Equal(first.Body.Bytes(), second.Body.Bytes()) {
				t.Errorf("first %d %s, then %d %s", first.Code, first.Body, second.Code, second.Body)
			}
			if a, b := first.Header().Get("Content-Type"), second.Header().Get("Content-Type"); a != b {
				t.Errorf("Content-Type first %s, then %s", a, b)
			}
			if first.Header().Get("Idempotency-Replayed") != "" || second.Header().Get("Idempotency-Replayed") != "true" {
				t.Error("Idempotency-Replayed must be on the replay, and only there")
			}
			if f.changes != 1 {
				t.Errorf("%d changes were made", f.changes)
			}
		})
	}
}

// What is kept of an answer with a secret in it must not show the secret; nor may
// what does not open be sent.
func TestSecretsAreKeptSealed(t *testing.T) {
	t.Parallel()
	for path, test := range map[string]struct{ body, secret string }{
		"/v1/api_keys": {`{"role":"service"}`, "sk_"},
		"/v1/webhooks": {`{"url":"https://m.example/hook","events":["coupon.claimed"]}`, "whsec_"},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			h := serve(t, f, platform())
			again := request{method: http.MethodPost, path: path, body: test.body, header: withKey("k1")}
			if first := call(h, again); first.Code != http.StatusCreated || !strings.Contains(first.Body.String(), test.secret) {
				t.Fatalf("%d %s", first.Code, first.Body)
			}
			if len(f.kept) != 1 {
				t.Fatalf("%d answers are kept", len(f.kept))
			}
			for id, kept := range f.kept {
				if bytes.Contains(kept.answer.Body, []byte(test.secret)) {
					t.Errorf("kept: %s", kept.answer.Body)
				}
				kept.answer.Body = nil // as after it has come from elsewhere
				f.kept[id] = kept
			}
			if got := problemOf(t, call(h, again)); got.Status != http.StatusInternalServerError {
				t.Errorf("of what does not open: %d", got.Status)
			}
		})
	}
}

func TestKeyScope(t *testing.T) {
	t.Parallel()
	f := newFake()
	first := request{method: "POST", path: "/v1/templates/21/stock", body: `{"add":1}`, header: withKey("k1")}
	if w := call(serve(t, f, platform()), first); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for name, tc := range map[string]struct {
		actor  models.Principal
		r      request
		status int
	}{
		"other body":       {platform(), request{path: "/v1/templates/21/stock", body: `{"add":2}`}, 422},
		"other spacing":    {platform(), request{path: "/v1/templates/21/stock", body: `{"add": 1}`}, 422},
		"other id":         {platform(), request{path: "/v1/templates/22/stock", body: `{"add":1}`}, 422},
		"other route":      {platform(), request{path: "/v1/templates/21/publish"}, 200},
		"other credential": {merchant(), request{path: "/v1/templates/21/stock", body: `{"add":1}`}, 200},
	} {
		tc.r.method, tc.r.header = "POST", withKey("k1")
		w := call(serve(t, f, tc.actor), tc.r)
		if w.Code != tc.status || w.Header().Get("Idempotency-Replayed") != "" {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
		if tc.status == 422 && problemOf(t, w).Code != models.CodeKeyReused {
			t.Errorf("%s: got %s", name, w.Body)
		}
	}
}

func TestWhatIsKept(t *testing.T) {
	t.Parallel()
	limit := models.Refuse(models.CodeAlreadyClaimed, "claimed already")
	limit.CouponIDs = []models.ID{31}
	for name, tc := range map[string]struct {
		refusal error
		status  int
		kept    bool
	}{
		"a refusal that was decided": {limit, 409, true},
		"sold out":                   {models.ErrSoldOut(), 409, true},
		"busy":                       {models.Busy("full"), 503, false},
		"not found":                  {models.NotFound("template"), 404, false},
		"unknown":                    {errors.Join(models.ErrUnknown, errors.New("eof")), 503, false},
		"a fault of ours":            {errors.New("disk full"), 500, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.refusal = tc.refusal
			h := serve(t, f, service())
			claim := request{method: "POST", path: "/v1/claims", body: `{"template_id":"21","user_id":"u1"}`, header: withKey("k")}
			first := call(h, claim)
			if p := problemOf(t, first); p.Status != tc.status {
				t.Errorf("got %v", p)
			}
			f.refusal = nil
			second := call(h, claim)
			if kept := bytes.Equal(first.Body.Bytes(), second.Body.Bytes()) && second.Code == tc.status; kept != tc.kept {
				t.Errorf("first %d %s, then %d %s", first.Code, first.Body, second.Code, second.Body)
			}
		})
	}
}

// TestWhatIsKeptOfALock is about acts that are idempotent by themselves: their
// answers are kept like those of changes, status and all.
func TestWhatIsKeptOfALock(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		path    string
		refusal error
		status  int
		kept    bool
	}{
		"a lock that was made":       {"/v1/locks", nil, 201, true},
		"a refusal that was decided": {"/v1/locks/x1/confirm", models.Refuse(models.CodeLockExpired, "late"), 409, true},
		"busy":                       {"/v1/locks", models.Busy("full"), 503, false},
		"not found":                  {"/v1/locks/x1/confirm", models.NotFound("lock"), 404, false},
		"another body":               {"/v1/locks", models.Refuse(models.CodeXIDReused, "another"), 422, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.refusal = tc.refusal
			h := serve(t, f, service())
			try := request{method: "POST", path: tc.path, header: withKey("k")}
			if tc.path == "/v1/locks" {
				try.body = namedTry("x1")
			}
			first := call(h, try)
			f.refusal, f.verdict.Made = nil, false
			second := call(h, try)
			if first.Code != tc.status || (second.Header().Get("Idempotency-Replayed") == "true") != tc.kept {
				t.Errorf("first %d %s, then %d %s", first.Code, first.Body, second.Code, second.Body)
			}
			if tc.kept && (second.Code != tc.status || !bytes.Equal(first.Body.Bytes(), second.Body.Bytes()) || f.changes != 1) {
				t.Errorf("first %d %s, then %d %s", first.Code, first.Body, second.Code, second.Body)
			}
			reused := request{method: "POST", path: tc.path, body: namedTry("x2"), header: withKey("k")}
			if w := call(h, reused); tc.status == 201 && problemOf(t, w).Code != models.CodeKeyReused {
				t.Errorf("another body with the key: %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestLockWithAKeyWhoseFirstRequestStillRuns(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.enter, f.leave = make(chan struct{}), make(chan struct{})
	h := serve(t, f, service())
	try := request{method: "POST", path: "/v1/locks", body: namedTry("x1"), header: withKey("k")}
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- call(h, try) }()
	<-f.enter
	if w := call(h, try); w.Code != 409 || problemOf(t, w).Code != models.CodeInProgress {
		t.Errorf("the second, meanwhile: %d %s", w.Code, w.Body)
	}
	f.leave <- struct{}{}
	if w := <-first; w.Code != 201 {
		t.Errorf("the first: %d %s", w.Code, w.Body)
	}
}

func TestKeyForm(t *testing.T) {
	t.Parallel()
	for key, ok := range map[string]bool{
		"a": true, strings.Repeat("a", 128): true, "!\"# ~": true,
		"": false, strings.Repeat("a", 129): false, "é": false, "a\tb": false, "a\x7fb": false,
	} {
		w := call(serve(t, newFake(), platform()), request{method: "POST", path: "/v1/rules", body: goodRule, header: withKey(key)})
		if ok && w.Code != 201 {
			t.Errorf("%q: got %d %s", key, w.Code, w.Body)
		}
		if !ok {
			if p := problemOf(t, w); p.Status != 422 || len(p.Errors) != 1 || p.Errors[0].Field != "Idempotency-Key" {
				t.Errorf("%q: got %v", key, p)
			}
		}
	}
}

func TestTwoKeysAreNone(t *testing.T) {
	t.Parallel()
	req := httptest.NewRequest(http.MethodPost, "/v1/rules", strings.NewReader(goodRule))
	req.Header = http.Header{
		"Authorization": {"Bearer sk_test"}, "Content-Type": {"application/json"}, "Idempotency-Key": {"a", "b"},
	}
	w := httptest.NewRecorder()
	serve(t, newFake(), platform()).ServeHTTP(w, req)
	if p := problemOf(t, w); p.Status != 422 {
		t.Errorf("got %v", p)
	}
}

func TestKeysAreForPostOnly(t *testing.T) {
	t.Parallel()
	f := newFake()
	w := call(serve(t, f, platform()), request{
		method: "PATCH", path: "/v1/templates/21", body: `{"name":"a"}`,
		header: map[string]string{"Idempotency-Key": "é", "If-Match": `"3"`},
	})
	op, _ := f.arg("op").(models.Op)
	if w.Code != 200 || op.Key != nil {
		t.Errorf("got %d %s with key %v", w.Code, w.Body, op.Key)
	}
}

func TestOpSaysWhoAndWhen(t *testing.T) {
	t.Parallel()
	f := newFake()
	call(serve(t, f, merchant()), request{
		method: "POST", path: "/v1/rules", body: goodRule, header: map[string]string{"X-Request-Id": "r-1"},
	})
	op, _ := f.arg("op").(models.Op)
	if op.Actor.Credential != "key:2" || op.RequestID != "r-1" || op.Key != nil || op.At.Nanosecond() != 0 {
		t.Errorf("got %+v", op)
	}
}

func TestSecondWhileTheFirstIsRunning(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.enter, f.leave = make(chan struct{}), make(chan struct{})
	h := serve(t, f, user())
	claim := request{method: "POST", path: "/v1/claims", body: `{"template_id":"21"}`, header: withKey("k")}
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- call(h, claim) }()
	<-f.enter
	if p := problemOf(t, call(h, claim)); p.Status != 409 || p.Code != models.CodeInProgress {
		t.Errorf("the second got %v", p)
	}
	f.leave <- struct{}{}
	if w := <-first; w.Code != 201 {
		t.Fatalf("the first got %d %s", w.Code, w.Body)
	}
	f.enter = nil // the first has ended
	if w := call(h, claim); w.Code != 201 || w.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("after the first: got %d %s", w.Code, w.Body)
	}
}

func TestPanicEndsTheFlight(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.template.Stock = nil // the fake's AddStock cannot bear that
	h := serve(t, f, platform())
	stock := request{method: "POST", path: "/v1/templates/21/stock", body: `{"add":1}`, header: withKey("k")}
	if p := problemOf(t, call(h, stock)); p.Code != models.CodeInternal {
		t.Fatalf("got %v", p)
	}
	f.template.Stock = ptr(int64(10))
	if w := call(h, stock); w.Code != 200 {
		t.Errorf("the key is still held: %d %s", w.Code, w.Body)
	}
}

func TestRenderTakesPointersAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	render := renderer(always[models.Coupon](http.StatusCreated), viewCoupon, "r-1")
	coupon := newFake().coupon
	byValue, _ := render(coupon, nil)
	byPointer, keep := render(&coupon, nil)
	if !keep || byValue.Status != 201 || !bytes.Equal(byValue.Body, byPointer.Body) {
		t.Errorf("by value %s, by pointer %s", byValue.Body, byPointer.Body)
	}
	for _, wrong := range []any{nil, "coupon", newFake().rule} {
		if made, keep := render(wrong, nil); keep || made.Status != 500 {
			t.Errorf("%T: rendered as %d %s, keep %v", wrong, made.Status, made.Body, keep)
		}
	}
}

func TestDigestKnowsWherePartsEnd(t *testing.T) {
	t.Parallel()
	if digest([]byte("ab"), []byte("c")) == digest([]byte("a"), []byte("bc")) {
		t.Error("two lists of parts have one digest")
	}
}
