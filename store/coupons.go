package store

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"scrip/models"
)

type couponRow struct {
	ID          models.ID
	Code        string
	TemplateID  models.ID
	RuleVersion int
	UserID      string
	UserSeq     int64
	IssueNo     int64
	Status      models.CouponStatus
	ValidFrom   int64
	ExpiresAt   int64
	ClaimedAt   int64
	LockID      *models.ID
	OrderID     *string
	UsedAt      *int64
}

func (*couponRow) TableName() string { return "coupons" }

// couponColumns are those that scanCoupon expects.
const couponColumns = "id, code, template_id, rule_version, user_id, user_seq, issue_no, status, " +
	"valid_from, expires_at, claimed_at, lock_id, order_id, used_at"

func scanCoupon(scan scanner) (models.Coupon, error) {
	var r couponRow
	err := scan(&r.ID, &r.Code, &r.TemplateID, &r.RuleVersion, &r.UserID, &r.UserSeq, &r.IssueNo, &r.Status,
		&r.ValidFrom, &r.ExpiresAt, &r.ClaimedAt, &r.LockID, &r.OrderID, &r.UsedAt)
	if err != nil {
		return models.Coupon{}, err
	}
	return r.coupon()
}

func (r *couponRow) coupon() (models.Coupon, error) {
	c := models.Coupon{
		ID: r.ID, Code: r.Code, TemplateID: r.TemplateID, RuleVersion: r.RuleVersion,
		UserID: r.UserID, UserSeq: r.UserSeq, IssueNo: r.IssueNo, Status: r.Status,
		ValidFrom: instant(r.ValidFrom), ExpiresAt: instant(r.ExpiresAt), ClaimedAt: instant(r.ClaimedAt),
		LockID: r.LockID,
	}
	if r.OrderID != nil {
		c.OrderID = *r.OrderID
	}
	if r.UsedAt != nil {
		c.UsedAt = new(instant(*r.UsedAt))
	}
	return c, nil
}

// visible restricts coupons to those that the actor may see: a user's own, a
// merchant's of its own templates, all for the others.
func visible(query *gorm.DB, actor models.Principal) *gorm.DB {
	switch actor.Role {
	case models.RoleUser:
		return query.Where("coupons.user_id = ?", actor.UserID)
	case models.RoleMerchant:
		return query.Where("EXISTS (SELECT 1 FROM templates WHERE templates.id = coupons.template_id AND templates.merchant_id = ?)",
			actor.MerchantID)
	case models.RolePlatform, models.RoleService:
		return query
	}
	return query.Where("1 = 0")
}

// Coupon reads one coupon as it is stored; see models.Coupon.At.
func (s *Store) Coupon(ctx context.Context, actor models.Principal, id models.ID) (models.Coupon, error) {
	var row couponRow
	err := visible(s.orm.WithContext(ctx), actor).Where("coupons.id = ?", id).Take(&row).Error
	if err != nil {
		return models.Coupon{}, found(err, "coupon")
	}
	return row.coupon()
}

// Coupons lists a user's coupons, newest first.
func (s *Store) Coupons(ctx context.Context, actor models.Principal, filter models.CouponFilter, now time.Time, page models.Page) ([]models.Coupon, error) {
	query := visible(s.orm.WithContext(ctx), actor)
	if filter.UserID != "" || actor.Role == models.RoleUser {
		// Or MySQL may go through everybody's coupons, from the newest back, until it
		// has a page of this user's.
		query = query.Table("coupons" + s.dialect.force("coupons_of_user"))
	}
	query = equals(query, "coupons.user_id", filter.UserID)
	query = equals(query, "coupons.template_id", filter.TemplateID)
	switch filter.Status {
	case models.CouponAvailable:
		query = query.Where("coupons.status = ? AND coupons.expires_at > ?", models.CouponAvailable, millis(now))
	case models.CouponExpired:
		query = query.Where("(coupons.status = ? OR coupons.status = ? AND coupons.expires_at <= ?)",
			models.CouponExpired, models.CouponAvailable, millis(now))
	case models.CouponLocked, models.CouponUsed, models.CouponRevoked:
		query = query.Where("coupons.status = ?", filter.Status)
	}
	var rows []couponRow
	if err := paged(query, "coupons.id", page).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list coupons: %w", err)
	}
	return convert(rows, (*couponRow).coupon)
}

// TemplateCoupons lists the coupons of one template by issue number, newest
// first; page.Before is an issue number.
func (s *Store) TemplateCoupons(ctx context.Context, actor models.Principal, id models.ID, page models.Page) ([]models.Coupon, error) {
	if _, err := s.Template(ctx, actor, id); err != nil {
		return nil, err
	}
	query := s.orm.WithContext(ctx).Where("template_id = ?", id)
	var rows []couponRow
	if err := paged(query, "issue_no", page).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list coupons of template: %w", err)
	}
	return convert(rows, (*couponRow).coupon)
}

// RevokeCoupon takes an available coupon away for ever. One that is revoked
// already stays as it is; any other state is wrong_state.
func (s *Store) RevokeCoupon(ctx context.Context, op models.Op, id models.ID) (models.Coupon, error) {
	return change(ctx, s, op, func(t tx) (models.Coupon, note, error) {
		var row couponRow
		err := visible(locking(t), op.Actor).Where("coupons.id = ?", id).Take(&row).Error
		if err != nil {
			return models.Coupon{}, note{}, found(err, "coupon")
		}
		var owner templateRow
		if err := t.orm.Select("merchant_id").Where("id = ?", row.TemplateID).Take(&owner).Error; err != nil {
			return models.Coupon{}, note{}, fmt.Errorf("template of coupon: %w", err)
		}
		if row.Status != models.CouponRevoked {
			if err := s.revoke(ctx, t, &row, op.At); err != nil {
				return models.Coupon{}, note{}, err
			}
		}
		made, err := row.coupon()
		return made, note{
			action: "coupon.revoke", resource: "coupon", id: id, merchantID: owner.MerchantID,
			detail: map[string]any{"user_id": row.UserID, "template_id": row.TemplateID},
		}, err
	})
}

func (s *Store) revoke(ctx context.Context, t tx, row *couponRow, now time.Time) error {
	done := t.orm.Model(&couponRow{}).
		Where("id = ? AND status = ? AND expires_at > ?", row.ID, models.CouponAvailable, millis(now)).
		Update("status", models.CouponRevoked)
	if done.Error != nil {
		return fmt.Errorf("revoke coupon: %w", done.Error)
	}
	if done.RowsAffected == 0 {
		current, _ := row.coupon()
		return models.Refuse(models.CodeWrongState, "a coupon that is %s cannot be revoked", current.At(now).Status)
	}
	row.Status = models.CouponRevoked
	return s.forgetReminders(ctx, t, row, now)
}
