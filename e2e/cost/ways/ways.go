// Package ways serves claims and orders in the ways that Scrip is weighed
// against. Each speaks as much of Scrip's API as it is asked for:
//
//	floor      binds the same body and answers the same JSON, with nothing in between
//	common     what one writes first: gorm, and for each claim a transaction that
//	           locks the template's row by SELECT … FOR UPDATE, inserts and updates
//	reference  a Lua script in Redis decides, then one INSERT for each claim
//	least      all that wait in one INSERT, and nothing else: no durable claim costs less
//
// None knows credentials, idempotency keys, windows, limits above one,
// audiences, an audit log or what to do after a crash: what Scrip does of these
// is in what it costs.
package ways

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"scrip/models"
)

// Options are where a way serves, and what it may use.
type Options struct {
	Addr  string // host:port
	DSN   string // of an empty database, as go-sql-driver has it; the floor needs none
	Redis string // host:port; only the reference needs it
	Conns int    // to each of them
}

// way is one of them, joined to a router.
type way interface{ routes(r gin.IRouter) }

// Serve serves the way of that name until ctx ends.
func Serve(ctx context.Context, name string, o Options) error {
	var w way
	var err error
	switch name {
	case "floor":
		w = newFloor()
	case "common":
		w, err = newCommon(ctx, o)
	case "reference":
		w, err = newReference(ctx, o)
	case "least":
		w, err = newLeast(ctx, o)
	default:
		err = fmt.Errorf("there is no way %q", name)
	}
	if err != nil {
		return err
	}
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.GET("/readyz", func(c *gin.Context) { c.Status(http.StatusOK) })
	w.routes(router.Group("/v1"))
	server := &http.Server{
		Addr: o.Addr, Handler: router, ReadHeaderTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// templateBody makes a template of the given id, to be claimed at once.
type templateBody struct {
	ID    models.ID `json:"id"`
	Stock int64     `json:"stock"`
}

type claimBody struct {
	TemplateID models.ID `json:"template_id"`
	UserID     string    `json:"user_id"`
}

type qualifyBody struct {
	Cart models.Cart `json:"cart"`
}

type lockBody struct {
	XID       string      `json:"xid"`
	OrderID   string      `json:"order_id"`
	Cart      models.Cart `json:"cart"`
	CouponIDs []models.ID `json:"coupon_ids"`
}

// lockView is a lock in an answer.
type lockView struct {
	ID        models.ID        `json:"id"`
	XID       string           `json:"xid"`
	OrderID   string           `json:"order_id"`
	State     models.LockState `json:"state"`
	Quote     models.Quote     `json:"quote"`
	ExpiresAt time.Time        `json:"expires_at"`
}

// page is a list in an answer.
type page struct {
	Data       []models.Coupon `json:"data"`
	NextCursor *string         `json:"next_cursor"`
}

// problem is a refusal in an answer.
type problem struct {
	Type      string      `json:"type"`
	Title     string      `json:"title"`
	Status    int         `json:"status"`
	Code      models.Code `json:"code"`
	Detail    string      `json:"detail"`
	RequestID string      `json:"request_id"`
	CouponIDs []models.ID `json:"coupon_ids,omitempty"`
}

// requestID stands for the one that Scrip makes for each request.
const requestID = "019ad0a0-0000-7000-8000-000000000000"

func refuse(c *gin.Context, code models.Code, detail string, coupons ...models.ID) {
	c.Header("Content-Type", "application/problem+json")
	c.JSON(http.StatusConflict, problem{
		Type: "about:blank", Title: http.StatusText(http.StatusConflict), Status: http.StatusConflict,
		Code: code, Detail: detail, RequestID: requestID, CouponIDs: coupons,
	})
}

func soldOut(c *gin.Context) { refuse(c, models.CodeSoldOut, "every coupon is claimed") }

func alreadyClaimed(c *gin.Context, coupons ...models.ID) {
	refuse(c, models.CodeAlreadyClaimed, "this user has claimed already", coupons...)
}

// bound reads a body into a T and hands it on, and answers if there is an error.
func bound[T any](handle func(c *gin.Context, body *T) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		var body T
		if err := c.ShouldBindJSON(&body); err != nil {
			c.String(http.StatusUnprocessableEntity, "%v", err)
			return
		}
		if err := handle(c, &body); err != nil {
			c.String(http.StatusInternalServerError, "%v", err)
		}
	}
}

// newCoupon is a coupon of whatever template: all last for a month.
func newCoupon(claim *claimBody, issueNo int64) models.Coupon {
	now := models.Instant(time.Now())
	return models.Coupon{
		Code: models.NewCode(), TemplateID: claim.TemplateID, RuleVersion: 1, UserID: claim.UserID,
		Status: models.CouponAvailable, IssueNo: issueNo, UserSeq: 1,
		ValidFrom: now, ExpiresAt: now.AddDate(0, 0, 31), ClaimedAt: now,
	}
}

// discount is what every coupon here gives, in minor units.
const discount = 500

// quote is what the cart costs with the coupons, each of which gives the same.
func quote(cart *models.Cart, coupons []models.ID) models.Quote {
	q := models.Quote{
		Currency: cart.Currency, Shipping: cart.Shipping,
		Applied: []models.AppliedCoupon{}, Lines: []models.QuoteLine{}, Gifts: []models.Gift{}, Rejected: []models.Rejection{},
	}
	q.Subtotal, _, _ = cart.Totals()
	for _, line := range cart.Lines {
		amount := line.Quantity * line.UnitPrice
		q.Lines = append(q.Lines, models.QuoteLine{
			LineID: line.LineID, Subtotal: amount, Total: amount,
			Units: []models.UnitRun{{Quantity: line.Quantity, Total: line.UnitPrice}},
		})
	}
	for _, id := range coupons {
		share := models.LineDiscount{LineID: q.Lines[0].LineID, Discount: discount}
		q.Applied = append(q.Applied, models.AppliedCoupon{CouponID: id, Discount: discount, Lines: []models.LineDiscount{share}})
		q.Discount += discount
	}
	q.Total = q.Subtotal - q.Discount + q.Shipping
	return q
}
