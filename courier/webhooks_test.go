package courier

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"scrip/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timeout bounds a try in these tests. Only those that are about it wait so long.
const timeout = 20 * time.Second

func newDelivery(url string) *models.Delivery {
	return &models.Delivery{
		ID: 71, Channel: models.ChannelWebhook, Attempts: 1, CreatedAt: time.UnixMilli(1_000),
		Webhook: &models.Webhook{ID: 5, URL: url, Secret: models.WebhookSecret("0123456789abcdef0123456789abcdef")},
		Event: &models.Event{
			ID: 61, Type: models.EventTemplateSoldOut, MerchantID: "m1", Data: json.RawMessage(`{"stock":2}`), At: time.UnixMilli(1_234),
		},
	}
}

func newSender(t *testing.T, limit time.Duration, private bool) *Webhooks {
	t.Helper()
	w := NewWebhooks(limit, private, time.Now)
	t.Cleanup(w.Close)
	return w
}

// receiver is a merchant's server.
func receiver(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return server.URL
}

// TestSignatureIsThatOfStandardWebhooks is the example that its libraries are
// tested with.
func TestSignatureIsThatOfStandardWebhooks(t *testing.T) {
	t.Parallel()
	secret, err := models.ParseWebhookSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAWebhookIsSentSigned(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	url := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		got = r.Clone(r.Context())
		body, _ = io.ReadAll(r.Body)
	})
	d := newDelivery(url + "/hook?token=7")
	if a := newSender(t, timeout, true).Send(t.Context(), d); a.Result != models.ResultSent {
		t.Fatalf("got %+v", a)
	}
	want := `{"id":"61","type":"template.sold_out","timestamp":"1970-01-01T00:00:01.234Z","merchant_id":"m1","data":{"stock":2}}`
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Error(diff)
	}
	if got.Method != http.MethodPost || got.URL.String() != "/hook?token=7" || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %s %s %v", got.Method, got.URL, got.Header)
	}
	seconds, err := time.ParseDuration(got.Header.Get("Webhook-Timestamp") + "s")
	at := time.Unix(int64(seconds/time.Second), 0)
	if err != nil || time.Since(at) > time.Minute || got.Header.Get("Webhook-Id") != "71" ||
		got.Header.Get("Webhook-Signature") != sign(d.Webhook.Secret, "71", at, body) {
		t.Errorf("got %v", got.Header)
	}
}

func TestWhatAnAnswerMeans(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]models.Attempt{
		200: {Result: models.ResultSent},
		204: {Result: models.ResultSent},
		302: {Result: models.ResultRetry, Detail: "HTTP 302"},
		404: {Result: models.ResultRetry, Detail: "HTTP 404"},
		410: {Result: models.ResultGone, Detail: "HTTP 410"},
		429: {Result: models.ResultRetry, Detail: "HTTP 429", After: 7 * time.Second},
		500: {Result: models.ResultRetry, Detail: "HTTP 500"},
	} {
		var calls atomic.Int64
		url := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			if status == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "7")
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, strings.Repeat("secret ", 10))
		})
		got := newSender(t, timeout, true).Send(t.Context(), newDelivery(url))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d: %s", status, diff)
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("%d: it was asked %d times", status, n)
		}
	}
}

func TestPrivateAddressesAreNotDialled(t *testing.T) {
	t.Parallel()
	url := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("it was asked") })
	_, port, err := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	guarded := newSender(t, timeout, false)
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "10.0.0.1", "2130706433"} {
		got := guarded.Send(t.Context(), newDelivery("http://"+host+":"+port+"/"))
		if got.Result != models.ResultRetry || got.Detail != "the address is not on the public internet" && got.Detail != "the host has no address" {
			t.Errorf("%s: got %+v", host, got)
		}
	}
	if got := guarded.Send(t.Context(), newDelivery(url)); got.Detail != "the address is not on the public internet" {
		t.Errorf("got %+v", got)
	}
	for host, public := range map[string]bool{"127.0.0.1": false, "::1": false, "10.1.2.3": false, "8.8.8.8": true, "shop.example": true} {
		if PublicHost(host) != public {
			t.Errorf("%s: public is not %v", host, public)
		}
	}
}

// TestASlowReceiverIsCutOff has one that never answers, one whose answer never
// ends, and one whose headers never end.
func TestASlowReceiverIsCutOff(t *testing.T) {
	t.Parallel()
	const limit = 300 * time.Millisecond
	silent := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does a server notice that its client has gone
		<-r.Context().Done()
	}
	got := newSender(t, limit, true).Send(t.Context(), newDelivery(receiver(t, silent)))
	if want := (models.Attempt{Result: models.ResultRetry, Detail: "no answer in time"}); got != want {
		t.Errorf("silent: got %+v", got)
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<10)); err != nil {
				return
			}
		}
	}
	if got := newSender(t, timeout, true).Send(t.Context(), newDelivery(receiver(t, endless))); got.Result != models.ResultSent {
		t.Errorf("endless: got %+v", got)
	}
	long := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 2*maxHeaderBytes))
	}
	if got := newSender(t, timeout, true).Send(t.Context(), newDelivery(receiver(t, long))); got.Result != models.ResultRetry {
		t.Errorf("long headers: got %+v", got)
	}
}

func TestADeadReceiver(t *testing.T) {
	t.Parallel()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := newSender(t, timeout, true).Send(t.Context(), newDelivery(url))
	if want := (models.Attempt{Result: models.ResultRetry, Detail: "no connection, or it broke off"}); got != want {
		t.Errorf("got %+v", got)
	}
}
