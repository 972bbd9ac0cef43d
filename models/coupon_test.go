package models_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func TestCouponAt(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	all := []models.CouponStatus{
		models.CouponAvailable, models.CouponLocked, models.CouponUsed, models.CouponExpired, models.CouponRevoked,
	}
	for _, status := range all {
		for offset, over := range map[time.Duration]bool{
			-time.Hour: false, -time.Millisecond: false, 0: true, time.Millisecond: true, time.Hour: true,
		} {
			coupon := models.Coupon{ID: 5, Status: status, ValidFrom: end.Add(-time.Hour), ExpiresAt: end, IssueNo: 3}
			want := coupon
			if over && status == models.CouponAvailable {
				want.Status = models.CouponExpired
			}
			if diff := cmp.Diff(want, coupon.At(end.Add(offset))); diff != "" {
				t.Errorf("%s, %v from its end (-want +got):\n%s", status, offset, diff)
			}
			if coupon.Status != status {
				t.Errorf("%s: asking changed the coupon to %s", status, coupon.Status)
			}
		}
	}
}
