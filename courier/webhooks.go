// Package courier carries deliveries to their receivers: events to merchants'
// servers and text messages to a provider, both over HTTP, and mail over SMTP.
// It makes one try at a time, and says what came of it; when to try again is
// for others to decide.
//
// A receiver can do no harm: it has so much time and so many bytes, is not
// followed anywhere else, and what it says is never repeated.
package courier

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"code.dny.dev/ssrf"

	"scrip/models"
)

// Webhooks tells merchants' servers of events, signed as Standard Webhooks has
// it. It is safe for concurrent use.
type Webhooks struct {
	client *http.Client
	now    models.Clock
}

// Bounds of an answer: nothing of it but its status is looked at.
const (
	maxHeaderBytes = 16 << 10
	maxAnswerBytes = 4 << 10
)

// NewWebhooks makes a sender whose tries last no longer than timeout. It dials
// public addresses only, whatever a name stands for at that moment; with
// private, any.
func NewWebhooks(timeout time.Duration, private bool, now models.Clock) *Webhooks {
	dialer := &net.Dialer{Timeout: timeout}
	if !private {
		dialer.Control = guardian().Safe
	}
	return &Webhooks{client: newClient(dialer, timeout), now: now}
}

// guardian refuses every address that is not on the public internet.
func guardian() *ssrf.Guardian { return ssrf.New(ssrf.WithAnyPort()) }

// PublicHost reports whether a URL's host may be dialled, as far as it can be
// told without asking for its addresses.
func PublicHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err != nil || guardian().SafeAddr(addr) == nil
}

// newClient makes a client that uses no proxy (one would be asked to dial for
// us), follows no redirects, and takes in no more than it has to.
func newClient(dialer *net.Dialer, timeout time.Duration) *http.Client {
	const idle = 30 * time.Second
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    timeout,
			DisableCompression:     true,
			MaxIdleConns:           256,
			MaxIdleConnsPerHost:    8,
			IdleConnTimeout:        idle,
			MaxResponseHeaderBytes: maxHeaderBytes,
		},
	}
}

// Close gives up connections that nobody uses.
func (w *Webhooks) Close() { w.client.CloseIdleConnections() }

// envelope is the body of a webhook.
type envelope struct {
	ID         models.ID        `json:"id"`
	Type       models.EventType `json:"type"`
	Timestamp  models.Stamp     `json:"timestamp"`
	MerchantID string           `json:"merchant_id,omitempty"`
	Data       json.RawMessage  `json:"data"`
}

// Send makes one try.
func (w *Webhooks) Send(ctx context.Context, d *models.Delivery) models.Attempt {
	body, err := json.Marshal(envelope{
		ID: d.Event.ID, Type: d.Event.Type, Timestamp: models.Stamp(d.Event.At), MerchantID: d.Event.MerchantID, Data: d.Event.Data,
	})
	if err != nil {
		return models.Attempt{Result: models.ResultRefused, Detail: "the event cannot be written as JSON"}
	}
	request, err := newPost(ctx, d.Webhook.URL, d.ID, body, d.Webhook.Secret, w.now())
	if err != nil {
		return models.Attempt{Result: models.ResultRefused, Detail: "the URL is not one"}
	}
	status, attempt := post(w.client, request)
	if status == http.StatusGone {
		attempt.Result = models.ResultGone
	}
	return attempt
}

// newPost makes a signed request by the rules of Standard Webhooks. The id is the
// delivery's, the same in every try; the timestamp is the try's own.
func newPost(ctx context.Context, url string, id models.ID, body []byte, secret models.WebhookSecret, now time.Time) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	h := request.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "Scrip-Webhooks")
	h.Set("Webhook-Id", id.String())
	h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	if secret != nil { // a provider of text messages may do without
		h.Set("Webhook-Signature", sign(secret, id.String(), now, body))
	}
	return request, nil
}

// sign is the version 1 signature of Standard Webhooks: an HMAC-SHA256 of id,
// timestamp and body, joined by full stops.
func sign(secret models.WebhookSecret, id string, now time.Time, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s.%d.", id, now.Unix()) // a hash takes everything
	_, _ = mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// post sends a request and returns the status, 0 if there was none, and what it
// means: any 2xx is a yes, anything else a no for now.
func post(client *http.Client, request *http.Request) (status int, attempt models.Attempt) {
	answer, err := client.Do(request)
	if err != nil {
		return 0, models.Attempt{Result: models.ResultRetry, Detail: reason(err)}
	}
	// What was asked for arrives with the status; the rest is read only so that
	// the connection can be used again, and not if it is long.
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswerBytes)
	_ = answer.Body.Close()
	if answer.StatusCode/100 == 2 {
		return answer.StatusCode, models.Attempt{Result: models.ResultSent}
	}
	return answer.StatusCode, models.Attempt{
		Result: models.ResultRetry, Detail: fmt.Sprintf("HTTP %d", answer.StatusCode),
		After: retryAfter(answer.Header.Get("Retry-After")),
	}
}

// retryAfter reads the form of Retry-After that machines use, in seconds.
func retryAfter(header string) time.Duration {
	const most = 24 * 60 * 60
	seconds, err := strconv.Atoi(header)
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, most)) * time.Second
}

// reason says in our own words why there was no answer. The error itself may
// have an address of the private network in it.
func reason(err error) string {
	var timeout net.Error
	var dns *net.DNSError
	switch {
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork):
		return "the address is not on the public internet"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.As(err, &dns):
		return "the host has no address"
	case errors.Is(err, context.Canceled):
		return "cut off"
	}
	return "no connection, or it broke off"
}
