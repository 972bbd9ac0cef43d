package handlers

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

type quoteService interface {
	// Quote takes codes as they were typed.
	Quote(ctx context.Context, cart models.Cart, tags []string, ids []models.ID, codes []string) (models.Quote, error)
}

// wanted is which coupons a request names.
type wanted struct {
	CouponIDs []models.ID `json:"coupon_ids"`
	Codes     []string    `json:"codes"`
}

// check notes what cannot be the name of a coupon. How many there may be, and
// that none is named twice, is for the service to see: it knows which id and
// which code are the same coupon's.
func (b *wanted) check(f models.Faults) {
	for i, id := range b.CouponIDs {
		if id == 0 { // null
			f.Add(fmt.Sprintf("coupon_ids[%d]", i), models.CodeRequired, "is required")
		}
	}
	for i, code := range b.Codes {
		models.CheckForeign(f, fmt.Sprintf("codes[%d]", i), code)
	}
}

type quoteBody struct {
	shopping
	wanted
}

func viewQuote(q models.Quote) any { return quoteView(q) }

func quoteView(q models.Quote) models.Quote {
	q.Applied, q.Lines = orEmpty(q.Applied), orEmpty(q.Lines)
	q.Gifts, q.Rejected = orEmpty(q.Gifts), orEmpty(q.Rejected)
	return q
}

func (a *api) quote(c *gin.Context) error {
	var body quoteBody
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	f := models.NewFaults()
	cart, tags, err := body.cart(f, middleware.Principal(c))
	if err != nil {
		return err
	}
	body.check(f)
	if err := f.Err(); err != nil {
		return err
	}
	return once(a, c, raw, always[models.Quote](http.StatusOK), viewQuote,
		func(ctx context.Context, _ models.Op) (models.Quote, error) {
			return a.Checkout.Quote(ctx, cart, tags, body.CouponIDs, body.Codes)
		})
}
