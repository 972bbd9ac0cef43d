package courier

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"time"

	"scrip/models"
)

// SMS hands text messages to a provider: a POST for each, signed like a webhook.
// It is safe for concurrent use.
type SMS struct {
	client *http.Client
	url    string
	secret models.WebhookSecret
	now    models.Clock
}

// NewSMS makes a sender for a provider at url, which the operator chose and so may
// be anywhere.
func NewSMS(url string, secret models.WebhookSecret, timeout time.Duration, now models.Clock) *SMS {
	return &SMS{client: newClient(&net.Dialer{Timeout: timeout}, timeout), url: url, secret: secret, now: now}
}

// Close gives up connections that nobody uses.
func (s *SMS) Close() { s.client.CloseIdleConnections() }

// sms is the body of a request to the provider.
type sms struct {
	ID   models.ID `json:"id"`
	To   string    `json:"to"`
	Text string    `json:"text"`
}

// Send makes one try. What the provider says is wrong with the message is final;
// what it says is wrong with itself, or with how we call it, is not.
func (s *SMS) Send(ctx context.Context, d *models.Delivery) models.Attempt {
	body, err := json.Marshal(sms{ID: d.ID, To: d.To, Text: d.Text.Body})
	if err != nil {
		return models.Attempt{Result: models.ResultRefused, Detail: "the text cannot be written as JSON"}
	}
	request, err := newPost(ctx, s.url, d.ID, body, s.secret, s.now())
	if err != nil {
		return models.Attempt{Result: models.ResultRetry, Detail: "sms.url is not a URL"}
	}
	status, attempt := post(s.client, request)
	ours := []int{
		http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound,
		http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
	}
	if status/100 == 4 && !slices.Contains(ours, status) {
		attempt.Result = models.ResultRefused
	}
	return attempt
}
