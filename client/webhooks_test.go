package client_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/client"
)

// TestReadEvent reads what a server sent in the README's example.
func TestReadEvent(t *testing.T) {
	t.Parallel()
	const secret = "whsec_tZENndhlUDVviS++5w46EKTA0fpHOEJGw9GLL4uM604="
	const body = `{"id":"251378675670155264","type":"template.sold_out","timestamp":"2026-11-25T16:09:06.666Z",` +
		`"data":{"template_id":"251378675489800192","name":"Flash","stock":1,"sold_out_at":"2026-11-25T16:09:06.666Z"}}`
	sent := time.Unix(1795622947, 0)
	header := func(edit func(http.Header)) http.Header {
		h := http.Header{}
		h.Set("Webhook-Id", "251378675909230592")
		h.Set("Webhook-Timestamp", "1795622947")
		h.Set("Webhook-Signature", "v1,yD4Np5UhkjtPxGBqHcJE9CHka2aE7gZlRfQw9AF9NA4=")
		if edit != nil {
			edit(h)
		}
		return h
	}
	event, err := client.ReadEvent(secret, header(nil), []byte(body), sent.Add(time.Minute))
	if err != nil || event.DeliveryID != "251378675909230592" || event.Type != "template.sold_out" || !strings.Contains(string(event.Data), `"stock":1`) {
		t.Errorf("got %+v, %v", event, err)
	}
	if _, err := client.ReadEvent(secret, header(func(h http.Header) {
		h.Set("Webhook-Signature", "v1,AAAA "+h.Get("Webhook-Signature")) // while a secret is being replaced
	}), []byte(body), sent); err != nil {
		t.Errorf("one of two signatures: %v", err)
	}
	for name, c := range map[string]struct {
		header http.Header
		body   string
		now    time.Time
	}{
		"another body":      {header(nil), strings.Replace(body, `"stock":1`, `"stock":2`, 1), sent},
		"another id":        {header(func(h http.Header) { h.Set("Webhook-Id", "1") }), body, sent},
		"another time":      {header(func(h http.Header) { h.Set("Webhook-Timestamp", "1795622948") }), body, sent},
		"no time":           {header(func(h http.Header) { h.Del("Webhook-Timestamp") }), body, sent},
		"no signature":      {header(func(h http.Header) { h.Del("Webhook-Signature") }), body, sent},
		"kept for later":    {header(nil), body, sent.Add(6 * time.Minute)},
		"from the future":   {header(nil), body, sent.Add(-6 * time.Minute)},
		"another signature": {header(func(h http.Header) { h.Set("Webhook-Signature", "v1,AAAA") }), body, sent},
	} {
		if _, err := client.ReadEvent(secret, c.header, []byte(c.body), c.now); !errors.Is(err, client.ErrNotSigned) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestMessagesAndWebhooksAreAskedFor(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{
		{status: 200, body: `{"data":[{"id":"7","title":"soon","locale":null,"about":{"template_id":"3"},"read_at":null}],"next_cursor":null,"unread_count":2}`},
		{status: 200, body: `{"id":"7","read_at":"2026-01-02T03:04:05.000Z"}`},
		{status: 200, body: `{"id":"7"}`},
		{status: 201, body: `{"id":"9","secret":"whsec_x","events":["coupon.used"]}`},
		{status: 204},
	}}
	c := newClient(t, s)
	inbox, err := c.Inbox(t.Context(), client.InboxOptions{UserID: "ann", Locale: "de"}, client.PageOptions{Limit: 1})
	if err != nil || inbox.Unread != 2 || len(inbox.Data) != 1 || inbox.Data[0].Title != "soon" || inbox.Data[0].About["template_id"] != "3" {
		t.Errorf("got %+v, %v", inbox, err)
	}
	read, err := c.ReadMessage(t.Context(), "7", "ann")
	if err != nil || read.ReadAt == nil {
		t.Errorf("got %+v, %v", read, err)
	}
	if _, err := c.ReadMessage(t.Context(), "7", ""); err != nil {
		t.Error(err)
	}
	made, err := c.CreateWebhook(t.Context(), client.NewWebhook{URL: "https://a.example", Events: []string{"coupon.used"}}, client.WithIdempotencyKey("k"))
	if err != nil || made.Secret != "whsec_x" || made.Events[0] != "coupon.used" {
		t.Errorf("got %+v, %v", made, err)
	}
	if err := c.DeleteWebhook(t.Context(), "9"); err != nil {
		t.Error(err)
	}
	want := []string{
		"GET /v1/messages?limit=1&locale=de&user_id=ann  ",
		`POST /v1/messages/7/read  {"user_id":"ann"}`,
		"POST /v1/messages/7/read  ",
		`POST /v1/webhooks k {"url":"https://a.example","events":["coupon.used"]}`,
		"DELETE /v1/webhooks/9  ",
	}
	if diff := cmp.Diff(want, s.sent()); diff != "" {
		t.Error(diff)
	}
}
