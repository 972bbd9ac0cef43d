package client

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// NewWebhook is what a webhook is made from.
type NewWebhook struct {
	MerchantID string   `json:"merchant_id,omitempty"`
	URL        string   `json:"url"`
	Events     []string `json:"events"` // such as coupon.used
}

// Webhook is a server that is told of events. Secret is there in the answer to its
// making only; keep it for ReadEvent.
type Webhook struct {
	ID         string     `json:"id"`
	Secret     string     `json:"secret,omitempty"`
	State      string     `json:"state"` // active, disabled
	CreatedAt  time.Time  `json:"created_at"`
	DisabledAt *time.Time `json:"disabled_at"`
	NewWebhook
}

// CreateWebhook makes a webhook.
func (c *Client) CreateWebhook(ctx context.Context, webhook NewWebhook, options ...CallOption) (Webhook, error) {
	var made Webhook
	err := c.post(ctx, "/webhooks", webhook, &made, options)
	return made, err
}

// Webhooks fetches a page of the webhooks, without their secrets.
func (c *Client) Webhooks(ctx context.Context, page PageOptions) (Page[Webhook], error) {
	var webhooks Page[Webhook]
	err := c.get(ctx, "/webhooks", page.query(), &webhooks)
	return webhooks, err
}

// DeleteWebhook ends a webhook.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.delete(ctx, "/webhooks/"+url.PathEscape(id))
}

// Event is what a webhook is told. DeliveryID is the same in every try of one
// delivery: by it a server can tell that it has the event already. Data depends on
// Type, as the server's openapi.yaml says.
type Event struct {
	DeliveryID string          `json:"-"`
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	Timestamp  time.Time       `json:"timestamp"`
	MerchantID string          `json:"merchant_id"`
	Data       json.RawMessage `json:"data"`
}

// ErrNotSigned says that a request does not come from Scrip, or not for the
// webhook of this secret, or that somebody has kept it for later.
var ErrNotSigned = errors.New("the request is not signed by this webhook's secret, or too old")

// eventAge is how old a request to a webhook may be, and how far ahead of ours its
// clock.
const eventAge = 5 * time.Minute

// ReadEvent checks a request that a webhook's server got, given its body, and
// reads the event. The secret is that of the webhook, whsec_ and all. It knows
// nothing of what was read before: keep the DeliveryIDs of a day or so.
func ReadEvent(secret string, header http.Header, body []byte, now time.Time) (Event, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return Event{}, fmt.Errorf("secret of a webhook: %w", err)
	}
	id, at := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if age := now.Sub(time.Unix(seconds, 0)); err != nil || age > eventAge || age < -eventAge {
		return Event{}, ErrNotSigned
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, at) // a hash takes everything
	_, _ = mac.Write(body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for signature := range strings.FieldsSeq(header.Get("Webhook-Signature")) {
		if hmac.Equal([]byte(signature), []byte(want)) {
			event := Event{DeliveryID: id}
			return event, json.Unmarshal(body, &event)
		}
	}
	return Event{}, ErrNotSigned
}
