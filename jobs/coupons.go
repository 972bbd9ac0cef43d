package jobs

import (
	"context"
	"fmt"
	"time"

	"scrip/models"
)

type couponStore interface {
	// ExpireCoupons changes at most limit coupons that are past their end, from a
	// place in their order on, and returns the next place; nil at their end.
	ExpireCoupons(ctx context.Context, now time.Time, after models.CouponEnd, limit int) (changed int, next *models.CouponEnd, err error)
}

// ExpireCoupons notes in the table which coupons have expired by their time. No
// answer waits for it.
type ExpireCoupons struct {
	Store couponStore
	Now   models.Clock

	// after is where the last step ended. A run goes through the coupons once:
	// each step would otherwise find its way past all that the ones before it
	// took out of the index, which stays there until nobody can read it any more.
	after models.CouponEnd
}

// couponChunk is how many coupons one step expires: a few milliseconds' work,
// in which others wait for the only writer of an embedded database.
const couponChunk = 500

// Step expires one chunk of coupons.
func (j *ExpireCoupons) Step(ctx context.Context) (changed int, more bool, err error) {
	changed, next, err := j.Store.ExpireCoupons(ctx, j.Now(), j.after, couponChunk)
	if err != nil {
		return 0, false, fmt.Errorf("expire coupons: %w", err)
	}
	if next == nil {
		j.after = models.CouponEnd{} // the next run looks at all: some may have come back late
		return changed, false, nil
	}
	j.after = *next
	return changed, true, nil
}
