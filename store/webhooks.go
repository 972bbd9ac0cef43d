package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"scrip/models"
)

type webhookRow struct {
	ID         models.ID
	MerchantID string
	URL        string             `gorm:"column:url"`
	Events     []models.EventType `gorm:"serializer:json"`
	Sealed     []byte
	State      models.WebhookState
	CreatedAt  int64 `gorm:"autoCreateTime:false"`
	DisabledAt *int64
}

func (*webhookRow) TableName() string { return "webhooks" }

// webhook is the row without its secret, which only deliveries need.
func (r *webhookRow) webhook() (models.Webhook, error) {
	w := models.Webhook{
		ID: r.ID, MerchantID: r.MerchantID, URL: r.URL, Events: r.Events, State: r.State, CreatedAt: instant(r.CreatedAt),
	}
	if r.DisabledAt != nil {
		w.DisabledAt = new(instant(*r.DisabledAt))
	}
	return w, nil
}

func (r *webhookRow) note(action string) note {
	return note{
		action: action, resource: "webhook", id: r.ID, merchantID: r.MerchantID,
		detail: map[string]any{"url": r.URL, "events": r.Events},
	}
}

// CreateWebhook stores a webhook, whose secret seal hides, given the id under
// which it is kept. From the answer on it hears of what happens on this instance,
// and on the others once they have looked; see ListenFor.
func (s *Store) CreateWebhook(ctx context.Context, op models.Op, w models.Webhook, seal func(models.ID) []byte) (models.Webhook, error) {
	made, err := change(ctx, s, op, func(t tx) (models.Webhook, note, error) {
		var have int64
		if err := t.orm.Model(&webhookRow{}).Where("merchant_id = ?", w.MerchantID).Count(&have).Error; err != nil {
			return w, note{}, fmt.Errorf("count webhooks: %w", err)
		}
		if have >= models.MaxWebhooks {
			return w, note{}, models.Refuse(models.CodeWrongState, "there are %d webhooks already, as many as there may be", have)
		}
		id, err := s.ids.Next()
		if err != nil {
			return w, note{}, err
		}
		w.ID, w.State, w.CreatedAt = id, models.WebhookActive, op.At
		row := webhookRow{
			ID: id, MerchantID: w.MerchantID, URL: w.URL, Events: w.Events, Sealed: seal(id),
			State: w.State, CreatedAt: millis(w.CreatedAt),
		}
		if err := t.orm.Create(&row).Error; err != nil {
			return w, note{}, fmt.Errorf("create webhook: %w", err)
		}
		return w, row.note("webhook.create"), nil
	})
	if err != nil {
		return made, err
	}
	return made, s.ListenFor(ctx)
}

// Webhooks lists webhooks, newest first, without their secrets.
func (s *Store) Webhooks(ctx context.Context, actor models.Principal, page models.Page) ([]models.Webhook, error) {
	var rows []webhookRow
	if err := paged(owned(s.orm.WithContext(ctx), actor), "id", page).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	return convert(rows, (*webhookRow).webhook)
}

// DeleteWebhook ends a webhook. What waits to be delivered to it is dropped by
// the next instance that comes to it.
func (s *Store) DeleteWebhook(ctx context.Context, op models.Op, id models.ID) error {
	_, err := change(ctx, s, op, func(t tx) (none struct{}, what note, err error) {
		var row webhookRow
		err = locking(t).Where("id = ?", id).Take(&row).Error
		if err == nil && !op.Actor.Owns(row.MerchantID) {
			err = gorm.ErrRecordNotFound
		}
		if err != nil {
			return none, note{}, found(err, "webhook")
		}
		if err := t.orm.Where("id = ?", id).Delete(&webhookRow{}).Error; err != nil {
			return none, note{}, fmt.Errorf("delete webhook: %w", err)
		}
		return none, row.note("webhook.delete"), nil
	})
	if err != nil {
		return err
	}
	return s.ListenFor(ctx)
}

// SealedSecrets lists the secrets of webhooks as they are kept, in the order of
// the webhooks' making, from after the given one on.
func (s *Store) SealedSecrets(ctx context.Context, after models.ID, limit int) ([]models.Webhook, error) {
	var hooks []models.Webhook
	err := query(ctx, s.sql, "SELECT id, sealed FROM webhooks WHERE id > ? ORDER BY id LIMIT ?", []any{after, limit},
		func(scan func(...any) error) error {
			var hook models.Webhook
			err := scan(&hook.ID, &hook.Sealed)
			hooks = append(hooks, hook)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read sealed secrets: %w", s.dialect.explain(err))
	}
	return hooks, nil
}

// ResealSecret replaces the way in which a webhook's secret is kept, unless
// somebody has replaced it meanwhile.
func (s *Store) ResealSecret(ctx context.Context, id models.ID, was, is []byte) error {
	return s.inTx(ctx, func(t tx) error {
		_, err := t.sql.ExecContext(ctx, "UPDATE webhooks SET sealed = ? WHERE id = ? AND sealed = ?", is, id, was)
		return err
	})
}

// DisableWebhook ends a webhook whose server is gone. Its row stays, so that its
// owner sees why it hears nothing.
func (s *Store) DisableWebhook(ctx context.Context, id models.ID) error {
	err := s.inTx(ctx, func(t tx) error {
		_, err := t.sql.ExecContext(ctx, "UPDATE webhooks SET state = 'disabled', disabled_at = ? WHERE id = ? AND state = 'active'",
			millis(s.Now()), id)
		return err
	})
	if err != nil {
		return fmt.Errorf("disable webhook: %w", err)
	}
	return s.ListenFor(ctx)
}

// listeners is whose events somebody wants to hear of, by type and merchant; a
// listener of merchant "" hears of all.
type listeners map[models.EventType]map[string]bool

// ListenFor looks which events anybody wants to hear of. Claims and orders go by
// what the last look found, and so cost nothing where nobody listens; every
// instance has to look again and again.
func (s *Store) ListenFor(ctx context.Context) error {
	found := listeners{}
	err := query(ctx, s.sql, "SELECT merchant_id, events FROM webhooks WHERE state = 'active'", nil,
		func(scan func(...any) error) error {
			var merchant string
			var text []byte
			if err := scan(&merchant, &text); err != nil {
				return err
			}
			var events []models.EventType
			if err := json.Unmarshal(text, &events); err != nil {
				return err
			}
			for _, event := range events {
				if found[event] == nil {
					found[event] = map[string]bool{}
				}
				found[event][merchant] = true
			}
			return nil
		})
	if err != nil {
		return fmt.Errorf("read webhooks: %w", err)
	}
	s.listeners.Store(&found)
	return nil
}

// anyone reports whether anybody listens to events of a type.
func (s *Store) anyone(event models.EventType) bool { return len((*s.listeners.Load())[event]) > 0 }

// hears reports whether anybody listens to events of a type about a merchant's
// things.
func (s *Store) hears(event models.EventType, merchant string) bool {
	who := (*s.listeners.Load())[event]
	return who[merchant] || who[""]
}

// wants reports whether a webhook is to be told of an event.
func (r *webhookRow) wants(e *eventRow) bool {
	return (r.MerchantID == "" || r.MerchantID == e.merchant) && slices.Contains(r.Events, e.kind)
}
