package models

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// WebhookState says whether a webhook is told of anything.
//
//	active → disabled      its server answered 410; for ever
type WebhookState string

// The two states.
const (
	WebhookActive   WebhookState = "active"
	WebhookDisabled WebhookState = "disabled"
)

// Bounds of webhooks.
const (
	MaxWebhooks = 20 // of one owner
	MaxURLLen   = 2000
)

// Webhook is a server that wants to be told of events: of those about one
// merchant's things, or, for the platform's, about all.
type Webhook struct {
	ID         ID
	MerchantID string
	URL        string
	Events     []EventType
	Secret     WebhookSecret // by which it knows that it is us; only at its making and at a delivery
	Sealed     []byte        // the same as it is kept, for deliveries
	State      WebhookState
	CreatedAt  time.Time
	DisabledAt *time.Time
}

// Check notes what is wrong with a webhook that is to be made. plain allows
// http beside https.
func (w *Webhook) Check(f Faults, plain bool) {
	checkWebhookURL(f, w.URL, plain)
	f.Require(len(w.Events) > 0, "events")
	all := EventTypes()
	for i, event := range w.Events {
		switch {
		case !slices.Contains(all, event):
			f.Add(fmt.Sprintf("events[%d]", i), CodeInvalid, "must be one of %s", join(all))
		case slices.Contains(w.Events[:i], event):
			f.Add("events", CodeNotUnique, "names %s twice", event)
		}
	}
}

func checkWebhookURL(f Faults, text string, plain bool) {
	f.Require(text != "", "url")
	if text == "" {
		return
	}
	if utf8.RuneCountInString(text) > MaxURLLen {
		f.Add("url", CodeOutOfRange, "must be at most %d characters", MaxURLLen)
		return
	}
	u, err := url.Parse(text)
	secure := err == nil && (u.Scheme == "https" || plain && u.Scheme == "http")
	if !secure || u.Hostname() == "" || u.User != nil || strings.Contains(text, "#") || !printable(text) {
		f.Add("url", CodeInvalid, "must be an https URL with a host, and without user, password and fragment")
	}
}

func join[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	return strings.Join(texts, ", ")
}

// WebhookSecret is the key of the signatures that a webhook's server checks. It
// never shows itself in logs.
type WebhookSecret []byte

// WebhookSecretLen is the length of the secrets that we make, in bytes: of the 24 to
// 64 of Standard Webhooks.
const WebhookSecretLen = 32

const secretPrefix = "whsec_" // as Standard Webhooks asks for

// NewWebhookSecret makes a secret.
func NewWebhookSecret() WebhookSecret {
	secret := make(WebhookSecret, WebhookSecretLen)
	_, _ = rand.Read(secret) // never fails: crypto/rand ends the program instead
	return secret
}

// Reveal is the secret as its owner is shown it, once.
func (s WebhookSecret) Reveal() string {
	return secretPrefix + base64.StdEncoding.EncodeToString(s)
}

// ParseWebhookSecret reads what Reveal shows.
func ParseWebhookSecret(text string) (WebhookSecret, error) {
	const least, most = 24, 64
	encoded, found := strings.CutPrefix(text, secretPrefix)
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(raw) < least || len(raw) > most {
		return nil, fmt.Errorf("not %s and %d to %d bytes in base64", secretPrefix, least, most)
	}
	return raw, nil
}

const hiddenSecret = "(hidden)"

// String keeps the secret out of whatever prints it.
func (s WebhookSecret) String() string { return hiddenSecret }

// LogValue keeps slog from showing the secret.
func (s WebhookSecret) LogValue() slog.Value { return slog.StringValue(hiddenSecret) }
