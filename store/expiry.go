package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"scrip/models"
)

// ExpireCoupons notes in the table that coupons have expired which are past
// their end at the given time: at most limit of those that come after a place
// in their order, by end and id. It returns how many it changed, and the place
// to go on from; nil once there are no more.
//
// Nobody waits for it: every answer goes by the coupon's time (models.Coupon.At).
func (s *Store) ExpireCoupons(ctx context.Context, now time.Time, after models.CouponEnd, limit int) (changed int, next *models.CouponEnd, err error) {
	err = s.inTx(ctx, func(t tx) error {
		ids, last, err := s.pastEnd(ctx, t, now, after, limit)
		if err != nil {
			return fmt.Errorf("find coupons past their end: %w", err)
		}
		if next = nil; len(ids) == limit {
			next = &last
		}
		changed, err = s.noteExpired(ctx, t, ids, now)
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	return changed, next, nil
}

// pastEnd looks coupons up, without locking them: what is found by end would be
// locked in another order than everybody's. It asks for the rest of those that
// end with the last one first, then for those after it: no optimizer takes both
// in one range, and a million may end in the same instant.
func (s *Store) pastEnd(ctx context.Context, t tx, now time.Time, after models.CouponEnd, limit int) (ids []models.ID, last models.CouponEnd, err error) {
	from := millis(after.At)
	for _, part := range []struct {
		where string
		args  []any
	}{
		{"expires_at = ? AND id > ?", []any{from, after.ID}},
		{"expires_at > ? AND expires_at <= ?", []any{from, millis(now)}},
	} {
		if len(ids) == limit {
			break
		}
		err := query(ctx, t, "SELECT id, expires_at FROM coupons"+s.dialect.force("coupons_by_end")+
			" WHERE status = 'available' AND "+part.where+" ORDER BY expires_at, id LIMIT ?", append(part.args, limit-len(ids)),
			func(scan func(...any) error) error {
				var end int64
				err := scan(&last.ID, &end)
				last.At = instant(end)
				ids = append(ids, last.ID)
				return err
			})
		if err != nil {
			return nil, last, err
		}
	}
	return ids, last, nil
}

// noteExpired changes those of the coupons that nobody locked or revoked since.
func (s *Store) noteExpired(ctx context.Context, t tx, ids []models.ID, now time.Time) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	slices.Sort(ids)
	done, err := t.sql.ExecContext(ctx, "UPDATE coupons"+s.dialect.force("PRIMARY")+" SET status = 'expired' WHERE id IN ("+marks(len(ids))+
		") AND status = 'available' AND expires_at <= ?", append(anys(ids), millis(now))...)
	if err != nil {
		return 0, fmt.Errorf("note that coupons have expired: %w", err)
	}
	n, err := done.RowsAffected()
	return int(n), err
}

// expiryInvariants say that the tables follow the time. While nobody runs the
// jobs they may not, so the measure is when a job was last at it: its lease says
// so, and says nothing once it was given back. A coupon whose lock ended late
// may come after that, and a reminder that came due while it held; hence the hour.
func expiryInvariants() []invariant {
	return []invariant{
		{
			"no coupon is available still that was past its end an hour before the job last looked",
			`SELECT c.id, c.template_id, c.user_id, c.expires_at FROM leases l
				JOIN coupons c ON c.status = 'available' AND c.expires_at <= l.until - 3600000
				WHERE l.name = 'job:expire-coupons'`,
		},
		{
			"no reminder waits that was due an hour before the job last looked",
			// Those of a coupon that somebody has just got are due from the start.
			`SELECT r.due_at, r.coupon_id FROM leases l
				JOIN reminders r ON r.due_at <= l.until - 3600000
				JOIN coupons c ON c.id = r.coupon_id AND c.claimed_at <= l.until - 3600000
				WHERE l.name = 'job:remind' AND NOT EXISTS (SELECT 1 FROM coupon_operations o
					WHERE o.coupon_id = r.coupon_id AND o.created_at > l.until - 3600000)`,
		},
	}
}
