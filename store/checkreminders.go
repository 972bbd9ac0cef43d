package store

import (
	"context"
	"fmt"
	"time"

	"scrip/models"
)

const (
	remindersThere = "every coupon that can be used has its reminders to come"
	remindersOf    = "every reminder to come is of a coupon that can be used"
)

// checkReminders holds the reminders that are to come against the coupons. What
// is due by now may be on its way out.
func (s *Store) checkReminders(ctx context.Context) (broken []Violation, err error) {
	now := s.Now()
	broken, err = s.offenders(ctx, invariant{remindersOf, fmt.Sprintf(
		`SELECT r.due_at, r.coupon_id, c.status FROM reminders r LEFT JOIN coupons c ON c.id = r.coupon_id
			WHERE r.due_at > %d AND (c.id IS NULL OR c.status <> 'available')`, millis(now))})
	if err != nil {
		return nil, err
	}
	var templates []templateRow
	err = s.orm.WithContext(ctx).Select("id", "time_zone", "remind_before_days").Where("remind_before_days IS NOT NULL").Find(&templates).Error
	if err != nil {
		return nil, err
	}
	for i := range templates {
		if len(templates[i].RemindBeforeDays) == 0 {
			continue
		}
		missing, err := s.checkTemplateReminders(ctx, &templates[i], now)
		if err != nil {
			return nil, fmt.Errorf("template %s: %w", templates[i].ID, err)
		}
		broken = append(broken, missing...)
	}
	return broken, nil
}

// checkTemplateReminders finds coupons of a template that lack a reminder, for
// each of its days that have not begun yet.
func (s *Store) checkTemplateReminders(ctx context.Context, of *templateRow, now time.Time) ([]Violation, error) {
	zone, err := s.zone(of.TimeZone)
	if err != nil {
		return nil, err
	}
	var ends []int64
	err = query(ctx, s.sql, "SELECT DISTINCT expires_at FROM coupons WHERE template_id = ? AND status = 'available' AND expires_at > ?",
		[]any{of.ID, millis(now)}, func(scan func(...any) error) error {
			var end int64
			err := scan(&end)
			ends = append(ends, end)
			return err
		})
	if err != nil {
		return nil, err
	}
	var broken []Violation
	for _, end := range ends {
		for _, due := range models.Reminders(of.RemindBeforeDays, zone, instant(end), now) {
			if !due.After(now) {
				continue
			}
			missing, err := s.offenders(ctx, invariant{remindersThere, fmt.Sprintf(
				`SELECT c.id, c.template_id, c.user_id, c.expires_at FROM coupons c
					LEFT JOIN reminders r ON r.due_at = %d AND r.coupon_id = c.id
					WHERE c.template_id = %d AND c.expires_at = %d AND c.status = 'available' AND r.coupon_id IS NULL`,
				millis(due), of.ID, end)})
			if err != nil {
				return nil, err
			}
			broken = append(broken, missing...)
		}
	}
	return broken, nil
}
