package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"scrip/models"
)

// note is what the audit log keeps of a change.
type note struct {
	action     string // as in "template.pause"; "" when nothing was changed
	resource   string
	id         models.ID
	merchantID string // whose thing it is
	detail     map[string]any
}

// change makes one change on somebody's behalf: fn, the audit row and the
// idempotency record are one transaction. A retry of a request that was
// answered before gets that answer, as a *models.Replay error.
func change[T any](ctx context.Context, s *Store, op models.Op, fn func(tx) (T, note, error)) (T, error) {
	var result T
	err := s.inTx(ctx, func(t tx) error {
		if err := s.findReplay(ctx, t, op.Key); err != nil {
			return err
		}
		made, what, err := fn(t)
		if err != nil {
			return err
		}
		result = made
		if err := s.audit(t, op, what); err != nil {
			return err
		}
		return s.remember(ctx, t, op, result, nil)
	})
	if op.Key != nil && s.dialect.duplicate(err) {
		// The same request, twice at once: the other one was first.
		return result, s.AnsweredBefore(ctx, op.Key, err)
	}
	var refusal *models.Error
	if op.Key != nil && errors.As(err, &refusal) {
		return result, s.rememberRefusal(ctx, op, refusal)
	}
	return result, err
}

// rememberRefusal keeps a refusal, which changed nothing and was rolled back,
// for a retry with the same key.
func (s *Store) rememberRefusal(ctx context.Context, op models.Op, refusal *models.Error) error {
	err := s.inTx(ctx, func(t tx) error { return s.remember(ctx, t, op, nil, refusal) })
	if s.dialect.duplicate(err) {
		return s.AnsweredBefore(ctx, op.Key, refusal)
	}
	return errors.Join(refusal, err)
}

// AnsweredBefore returns the answer that is kept under the key, as an error, or
// failing that the given error. A nil key keeps nothing.
func (s *Store) AnsweredBefore(ctx context.Context, key *models.IdempotencyKey, otherwise error) error {
	if key == nil {
		return otherwise
	}
	err := s.inTx(ctx, func(t tx) error { return s.findReplay(ctx, t, key) })
	if err == nil {
		return otherwise
	}
	return err
}

type auditRow struct {
	ID         models.ID
	At         int64
	Actor      string
	Role       models.Role
	MerchantID string
	Action     string
	Resource   string
	ResourceID models.ID
	RequestID  string
	Detail     *string
}

func (*auditRow) TableName() string { return "audit_log" }

func (s *Store) audit(t tx, op models.Op, what note) error {
	if what.action == "" {
		return nil
	}
	id, err := s.ids.Next()
	if err != nil {
		return err
	}
	row := auditRow{
		ID: id, At: millis(op.At), Actor: op.Actor.Credential, Role: op.Actor.Role,
		MerchantID: what.merchantID, Action: what.action, Resource: what.resource,
		ResourceID: what.id, RequestID: op.RequestID,
	}
	if what.detail != nil {
		text, err := json.Marshal(what.detail)
		if err != nil {
			return fmt.Errorf("audit detail: %w", err)
		}
		row.Detail = new(string(text))
	}
	return t.orm.Create(&row).Error
}

// Audit lists changes, newest first: the actor's own merchant's, or all for
// the platform.
func (s *Store) Audit(ctx context.Context, actor models.Principal, filter models.AuditFilter, page models.Page) ([]models.AuditEntry, error) {
	query := owned(s.orm.WithContext(ctx), actor)
	query = equals(query, "resource", filter.Resource)
	query = equals(query, "resource_id", filter.ResourceID)
	query = equals(query, "action", filter.Action)
	var rows []auditRow
	if err := paged(query, "id", page).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list audit log: %w", err)
	}
	return convert(rows, (*auditRow).entry)
}

func (r *auditRow) entry() (models.AuditEntry, error) {
	entry := models.AuditEntry{
		ID: r.ID, At: instant(r.At), Actor: r.Actor, Role: r.Role, MerchantID: r.MerchantID,
		Action: r.Action, Resource: r.Resource, ResourceID: r.ResourceID, RequestID: r.RequestID,
	}
	if r.Detail == nil {
		return entry, nil
	}
	return entry, json.Unmarshal([]byte(*r.Detail), &entry.Detail)
}
