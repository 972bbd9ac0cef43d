package store

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"scrip/models"
)

type apiKeyRow struct {
	ID         models.ID
	Hash       []byte
	Role       models.Role
	MerchantID string
	Name       string
	CreatedAt  int64
}

func (*apiKeyRow) TableName() string { return "api_keys" }

func (r *apiKeyRow) key() (models.APIKey, error) {
	return models.APIKey{
		ID: r.ID, Role: r.Role, MerchantID: r.MerchantID, Name: r.Name, CreatedAt: instant(r.CreatedAt),
	}, nil
}

func (r *apiKeyRow) note(action string) note {
	return note{
		action: action, resource: "api_key", id: r.ID, merchantID: r.MerchantID,
		detail: map[string]any{"role": r.Role, "name": r.Name},
	}
}

// CreateAPIKey stores a credential under the hash of its secret.
func (s *Store) CreateAPIKey(ctx context.Context, op models.Op, key models.APIKey, hash [32]byte) (models.APIKey, error) {
	return change(ctx, s, op, func(t tx) (models.APIKey, note, error) {
		id, err := s.ids.Next()
		if err != nil {
			return key, note{}, err
		}
		key.ID, key.CreatedAt = id, op.At
		row := apiKeyRow{
			ID: id, Hash: hash[:], Role: key.Role, MerchantID: key.MerchantID, Name: key.Name, CreatedAt: millis(op.At),
		}
		if err := t.orm.Create(&row).Error; err != nil {
			return key, note{}, fmt.Errorf("create api key: %w", err)
		}
		return key, row.note("api_key.create"), nil
	})
}

// APIKeys lists credentials, newest first.
func (s *Store) APIKeys(ctx context.Context, actor models.Principal, page models.Page) ([]models.APIKey, error) {
	var rows []apiKeyRow
	if err := paged(owned(s.orm.WithContext(ctx), actor), "id", page).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list api keys: %w", err)
	}
	return convert(rows, (*apiKeyRow).key)
}

// DeleteAPIKey ends a credential. It returns the hash, so that copies of it can
// be forgotten.
func (s *Store) DeleteAPIKey(ctx context.Context, op models.Op, id models.ID) ([32]byte, error) {
	return change(ctx, s, op, func(t tx) (hash [32]byte, what note, err error) {
		var row apiKeyRow
		err = locking(t).Where("id = ?", id).Take(&row).Error
		if err == nil && !op.Actor.Owns(row.MerchantID) {
			err = gorm.ErrRecordNotFound
		}
		if err != nil {
			return hash, note{}, found(err, "api key")
		}
		if err := t.orm.Where("id = ?", id).Delete(&apiKeyRow{}).Error; err != nil {
			return hash, note{}, fmt.Errorf("delete api key: %w", err)
		}
		return [32]byte(row.Hash), row.note("api_key.delete"), nil
	})
}

// KeyByHash tells who calls with the secret of this hash; unauthorized if
// nobody does.
func (s *Store) KeyByHash(ctx context.Context, hash [32]byte) (models.Principal, error) {
	var row apiKeyRow
	err := s.prompt.WithContext(ctx).Where("hash = ?", hash[:]).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return models.Principal{}, models.Refuse(models.CodeUnauthorized, "this API key is not known")
	}
	if err != nil {
		return models.Principal{}, fmt.Errorf("look up api key: %w", err)
	}
	return models.Principal{Role: row.Role, MerchantID: row.MerchantID, Credential: "key:" + row.ID.String()}, nil
}

// HasAPIKeys reports whether any credential was ever made here.
func (s *Store) HasAPIKeys(ctx context.Context) (bool, error) {
	var n int64
	err := s.orm.WithContext(ctx).Model(&apiKeyRow{}).Limit(1).Count(&n).Error
	return n > 0, err
}
