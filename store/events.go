package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"scrip/models"
)

// eventRow is a row of the outbox.
type eventRow struct {
	id       models.ID
	kind     models.EventType
	merchant string // whose thing it is about
}

// tell writes an event into the outbox, in the transaction of what it tells of.
// A frequent one is left out where nobody listens; whoever takes pains to put
// it together asks anyone and hears first.
func (s *Store) tell(ctx context.Context, t tx, kind models.EventType, merchant string, data any, now time.Time) error {
	if kind.Frequent() && !s.hears(kind, merchant) {
		return nil
	}
	id, err := s.ids.Next()
	if err != nil {
		return err
	}
	payload, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("tell of %s: %w", kind, err)
	}
	return insert(ctx, t, "outbox (id, kind, merchant_id, payload, created_at)", 5,
		[]any{id, kind, merchant, string(payload), millis(now)}, "")
}

// RelayEvents makes deliveries of the oldest events that have none yet, at most
// limit of them, and drops those that nobody wants to hear of. It returns how
// many events it took up.
func (s *Store) RelayEvents(ctx context.Context, limit int) (int, error) {
	taken := 0
	err := s.inTx(ctx, func(t tx) error {
		events, err := s.eventsToRelay(ctx, t, limit)
		taken = len(events)
		if err != nil || taken == 0 {
			return err
		}
		var hooks []webhookRow
		if err := t.orm.WithContext(ctx).Where("state = ?", models.WebhookActive).Find(&hooks).Error; err != nil {
			return fmt.Errorf("read webhooks: %w", err)
		}
		return s.relay(ctx, t, events, hooks)
	})
	if errors.Is(err, errRelayed) {
		return 0, nil
	}
	return taken, err
}

// errRelayed says that another instance is relaying the same events.
var errRelayed = errors.New("another instance is relaying these events")

func (s *Store) eventsToRelay(ctx context.Context, t tx, limit int) ([]eventRow, error) {
	var events []eventRow
	err := query(ctx, t, "SELECT id, kind, merchant_id FROM outbox WHERE relayed_at IS NULL ORDER BY id LIMIT ?", []any{limit},
		func(scan func(...any) error) error {
			var e eventRow
			err := scan(&e.id, &e.kind, &e.merchant)
			events = append(events, e)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	return events, nil
}

func (s *Store) relay(ctx context.Context, t tx, events []eventRow, hooks []webhookRow) error {
	now := millis(s.Now())
	var wanted, unwanted, deliveries []any
	for i := range events {
		e, before := &events[i], len(deliveries)
		for j := range hooks {
			if !hooks[j].wants(e) {
				continue
			}
			id, err := s.ids.Next()
			if err != nil {
				return err
			}
			deliveries = append(deliveries, id, webhookQueue(hooks[j].ID), models.ChannelWebhook, hooks[j].ID, e.id,
				"waiting", now, now)
		}
		if len(deliveries) > before {
			wanted = append(wanted, e.id)
		} else {
			unwanted = append(unwanted, e.id)
		}
	}
	// Whoever changes the events' rows first relays them; the rest is undone.
	if len(wanted) > 0 {
		err := take(ctx, t, len(wanted), "UPDATE outbox SET relayed_at = ? WHERE id IN ("+marks(len(wanted))+") AND relayed_at IS NULL",
			append([]any{now}, wanted...))
		if err != nil {
			return err
		}
	}
	if len(unwanted) > 0 {
		err := take(ctx, t, len(unwanted), "DELETE FROM outbox WHERE id IN ("+marks(len(unwanted))+") AND relayed_at IS NULL", unwanted)
		if err != nil {
			return err
		}
	}
	return insert(ctx, t, "deliveries (id, queue, channel, webhook_id, event_id, state, not_before, created_at)", 8, deliveries, "")
}

// take runs a statement on rows that are ours if it changes all of them;
// errRelayed otherwise.
func take(ctx context.Context, t tx, want int, statement string, args []any) error {
	done, err := t.sql.ExecContext(ctx, statement, args...)
	if err != nil {
		return fmt.Errorf("relay events: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil || n != int64(want) {
		return errors.Join(errRelayed, err)
	}
	return nil
}

func webhookQueue(id models.ID) string { return "webhook:" + id.String() }
