package handlers

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

type qualifyService interface {
	Qualify(ctx context.Context, cart models.Cart, tags []string) (models.Qualification, error)
}

// cartBody is a cart in a request. Numbers that must be there although the
// models' zero value could not tell are pointers here: a price that was left
// out is no gift.
type cartBody struct {
	models.Cart
	Lines []lineBody `json:"lines"`
}

type lineBody struct {
	models.CartLine
	Quantity  *int64 `json:"quantity"`
	UnitPrice *int64 `json:"unit_price"`
}

// shopping is the part that qualify, quote and lock have in common.
type shopping struct {
	Cart     *cartBody `json:"cart"`
	UserTags []string  `json:"user_tags"`
}

// cart makes the models' cart of the user whom the caller speaks for, with that
// user's tags, and notes all that is wrong with it.
func (b *shopping) cart(f models.Faults, actor models.Principal) (models.Cart, []string, error) {
	if b.Cart == nil {
		f.Require(false, "cart")
		return models.Cart{}, nil, nil
	}
	inside := f.In("cart")
	cart := b.Cart.Cart
	for i, line := range b.Cart.Lines {
		at := inside.At("lines", i)
		at.Require(line.Quantity != nil, "quantity")
		at.Require(line.UnitPrice != nil, "unit_price")
		// What is missing is noted; the stand-ins are sound.
		line.CartLine.Quantity, line.CartLine.UnitPrice = or(line.Quantity, 1), or(line.UnitPrice, 0)
		cart.Lines = append(cart.Lines, line.CartLine)
	}
	// The cart's own check finds a user_id at fault, under its full path.
	userID, tags, err := onBehalf(models.NewFaults(), actor, cart.UserID, b.UserTags)
	if err != nil {
		return models.Cart{}, nil, err
	}
	cart.UserID = userID
	cart.Check(inside)
	checkTags(f, b.UserTags)
	return cart, tags, nil
}

// orEmpty makes an empty list of none, so that clients find a list in any case.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func viewQualification(q models.Qualification) any {
	q.Applicable, q.Inapplicable = orEmpty(q.Applicable), orEmpty(q.Inapplicable)
	q.Best.CouponIDs = orEmpty(q.Best.CouponIDs)
	return q
}

func (a *api) qualify(c *gin.Context) error {
	var body shopping
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	f := models.NewFaults()
	cart, tags, err := body.cart(f, middleware.Principal(c))
	if err != nil {
		return err
	}
	if err := f.Err(); err != nil {
		return err
	}
	return once(a, c, raw, always[models.Qualification](http.StatusOK), viewQualification,
		func(ctx context.Context, _ models.Op) (models.Qualification, error) {
			return a.Checkout.Qualify(ctx, cart, tags)
		})
}
