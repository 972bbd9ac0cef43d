package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"scrip/failpoint"
	"scrip/models"
)

// SendReminders reminds users of coupons of which it is due at the given time,
// going through at most limit rows, and reports how many messages that came to.
// Whatever number of a template's coupons a user is to be reminded of, there is
// one message a day. A coupon that its user cannot use any more is left out.
//
// Message and row change hands in one transaction: none is sent twice, or lost,
// wherever the process ends.
func (s *Store) SendReminders(ctx context.Context, now time.Time, limit int) (sent int, more bool, err error) {
	err = s.inTx(ctx, func(t tx) error {
		sent, more = 0, false
		rows, err := s.lockDue(ctx, t, now, limit)
		if err != nil || len(rows) == 0 {
			return err
		}
		more = len(rows) == limit
		due, err := s.remindable(ctx, t, rows, now)
		if err != nil {
			return err
		}
		for _, one := range due {
			n, err := s.remind(ctx, t, one, now)
			if err != nil {
				return err
			}
			sent += n
		}
		err = s.dropReminders(ctx, t, rows)
		failpoint.Reach(failpoint.RemindWritten)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("send reminders: %w", err)
	}
	if sent > 0 {
		failpoint.Reach(failpoint.RemindCommitted)
	}
	return sent, more, nil
}

// lockDue locks the first rows that are due, in their order: an order that takes
// one of the coupons now comes after the message, or has taken its row away.
func (s *Store) lockDue(ctx context.Context, t tx, now time.Time, limit int) ([]reminder, error) {
	var rows []reminder
	err := query(ctx, t, "SELECT due_at, coupon_id FROM reminders"+s.dialect.force("PRIMARY")+
		" WHERE due_at <= ? ORDER BY due_at, coupon_id LIMIT ?"+s.dialect.forUpdate, []any{millis(now), limit},
		func(scan func(...any) error) error {
			var r reminder
			err := scan(&r.due, &r.coupon)
			rows = append(rows, r)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("lock what is due: %w", err)
	}
	return rows, nil
}

// dueReminder is what users are to be told of one template on one local day.
type dueReminder struct {
	template models.ID
	day      time.Time // its first instant
	terms    *terms
	zone     *time.Location
	ends     map[string]time.Time // by user, when the first of the coupons expires
}

// remindable sorts what is due of coupons that can be used still. Where a user
// is to be told of a template on several days, because nobody was there to do
// it in time, the last of them stands for all.
func (s *Store) remindable(ctx context.Context, t tx, rows []reminder, now time.Time) ([]*dueReminder, error) {
	ids := make([]models.ID, len(rows))
	for i, r := range rows {
		ids[i] = r.coupon
	}
	ids = unique(ids)
	coupons, err := readCoupons(ctx, t, "", "id IN ("+marks(len(ids))+") AND status = 'available' AND expires_at > ?",
		append(anys(ids), millis(now))...)
	if err != nil {
		return nil, err
	}
	of, err := s.termsOf(t.orm.WithContext(ctx), coupons)
	if err != nil {
		return nil, err
	}
	byID := make(map[models.ID]*models.Coupon, len(coupons))
	for i := range coupons {
		byID[coupons[i].ID] = &coupons[i]
	}
	var due dueList
	for _, r := range slices.Backward(rows) { // the last day first
		if c := byID[r.coupon]; c != nil {
			if err := due.add(s, c, of[keyOf(c)], instant(r.due)); err != nil {
				return nil, err
			}
		}
	}
	return due.list, nil
}

// dueList sorts reminders by template and day.
type dueList struct {
	list []*dueReminder
	days map[holder]time.Time // the day on which a user is reminded of a template
}

func (l *dueList) add(s *Store, c *models.Coupon, by *terms, due time.Time) error {
	zone, err := s.zone(by.zone)
	if err != nil {
		return err
	}
	who := holder{c.TemplateID, c.UserID}
	day, known := l.days[who]
	if !known {
		if l.days == nil {
			l.days = map[holder]time.Time{}
		}
		day = models.ReminderDay(due, zone)
		l.days[who] = day
	}
	at := slices.IndexFunc(l.list, func(d *dueReminder) bool { return d.template == c.TemplateID && d.day.Equal(day) })
	if at < 0 {
		at = len(l.list)
		l.list = append(l.list, &dueReminder{c.TemplateID, day, by, zone, map[string]time.Time{}})
	}
	if end, there := l.list[at].ends[c.UserID]; !there || c.ExpiresAt.Before(end) {
		l.list[at].ends[c.UserID] = c.ExpiresAt
	}
	return nil
}

// remind writes the messages of one template on one day. It is the same content
// for all; each is told of the coupon that ends first.
func (s *Store) remind(ctx context.Context, t tx, due *dueReminder, now time.Time) (int, error) {
	var name string
	if err := t.sql.QueryRowContext(ctx, "SELECT name FROM templates WHERE id = ?", due.template).Scan(&name); err != nil {
		return 0, fmt.Errorf("read template %s: %w", due.template, err)
	}
	to := make([]models.Recipient, 0, len(due.ends))
	for _, user := range slices.Sorted(maps.Keys(due.ends)) {
		last := models.LastDay(due.ends[user], due.zone)
		to = append(to, models.Recipient{UserID: user, Facts: models.Facts{models.FactLastDay: last}})
	}
	content := models.Content{
		MerchantID: due.terms.merchantID,
		Name:       fmt.Sprintf("reminder:%s:%s", due.template, due.day.In(due.zone).Format(time.DateOnly)),
		Kind:       models.ContentReminder,
		Notice:     models.ReminderNotice(),
		Facts:      models.Facts{models.FactTemplateName: name},
		About:      map[string]models.ID{"template_id": due.template},
		CreatedAt:  now,
	}
	return s.notify(ctx, t, content, millis(due.day), to)
}
