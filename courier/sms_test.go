package courier

import (
	"io"
	"net/http"
	"testing"
	"time"

	"scrip/models"
)

func TestASMSIsHandedOver(t *testing.T) {
	t.Parallel()
	var header http.Header
	var body []byte
	url := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header.Clone()
		body, _ = io.ReadAll(r.Body)
	})
	d := &models.Delivery{ID: 71, Channel: models.ChannelSMS, To: "+4930123456", Text: models.Text{Title: "not sent", Body: "use it"}}
	for _, secret := range []models.WebhookSecret{nil, models.WebhookSecret("0123456789abcdef0123456789abcdef")} {
		at := time.Unix(1_700_000_000, 0)
		s := NewSMS(url, secret, timeout, func() time.Time { return at })
		t.Cleanup(s.Close)
		if got := s.Send(t.Context(), d); got.Result != models.ResultSent {
			t.Fatalf("got %+v", got)
		}
		if want := `{"id":"71","to":"+4930123456","text":"use it"}`; string(body) != want {
			t.Errorf("got %s, want %s", body, want)
		}
		want := ""
		if secret != nil {
			want = sign(secret, "71", at, body)
		}
		if header.Get("Webhook-Id") != "71" || header.Get("Webhook-Signature") != want {
			t.Errorf("got %v", header)
		}
	}
}

func TestWhatAProviderSays(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]models.Result{
		202: models.ResultSent, 400: models.ResultRefused, 410: models.ResultRefused, 422: models.ResultRefused,
		401: models.ResultRetry, 402: models.ResultRetry, 429: models.ResultRetry, 500: models.ResultRetry, 301: models.ResultRetry,
	} {
		s := NewSMS(receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }), nil, timeout, time.Now)
		t.Cleanup(s.Close)
		if got := s.Send(t.Context(), &models.Delivery{ID: 71, To: "+4930123456"}); got.Result != want {
			t.Errorf("%d: got %+v", status, got)
		}
	}
}
