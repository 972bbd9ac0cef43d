package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// Distribution gives coupons to an audience, without claims.
type Distribution struct {
	Job

	TemplateID string   `json:"template_id"` // or a pack
	PackID     string   `json:"pack_id"`
	Audience   Audience `json:"audience"` // without a list of users
	Rate       int64    `json:"rate"`     // users a second; 0: no limit
	Notify     *Notice  `json:"notify"`   // nil: they are told nothing
}

// NewDistribution says what is given, and to whom.
type NewDistribution struct {
	TemplateID string   `json:"template_id,omitempty"` // or a pack
	PackID     string   `json:"pack_id,omitempty"`
	Audience   Audience `json:"audience,omitzero"`
	Rate       int64    `json:"rate,omitempty"`   // users a second; 0: no limit
	Notify     *Notice  `json:"notify,omitempty"` // what those who get something are told; nil: nothing
}

// Notice is a text to users, with placeholders such as {template.name}. The empty
// one is sent as true: a message in the inbox, in the server's own words.
type Notice struct {
	Channels []string `json:"channels,omitempty"` // inbox, mail, sms; none: the inbox
	NoticeText

	Locales map[string]NoticeText `json:"locales,omitempty"` // for other languages, by BCP 47 tag
}

// NoticeText is a notice in one language.
type NoticeText struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

// MarshalJSON writes the notice as NewDistribution has it.
func (n Notice) MarshalJSON() ([]byte, error) {
	if len(n.Channels) == 0 && len(n.Locales) == 0 && n.NoticeText == (NoticeText{}) {
		return []byte("true"), nil
	}
	type plain Notice
	return json.Marshal(plain(n))
}

// CreateDistribution begins a distribution, which goes on by itself.
func (c *Client) CreateDistribution(ctx context.Context, d NewDistribution, options ...CallOption) (Distribution, error) {
	var made Distribution
	err := c.post(ctx, "/distributions", d, &made, options)
	return made, err
}

// ImportDistribution begins a distribution to the users of a file, CSV with the
// column user_id. It is tried once, like ImportUsers; with a key of the caller's
// (WithIdempotencyKey) it may be called again.
func (c *Client) ImportDistribution(ctx context.Context, d NewDistribution, file io.Reader, options ...CallOption) (Distribution, error) {
	query := url.Values{}
	for name, value := range map[string]string{"template_id": d.TemplateID, "pack_id": d.PackID} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if d.Rate > 0 {
		query.Set("rate", strconv.FormatInt(d.Rate, 10))
	}
	var made Distribution
	if d.Notify != nil {
		notify, err := json.Marshal(d.Notify)
		if err != nil {
			return made, fmt.Errorf("encode the notice: %w", err)
		}
		query.Set("notify", string(notify))
	}
	request := &call{method: http.MethodPost, path: "/distributions/import?" + query.Encode(), file: file, mediaType: CSV}
	for _, option := range options {
		option(request)
	}
	err := c.upload(ctx, request, &made)
	return made, err
}

// Distribution fetches a distribution, as far as it has come.
func (c *Client) Distribution(ctx context.Context, id string) (Distribution, error) {
	var d Distribution
	err := c.get(ctx, "/distributions/"+url.PathEscape(id), nil, &d)
	return d, err
}

// Distributions fetches a page of distributions.
func (c *Client) Distributions(ctx context.Context, page PageOptions) (Page[Distribution], error) {
	var list Page[Distribution]
	err := c.get(ctx, "/distributions", page.query(), &list)
	return list, err
}

// PauseDistribution has nobody get anything until it is resumed.
func (c *Client) PauseDistribution(ctx context.Context, id string, options ...CallOption) (Distribution, error) {
	return c.moveDistribution(ctx, id, "pause", options)
}

// ResumeDistribution goes on with one that was paused.
func (c *Client) ResumeDistribution(ctx context.Context, id string, options ...CallOption) (Distribution, error) {
	return c.moveDistribution(ctx, id, "resume", options)
}

// CancelDistribution ends a distribution for ever; what was given stays.
func (c *Client) CancelDistribution(ctx context.Context, id string, options ...CallOption) (Distribution, error) {
	return c.moveDistribution(ctx, id, "cancel", options)
}

func (c *Client) moveDistribution(ctx context.Context, id, step string, options []CallOption) (Distribution, error) {
	var d Distribution
	err := c.post(ctx, "/distributions/"+url.PathEscape(id)+"/"+step, nil, &d, options)
	return d, err
}
