package client

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// CreateRule makes a rule.
func (c *Client) CreateRule(ctx context.Context, rule NewRule, options ...CallOption) (Rule, error) {
	var made Rule
	err := c.post(ctx, "/rules", rule, &made, options)
	return made, err
}

// CreateTemplate makes a template in state draft.
func (c *Client) CreateTemplate(ctx context.Context, template NewTemplate, options ...CallOption) (Template, error) {
	var made Template
	err := c.post(ctx, "/templates", template, &made, options)
	return made, err
}

// PublishTemplate opens a draft for claims. One that is active already stays
// as it is.
func (c *Client) PublishTemplate(ctx context.Context, id string, options ...CallOption) (Template, error) {
	var published Template
	err := c.post(ctx, "/templates/"+url.PathEscape(id)+"/publish", nil, &published, options)
	return published, err
}

// Template fetches a template.
func (c *Client) Template(ctx context.Context, id string) (Template, error) {
	var template Template
	err := c.get(ctx, "/templates/"+url.PathEscape(id), nil, &template)
	return template, err
}

// TemplateStats counts a template's coupons.
func (c *Client) TemplateStats(ctx context.Context, id string) (TemplateStats, error) {
	var stats TemplateStats
	err := c.get(ctx, "/templates/"+url.PathEscape(id)+"/stats", nil, &stats)
	return stats, err
}

// Claim claims a coupon. The refusals of a sale (sold_out, already_claimed …)
// are *Error with Status 409.
func (c *Client) Claim(ctx context.Context, claim Claim, options ...CallOption) (Coupon, error) {
	var coupon Coupon
	err := c.post(ctx, "/claims", claim, &coupon, options)
	return coupon, err
}

// Coupon fetches a coupon.
func (c *Client) Coupon(ctx context.Context, id string) (Coupon, error) {
	var coupon Coupon
	err := c.get(ctx, "/coupons/"+url.PathEscape(id), nil, &coupon)
	return coupon, err
}

// PageOptions says which part of a list is asked for. The zero value is the
// first page of the server's usual length.
type PageOptions struct {
	Limit  int    // 1 to 200; 0: the server's default
	Cursor string // NextCursor of the page before
}

func (o PageOptions) query() url.Values {
	query := url.Values{}
	if o.Limit > 0 {
		query.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.Cursor != "" {
		query.Set("cursor", o.Cursor)
	}
	return query
}

// Page is one page of a list, newest first. NextCursor is "" on the last.
type Page[T any] struct {
	Data       []T    `json:"data"`
	NextCursor string `json:"next_cursor"`
}

// TemplateCoupons fetches a page of a template's coupons.
func (c *Client) TemplateCoupons(ctx context.Context, id string, page PageOptions) (Page[Coupon], error) {
	var coupons Page[Coupon]
	err := c.get(ctx, "/templates/"+url.PathEscape(id)+"/coupons", page.query(), &coupons)
	return coupons, err
}

// CouponFilter says which coupons are asked for.
type CouponFilter struct {
	UserID string // for callers with an API key; an end user sees its own
	Status string // "": any
}

// Coupons fetches a page of a user's coupons.
func (c *Client) Coupons(ctx context.Context, filter CouponFilter, page PageOptions) (Page[Coupon], error) {
	query := page.query()
	if filter.UserID != "" {
		query.Set("user_id", filter.UserID)
	}
	if filter.Status != "" {
		query.Set("status", filter.Status)
	}
	var coupons Page[Coupon]
	err := c.get(ctx, "/coupons", query, &coupons)
	return coupons, err
}

// CreateAPIKey makes an API key. Its secret is in this answer and nowhere else.
func (c *Client) CreateAPIKey(ctx context.Context, key NewAPIKey, options ...CallOption) (APIKey, error) {
	var made APIKey
	err := c.post(ctx, "/api_keys", key, &made, options)
	return made, err
}

// APIKeys fetches a page of the API keys, without their secrets.
func (c *Client) APIKeys(ctx context.Context, page PageOptions) (Page[APIKey], error) {
	var keys Page[APIKey]
	err := c.get(ctx, "/api_keys", page.query(), &keys)
	return keys, err
}

// DeleteAPIKey revokes an API key.
func (c *Client) DeleteAPIKey(ctx context.Context, id string) error {
	return c.delete(ctx, "/api_keys/"+url.PathEscape(id))
}

// delete ends the thing at path.
func (c *Client) delete(ctx context.Context, path string) error {
	request := &call{method: http.MethodDelete, path: path}
	err := c.do(ctx, request, nil)
	// A DELETE carries no key. If its first answer was lost, the second may well
	// find nothing left to delete.
	var answer *Error
	if request.tries > 1 && errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		return nil
	}
	return err
}

// All walks a list from its first page to its last, asking for the next page
// when it is needed; fetch is a method such as APIKeys. An error ends it.
//
//	pages := func(p client.PageOptions) (client.Page[client.Coupon], error) {
//		return c.TemplateCoupons(ctx, id, p)
//	}
//	for coupon, err := range client.All(pages, 200) { … }
func All[T any](fetch func(PageOptions) (Page[T], error), limit int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		options := PageOptions{Limit: limit}
		for {
			page, err := fetch(options)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Data {
				if !yield(item, nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			options.Cursor = page.NextCursor
		}
	}
}
