package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

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

// couponAt shows coupons as they stand at one moment.
func couponAt(now time.Time) func(models.Coupon) any {
	return func(c models.Coupon) any { return viewCoupon(c.At(now)) }
}

func (a *api) getCoupon(c *gin.Context) error {
	id, err := pathID(c, "coupon")
	if err != nil {
		return err
	}
	coupon, err := a.Store.Coupon(c.Request.Context(), middleware.Principal(c), id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, couponAt(models.Instant(a.Now()))(coupon))
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
