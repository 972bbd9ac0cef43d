package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"scrip/models"
)

// reminder is a row of reminders.
type reminder struct {
	due    int64
	coupon models.ID
}

// addReminders inserts rows. Some may be there already where end says so.
func addReminders(ctx context.Context, t tx, rows []reminder, end string) error {
	const columns = 2
	args := make([]any, 0, columns*len(rows))
	for _, r := range rows {
		args = append(args, r.due, r.coupon)
	}
	return insert(ctx, t, "reminders (due_at, coupon_id)", columns, args, end)
}

// dropReminders deletes those of the rows that there are, in their order.
func (s *Store) dropReminders(ctx context.Context, t tx, rows []reminder) error {
	byDue := map[int64][]models.ID{}
	for _, r := range rows {
		byDue[r.due] = append(byDue[r.due], r.coupon)
	}
	for _, due := range slices.Sorted(maps.Keys(byDue)) {
		coupons := unique(byDue[due])
		_, err := t.sql.ExecContext(ctx, s.dialect.deleteFrom("reminders", "PRIMARY")+" WHERE due_at = ? AND coupon_id IN ("+
			marks(len(coupons))+")", append([]any{due}, anys(coupons)...)...)
		if err != nil {
			return fmt.Errorf("drop reminders: %w", err)
		}
	}
	return nil
}

// insertReminders notes when the users of the batch's coupons are to be reminded
// of them. Coupons of one template that end together have the same days.
func (b *claimBatch) insertReminders(ctx context.Context, t tx) error {
	var rows []reminder
	var of *models.Template
	var ends time.Time
	var due []time.Time
	for i := range b.verdicts {
		template, c := b.claims[i].Template, b.verdicts[i].Coupon
		if c == nil || len(template.RemindBeforeDays) == 0 {
			continue
		}
		if of != template || !ends.Equal(c.ExpiresAt) {
			zone, err := models.LoadZone(template.TimeZone)
			if err != nil {
				return err
			}
			of, ends = template, c.ExpiresAt
			due = models.Reminders(template.RemindBeforeDays, zone, c.ExpiresAt, c.ClaimedAt)
		}
		for _, at := range due {
			rows = append(rows, reminder{millis(at), c.ID})
		}
	}
	return addReminders(ctx, t, rows, "")
}

// remindersAfter lists the reminders that a coupon has after the given time.
func (s *Store) remindersAfter(c *models.Coupon, by *terms, after time.Time) ([]reminder, error) {
	if len(by.remind) == 0 {
		return nil, nil
	}
	zone, err := s.zone(by.zone)
	if err != nil {
		return nil, err
	}
	var rows []reminder
	for _, at := range models.RemindersAfter(by.remind, zone, c.ExpiresAt, after) {
		rows = append(rows, reminder{millis(at), c.ID})
	}
	return rows, nil
}

// dropReminders forgets the reminders of what the batch's locks hold.
func (b *tryBatch) dropReminders(ctx context.Context, t tx) error {
	var rows []reminder
	for _, m := range b.made {
		for _, id := range m.taken {
			c := b.coupons[id]
			more, err := b.store.remindersAfter(c, b.terms[keyOf(c)], instant(m.row.createdAt))
			if err != nil {
				return err
			}
			rows = append(rows, more...)
		}
	}
	return b.store.dropReminders(ctx, t, rows)
}

// restoreReminders puts back what the Tries of freed locks took away. What has
// come due meanwhile is due now.
func (b *endBatch) restoreReminders(ctx context.Context, t tx) error {
	since := map[models.ID]time.Time{} // by coupon, when it was locked
	var held []models.Coupon
	for _, e := range b.ended {
		if e.row.state == models.LockConfirmed {
			continue
		}
		for i := range e.row.frozen.Coupons {
			c := &e.row.frozen.Coupons[i]
			since[c.CouponID] = instant(e.row.createdAt)
			held = append(held, models.Coupon{ID: c.CouponID, TemplateID: c.TemplateID, RuleVersion: c.RuleVersion})
		}
	}
	of, err := b.store.termsOf(t.orm.WithContext(ctx), held)
	if err != nil {
		return err
	}
	held = slices.DeleteFunc(held, func(c models.Coupon) bool { return len(of[keyOf(&c)].remind) == 0 })
	if len(held) == 0 {
		return nil
	}
	ids := make([]models.ID, len(held))
	for i := range held {
		ids[i] = held[i].ID
	}
	coupons, err := readCoupons(ctx, t, "", "id IN ("+marks(len(ids))+")", anys(ids)...)
	if err != nil {
		return err
	}
	var rows []reminder
	for i := range coupons {
		c := &coupons[i]
		more, err := b.store.remindersAfter(c, of[keyOf(c)], since[c.ID])
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	return addReminders(ctx, t, rows, b.store.dialect.keep("coupon_id"))
}

// renewReminders notes when the user is to be reminded of coupons that came back,
// as if they had been claimed just now.
func (r *refunding) renewReminders(ctx context.Context, t tx, coupons []models.Coupon, of map[termsKey]*terms) error {
	var rows []reminder
	for i := range coupons {
		c := &coupons[i]
		by := of[keyOf(c)]
		if len(by.remind) == 0 {
			continue
		}
		zone, err := r.store.zone(by.zone)
		if err != nil {
			return err
		}
		for _, at := range models.Reminders(by.remind, zone, c.ExpiresAt, r.req.At) {
			rows = append(rows, reminder{millis(at), c.ID})
		}
	}
	return addReminders(ctx, t, rows, r.store.dialect.keep("coupon_id"))
}

// forgetReminders drops those of a coupon that is revoked.
func (s *Store) forgetReminders(ctx context.Context, t tx, row *couponRow, now time.Time) error {
	c, err := row.coupon()
	if err != nil {
		return err
	}
	of, err := s.termsOf(t.orm.WithContext(ctx), []models.Coupon{c})
	if err != nil {
		return err
	}
	rows, err := s.remindersAfter(&c, of[keyOf(&c)], now)
	if err != nil {
		return err
	}
	return s.dropReminders(ctx, t, rows)
}
