package store

import (
	"context"
	"fmt"
	"time"

	"scrip/models"
)

// Queues finds queues in which something waits, from the one after the given name
// on, at most limit of them, and when the first of each may go out. However
// much waits in one, it is a few steps down an index to the next.
func (s *Store) Queues(ctx context.Context, after string, limit int) ([]models.Queue, error) {
	var queues []models.Queue
	for len(queues) < limit {
		var found models.Queue
		err := query(ctx, s.sql, "SELECT queue, not_before FROM deliveries WHERE queue > ? ORDER BY queue, not_before LIMIT 1",
			[]any{after}, func(scan func(...any) error) error {
				var next int64
				err := scan(&found.Name, &next)
				found.Next = instant(next)
				return err
			})
		if err != nil {
			return nil, fmt.Errorf("look for deliveries: %w", err)
		}
		if found.Name == "" {
			return queues, nil
		}
		queues = append(queues, found)
		after = found.Name
	}
	return queues, nil
}

// LeaseDeliveries takes deliveries of a queue that may go out now, at most limit
// of them, so that nobody else does until the given time. Each comes with all
// that sending it takes. Those to a webhook that is deleted or disabled are
// dropped instead. more reports whether there may be others.
func (s *Store) LeaseDeliveries(ctx context.Context, queue string, until time.Time, limit int) (leased []models.Delivery, more bool, err error) {
	err = s.inTx(ctx, func(t tx) error {
		ids, err := dueIn(ctx, t, queue, s.Now(), limit)
		leased, more = nil, false
		if err != nil || len(ids) == 0 {
			return err
		}
		token, err := s.ids.Next()
		if err != nil {
			return err
		}
		args := append([]any{token, millis(until)}, ids...)
		done, err := t.sql.ExecContext(ctx, "UPDATE deliveries SET token = ?, not_before = ?, attempts = attempts + 1 WHERE id IN ("+
			marks(len(ids))+") AND queue = ? AND not_before <= ?", append(args, queue, millis(s.Now()))...)
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		if err != nil || n == 0 {
			return err // another instance was faster
		}
		more = n == int64(limit)
		channel := models.Channel(queue)
		if channel == models.ChannelMail || channel == models.ChannelSMS {
			leased, err = s.leasedMessages(ctx, t, channel, token, ids)
		} else {
			leased, err = s.leasedEvents(ctx, t, token, ids)
		}
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("lease deliveries of %s: %w", queue, err)
	}
	return leased, more, nil
}

func dueIn(ctx context.Context, t tx, queue string, now time.Time, limit int) ([]any, error) {
	var ids []any
	err := query(ctx, t, "SELECT id FROM deliveries WHERE queue = ? AND not_before <= ? ORDER BY not_before LIMIT ?",
		[]any{queue, millis(now), limit}, func(scan func(...any) error) error {
			var id models.ID
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
	return ids, err
}

// leasedEvents reads what a lease has got, with webhook and event. What has no
// active webhook any more is done with.
func (s *Store) leasedEvents(ctx context.Context, t tx, token models.ID, ids []any) ([]models.Delivery, error) {
	var leased []models.Delivery
	var orphans []any
	err := query(ctx, t, `SELECT d.id, d.attempts, d.created_at, w.id, w.merchant_id, w.url, w.sealed, o.id, o.kind, o.merchant_id,
			o.payload, o.created_at
		FROM deliveries d JOIN outbox o ON o.id = d.event_id LEFT JOIN webhooks w ON w.id = d.webhook_id AND w.state = 'active'
		WHERE d.id IN (`+marks(len(ids))+") AND d.token = ? ORDER BY d.id", append(ids, token),
		func(scan func(...any) error) error {
			var hook models.Webhook
			var hookID *models.ID
			var owner, url *string
			var created, at int64
			d := models.Delivery{Channel: models.ChannelWebhook, Token: token, Event: &models.Event{}}
			err := scan(&d.ID, &d.Attempts, &created, &hookID, &owner, &url, &hook.Sealed, &d.Event.ID, &d.Event.Type,
				&d.Event.MerchantID, (*[]byte)(&d.Event.Data), &at)
			if err != nil {
				return err
			}
			if hookID == nil {
				orphans = append(orphans, d.ID)
				return nil
			}
			hook.ID, hook.MerchantID, hook.URL = *hookID, *owner, *url
			d.Webhook, d.CreatedAt, d.Event.At = &hook, instant(created), instant(at)
			leased = append(leased, d)
			return nil
		})
	if err != nil || len(orphans) == 0 {
		return leased, err
	}
	_, err = t.sql.ExecContext(ctx, "UPDATE deliveries SET state = 'failed', queue = NULL, finished_at = ?, error = ? WHERE id IN ("+
		marks(len(orphans))+")", append([]any{millis(s.Now()), "the webhook was deleted or disabled"}, orphans...)...)
	return leased, err
}

// FinishDelivery notes what came of a leased delivery: it was sent, or never
// will be, or, with a time, is to be tried again then. ok is false when the
// lease was lost meanwhile, and another instance is doing the same.
func (s *Store) FinishDelivery(ctx context.Context, d *models.Delivery, a models.Attempt, again *time.Time) (ok bool, err error) {
	state, queue, finished := "failed", "NULL", any(millis(s.Now()))
	notBefore := s.Now()
	switch {
	case a.Result == models.ResultSent:
		state = "sent"
	case again != nil:
		state, queue, finished, notBefore = "waiting", "queue", nil, *again
	}
	var detail any
	if a.Detail != "" {
		detail = a.Detail
	}
	err = s.inTx(ctx, func(t tx) error {
		done, err := t.sql.ExecContext(ctx, "UPDATE deliveries SET state = ?, queue = "+queue+
			", finished_at = ?, not_before = ?, error = ? WHERE id = ? AND token = ? AND state = 'waiting'",
			state, finished, millis(notBefore), detail, d.ID, d.Token)
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		ok = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("finish delivery %s: %w", d.ID, err)
	}
	return ok, nil
}

// ReturnDeliveries gives leased deliveries back that were not tried, to be tried
// from the given time on.
func (s *Store) ReturnDeliveries(ctx context.Context, untried []models.Delivery, from time.Time) error {
	if len(untried) == 0 {
		return nil
	}
	ids := make([]any, len(untried))
	for i := range untried {
		ids[i] = untried[i].ID
	}
	err := s.inTx(ctx, func(t tx) error {
		_, err := t.sql.ExecContext(ctx, "UPDATE deliveries SET not_before = ?, attempts = attempts - 1 WHERE id IN ("+
			marks(len(ids))+") AND token = ? AND state = 'waiting'",
			append(append([]any{millis(from)}, ids...), untried[0].Token)...)
		return err
	})
	if err != nil {
		return fmt.Errorf("return deliveries: %w", err)
	}
	return nil
}
