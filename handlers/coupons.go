package handlers

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json/jsontext"

	"scrip/handlers/middleware"
	"scrip/models"
)

type couponStore interface {
	Coupon(ctx context.Context, actor models.Principal, id models.ID) (models.Coupon, error)
	Coupons(
		ctx context.Context, actor models.Principal, filter models.CouponFilter, now time.Time, page models.Page,
	) ([]models.Coupon, error)
	RevokeCoupon(ctx context.Context, op models.Op, id models.ID) (models.Coupon, error)
}

// couponView is a coupon in an answer.
type couponView struct {
	ID          models.ID           `json:"id"`
	Code        string              `json:"code"`
	TemplateID  models.ID           `json:"template_id"`
	RuleVersion int                 `json:"rule_version"`
	UserID      string              `json:"user_id"`
	Status      models.CouponStatus `json:"status"`
	IssueNo     int64               `json:"issue_no"`
	ValidFrom   stamp               `json:"valid_from"`
	ExpiresAt   stamp               `json:"expires_at"`
	ClaimedAt   stamp               `json:"claimed_at"`
	LockID      *models.ID          `json:"lock_id,omitempty"`
	OrderID     string              `json:"order_id,omitempty"`
	UsedAt      *stamp              `json:"used_at,omitempty"`
}

func viewCoupon(c models.Coupon) any {
	return couponView{
		c.ID, c.Code, c.TemplateID, c.RuleVersion, c.UserID, c.Status, c.IssueNo,
		stamp(c.ValidFrom), stamp(c.ExpiresAt), stamp(c.ClaimedAt), c.LockID, c.OrderID, stampOf(c.UsedAt),
	}
}

// couponSize is what a coupon's JSON takes, with a user_id of usual length.
const couponSize = 512

// appendJSON writes what the field tags say. A test compares the two.
func (v couponView) appendJSON(b []byte) ([]byte, error) {
	b = slices.Grow(b, couponSize)
	var err error
	text := func(name, value string) {
		var fault error
		b = append(b, name...)
		b, fault = jsontext.AppendQuote(b, value)
		err = errors.Join(err, fault)
	}
	number := func(name string, value int64, end string) {
		b = append(b, name...)
		b = append(strconv.AppendInt(b, value, 10), end...)
	}
	moment := func(name string, value stamp) {
		b = append(b, name...)
		b = append(value.Append(b), '"')
	}
	number(`{"id":"`, int64(v.ID), `"`)
	text(`,"code":`, v.Code)
	number(`,"template_id":"`, int64(v.TemplateID), `"`)
	number(`,"rule_version":`, int64(v.RuleVersion), "")
	text(`,"user_id":`, v.UserID)
	text(`,"status":`, string(v.Status))
	number(`,"issue_no":`, v.IssueNo, "")
	moment(`,"valid_from":"`, v.ValidFrom)
	moment(`,"expires_at":"`, v.ExpiresAt)
	moment(`,"claimed_at":"`, v.ClaimedAt)
	if v.LockID != nil {
		number(`,"lock_id":"`, int64(*v.LockID), `"`)
	}
	if v.OrderID != "" {
		text(`,"order_id":`, v.OrderID)
	}
	if v.UsedAt != nil {
		moment(`,"used_at":"`, *v.UsedAt)
	}
	return append(b, '}'), err
}

// couponAt shows coupons as they stand at one moment.
func couponAt(now time.Time) func(models.Coupon) any {
	return func(c models.Coupon) any { return viewCoupon(c.At(now)) }
}

func (a *api) getCoupon(c *gin.Context) error {
	return getOne(c, "coupon", a.Store.Coupon, couponAt(models.Instant(a.Now())))
}

func (a *api) listCoupons(c *gin.Context) error {
	actor := middleware.Principal(c)
	q := newQuery(c)
	page := q.page(byID)
	userID, _, err := onBehalf(q.faults, actor, c.Query("user_id"), nil)
	if err != nil {
		return err
	}
	filter := models.CouponFilter{
		UserID: userID,
		Status: oneOf(q, "status", models.CouponAvailable, models.CouponLocked, models.CouponUsed,
			models.CouponExpired, models.CouponRevoked),
		TemplateID: q.id("template_id"),
	}
	if err := q.err(); err != nil {
		return err
	}
	now := models.Instant(a.Now())
	rows, err := a.Store.Coupons(c.Request.Context(), actor, filter, now, page.ask())
	if err != nil {
		return err
	}
	return answerPage(c, page, rows, func(coupon models.Coupon) models.ID { return coupon.ID }, couponAt(now))
}

func (a *api) revokeCoupon(c *gin.Context) error {
	id, err := pathID(c, "coupon")
	if err != nil {
		return err
	}
	raw, err := bindNone(c)
	if err != nil {
		return err
	}
	return change(a, c, raw, http.StatusOK, viewCoupon, func(ctx context.Context, op models.Op) (models.Coupon, error) {
		return a.Store.RevokeCoupon(ctx, op, id)
	})
}
