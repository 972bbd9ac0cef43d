package models

import "time"

// CouponStatus says where a coupon is in its life.
//
//	available → locked → used      checkout
//	used → available               a return, where the template says so
//	available → expired            by its time alone
//	available → revoked            by its owner; for ever
type CouponStatus string

// The five states.
const (
	CouponAvailable CouponStatus = "available"
	CouponLocked    CouponStatus = "locked"
	CouponUsed      CouponStatus = "used"
	CouponExpired   CouponStatus = "expired"
	CouponRevoked   CouponStatus = "revoked"
)

// Coupon is one coupon of one user.
type Coupon struct {
	ID          ID           `json:"id"`
	Code        string       `json:"code"`
	TemplateID  ID           `json:"template_id"`
	RuleVersion int          `json:"rule_version"`
	UserID      string       `json:"user_id"`
	Status      CouponStatus `json:"status"`
	IssueNo     int64        `json:"issue_no"`
	ValidFrom   time.Time    `json:"valid_from"`
	ExpiresAt   time.Time    `json:"expires_at"`
	ClaimedAt   time.Time    `json:"claimed_at"`

	LockID  *ID        `json:"lock_id,omitempty"`  // of the lock that holds or used it
	OrderID string     `json:"order_id,omitempty"` // that lock's
	UsedAt  *time.Time `json:"used_at,omitempty"`

	// UserSeq counts this user's coupons of this template from 1. With the
	// unique key over it the database itself refuses one too many.
	UserSeq int64 `json:"-"`
}

// At returns the coupon as it stands at the given time: an available one past
// its end is expired, whether or not a job has noted that yet.
func (c Coupon) At(now time.Time) Coupon {
	if c.Status == CouponAvailable && !now.Before(c.ExpiresAt) {
		c.Status = CouponExpired
	}
	return c
}

// CouponEnd is a place in the order in which coupons expire: by end, then id.
// The zero value is before all of them.
type CouponEnd struct {
	At time.Time
	ID ID
}

// TemplateStats counts a template's coupons by status.
type TemplateStats struct {
	TemplateID ID     `json:"template_id"`
	Stock      *int64 `json:"stock"`
	Claimed    int64  `json:"claimed"`
	Remaining  *int64 `json:"remaining"`
	Available  int64  `json:"available"`
	Locked     int64  `json:"locked"`
	Used       int64  `json:"used"`
	Expired    int64  `json:"expired"`
	Revoked    int64  `json:"revoked"`
}

// Add counts n more coupons of a status, past their end or not.
func (s *TemplateStats) Add(status CouponStatus, past bool, n int64) {
	switch {
	case status == CouponExpired || status == CouponAvailable && past:
		s.Expired += n
	case status == CouponAvailable:
		s.Available += n
	case status == CouponLocked:
		s.Locked += n
	case status == CouponUsed:
		s.Used += n
	case status == CouponRevoked:
		s.Revoked += n
	}
}
