package client

import (
	"context"
	"net/url"
	"time"
)

// Pack is templates that are claimed together, all or nothing.
type Pack struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	NewPack
}

// NewPack is what a pack is made from.
type NewPack struct {
	MerchantID string     `json:"merchant_id,omitempty"`
	Name       string     `json:"name"`
	Items      []PackItem `json:"items"`
}

// PackItem is so many coupons of one template.
type PackItem struct {
	TemplateID string `json:"template_id"`
	Quantity   int64  `json:"quantity"`
}

// PackClaim asks for a pack. UserID is for callers with an API key.
type PackClaim struct {
	PackID   string   `json:"pack_id"`
	UserID   string   `json:"user_id,omitempty"`
	UserTags []string `json:"user_tags,omitempty"`
}

// CreatePack makes a pack.
func (c *Client) CreatePack(ctx context.Context, pack NewPack, options ...CallOption) (Pack, error) {
	var made Pack
	err := c.post(ctx, "/packs", pack, &made, options)
	return made, err
}

// Pack fetches a pack.
func (c *Client) Pack(ctx context.Context, id string) (Pack, error) {
	var pack Pack
	err := c.get(ctx, "/packs/"+url.PathEscape(id), nil, &pack)
	return pack, err
}

// Packs fetches a page of packs.
func (c *Client) Packs(ctx context.Context, page PageOptions) (Page[Pack], error) {
	var packs Page[Pack]
	err := c.get(ctx, "/packs", page.query(), &packs)
	return packs, err
}

// ClaimPack claims a pack, and returns its coupons in the order of its items.
// The refusals are those of Claim.
func (c *Client) ClaimPack(ctx context.Context, claim PackClaim, options ...CallOption) ([]Coupon, error) {
	var got struct {
		Coupons []Coupon `json:"coupons"`
	}
	err := c.post(ctx, "/claims", claim, &got, options)
	return got.Coupons, err
}
