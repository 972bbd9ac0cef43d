package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"scrip/enginetest"
)

// hook is a merchant's server that is told of events.
type hook struct {
	url string

	mu     sync.Mutex
	got    []hookCall
	answer func(http.ResponseWriter, *http.Request) // nil: 204
}

type hookCall struct {
	id, timestamp, signature, body string
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.mu.Lock()
		h.got = append(h.got, hookCall{
			r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), r.Header.Get("Webhook-Signature"), string(body),
		})
		answer := h.answer
		h.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func (h *hook) calls() []hookCall {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]hookCall(nil), h.got...)
}

func (h *hook) answers(answer func(http.ResponseWriter, *http.Request)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

// signed reports whether a call bears the signature of the secret.
func (c hookCall) signed(secret string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, c.id+"."+c.timestamp+"."+c.body)
	return c.signature == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// private lets the servers' webhooks reach this test.
const private = "SCRIP_WEBHOOKS_ALLOW_PRIVATE=true"

// subscribe makes a webhook, and waits until every server knows of it.
func (s *site) subscribe(t *testing.T, as, url string, events ...string) (id, secret string) {
	t.Helper()
	made := s.want(t, http.StatusCreated, "", post("/webhooks", as, object{"url": url, "events": events}))
	select {
	case <-time.After(2 * time.Second):
	case <-t.Context().Done():
	}
	return made.field("id"), made.field("secret")
}

func TestAMerchantHearsWhatHappens(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		last := len(s.servers) - 1
		merchant := s.want(t, http.StatusCreated, "", post("/api_keys", platformKey,
			object{"role": "merchant", "merchant_id": "shop"})).field("key")
		h, foreign := newHook(t), newHook(t)
		_, secret := s.subscribe(t, merchant, h.url,
			"coupon.claimed", "coupon.used", "coupon.refunded", "template.sold_out", "budget.alert")
		other := s.want(t, http.StatusCreated, "", post("/api_keys", platformKey,
			object{"role": "merchant", "merchant_id": "other"})).field("key")
		s.subscribe(t, other, foreign.url, "coupon.claimed", "budget.alert")

		budget := s.want(t, http.StatusCreated, "", post("/budgets", merchant,
			object{"name": "small", "kind": "amount", "currency": "USD", "total": 500, "alert_at_bp": []int{10000}})).field("id")
		template := s.sale(t, merchant, object{"stock": 1, "budget_ids": []string{budget}})
		coupon := s.want(t, http.StatusCreated, "", post("/claims", merchant, claim(template, "ann")).on(last)).field("id")
		s.want(t, http.StatusCreated, "", post("/locks", platformKey, object{
			"xid": "order-1", "order_id": "o-1", "coupon_ids": []string{coupon},
			"cart": object{"user_id": "ann", "currency": "USD", "merchant_id": "shop", "lines": []object{
				{"line_id": "1", "sku": "a", "quantity": 4, "unit_price": 1000},
			}},
		}))
		s.want(t, http.StatusOK, "", post("/locks/order-1/confirm", platformKey, nil).on(last))
		s.want(t, http.StatusOK, "", post("/locks/order-1/refund", platformKey,
			object{"refund_id": "r-1", "lines": []object{{"line_id": "1", "quantity": 4}}}))

		enginetest.Eventually(t, "five events arrive", func() bool { return len(h.calls()) >= 5 })
		want := map[string]string{
			"coupon.claimed":    `"user_id":"ann"`,
			"coupon.used":       `"discount":500,"shipping_discount":0`,
			"coupon.refunded":   `"discount":500,"returned":true`,
			"template.sold_out": `"template_id":"` + template + `"`,
			"budget.alert":      `"alert_at_bp":10000,"total":500,"used":0,"held":500`,
		}
		for _, call := range h.calls() {
			var event struct{ Type string }
			if err := json.Unmarshal([]byte(call.body), &event); err != nil || !call.signed(secret) {
				t.Errorf("%v, signed %v: %+v", err, call.signed(secret), call)
			}
			s.checker.Webhook(t, event.Type, []byte(call.body))
			if !strings.Contains(call.body, want[event.Type]) || !strings.Contains(call.body, `"merchant_id":"shop"`) {
				t.Errorf("got %s, want %s in it", call.body, want[event.Type])
			}
			delete(want, event.Type)
		}
		if len(want) > 0 || len(foreign.calls()) > 0 {
			t.Errorf("not told of %v; another merchant was told %v", want, foreign.calls())
		}
		s.consistent(t)
	}, private)
}

func TestAFailingServerIsToldAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		failing, gone := newHook(t), newHook(t)
		var mu sync.Mutex
		left := 2
		failing.answers(func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if left--; left >= 0 {
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		gone.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
		_, secret := s.subscribe(t, platformKey, failing.url, "coupon.claimed")
		id, _ := s.subscribe(t, platformKey, gone.url, "coupon.claimed")
		template := s.sale(t, platformKey, nil)
		s.want(t, http.StatusCreated, "", post("/claims", platformKey, claim(template, "ann")))

		enginetest.Eventually(t, "it is told for the third time", func() bool { return len(failing.calls()) >= 3 })
		calls := failing.calls()
		for _, call := range calls {
			if call.id != calls[0].id || call.body != calls[0].body || !call.signed(secret) {
				t.Errorf("got %+v after %+v", call, calls[0])
			}
		}
		enginetest.Eventually(t, "a server that is gone is told no more", func() bool {
			list := s.want(t, http.StatusOK, "", get("/webhooks", platformKey)).text
			return strings.Contains(list, `"id":"`+id+`"`) && strings.Contains(list, `"state":"disabled"`)
		})
		s.want(t, http.StatusCreated, "", post("/claims", platformKey, claim(template, "bob")))
		enginetest.Eventually(t, "the other is told on", func() bool { return len(failing.calls()) >= 4 })
		if n := len(gone.calls()); n != 1 {
			t.Errorf("told %d times", n)
		}
		s.consistent(t)
	}, private, "SCRIP_DELIVERIES_RETRY_AFTER=50ms")
}

// TestWhoDiesBeforeMarkingTellsAgain kills the servers while a receiver has the
// event and has not answered yet.
func TestWhoDiesBeforeMarkingTellsAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		h := newHook(t)
		h.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		s.subscribe(t, platformKey, h.url, "template.sold_out")
		template := s.sale(t, platformKey, object{"stock": 1})
		s.want(t, http.StatusCreated, "", post("/claims", platformKey, claim(template, "ann")))
		enginetest.Eventually(t, "it is told", func() bool { return len(h.calls()) == 1 })
		for _, server := range s.servers {
			server.Kill()
		}
		h.answers(nil)
		for _, server := range s.servers {
			server.Restart()
		}
		enginetest.Eventually(t, "it is told again", func() bool { return len(h.calls()) == 2 })
		if calls := h.calls(); calls[0].id != calls[1].id || calls[0].body != calls[1].body {
			t.Errorf("told otherwise: %+v", calls)
		}
		s.consistent(t)
	}, private, "SCRIP_DELIVERIES_TIMEOUT=2s")
}

func TestWebhooksStayOutside(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	for _, url := range []string{
		"https://127.0.0.1/x", "https://10.0.0.7/", "https://[::1]/", "http://shop.example/", "ftp://shop.example/", "https://u:p@shop.example/", "",
	} {
		got := s.want(t, http.StatusUnprocessableEntity, "", post("/webhooks", platformKey, object{"url": url, "events": []string{"coupon.used"}}))
		if !strings.Contains(got.text, `"field":"url"`) {
			t.Errorf("%s: %s", url, got.text)
		}
	}
	s.want(t, http.StatusUnprocessableEntity, "", post("/webhooks", platformKey,
		object{"url": "https://shop.example", "events": []string{"coupon.lost"}}))
	// A name may stand for an address inside: nothing is sent there, and nothing told.
	h := newHook(t)
	s.subscribe(t, platformKey, "https://localhost"+h.url[strings.LastIndex(h.url, ":"):], "coupon.claimed")
	s.want(t, http.StatusCreated, "", post("/claims", platformKey, claim(s.sale(t, platformKey, nil), "ann")))
	enginetest.Eventually(t, "a try is counted", func() bool {
		return strings.Contains(s.metrics(t), `scrip_deliveries_total{channel="webhook",result="retried"}`)
	})
	if len(h.calls()) > 0 {
		t.Errorf("it was reached: %v", h.calls())
	}
}

// TestWebhooksAreSignedUnderEveryKey changes the key under which secrets are kept,
// from start to start, and looks for the secret in all that a start leaves.
func TestWebhooksAreSignedUnderEveryKey(t *testing.T) {
	t.Parallel()
	const first, second = "the first key, of 32 characters or more", "the second key, of 32 characters or more"
	h, folder := newHook(t), t.TempDir()
	var secret, template string
	for start, env := range [][]string{nil, {"SCRIP_CODES_KEY=" + first}, {"SCRIP_CODES_KEY=" + second, "SCRIP_CODES_OLD_KEY=" + first}} {
		s := newSite(t, 1, append(env, private, "SCRIP_DATA_DIR="+folder)...)
		if start == 0 {
			_, secret = s.subscribe(t, platformKey, h.url, "coupon.claimed")
			template = s.sale(t, platformKey, nil)
		}
		s.want(t, http.StatusCreated, "", post("/claims", platformKey, claim(template, "user-"+strconv.Itoa(start))))
		enginetest.Eventually(t, "it is told", func() bool { return len(h.calls()) == start+1 })
		if last := h.calls()[start]; !last.signed(secret) {
			t.Errorf("start %d: not signed by its secret: %+v", start, last)
		}
		s.consistent(t)
		if code := s.servers[0].Term(); code != 0 {
			t.Errorf("start %d ended with %d", start, code)
		}
		notIn(t, folder, secret)
	}
}

// notIn fails the test if a webhook's secret lies in a file of the folder.
func notIn(t *testing.T, folder, secret string) {
	t.Helper()
	encoded := strings.TrimPrefix(secret, "whsec_")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		all, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(all, raw) || bytes.Contains(all, []byte(encoded)) {
			t.Errorf("the secret is in %s", file)
		}
	}
}
