package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"gorm.io/gorm"

	"scrip/models"
)

type userRow struct {
	MerchantID   string
	UserID       string
	Locale       string
	Email        string
	Phone        string
	LastActiveAt *int64
	CreatedAt    int64 `gorm:"autoCreateTime:false"`
	UpdatedAt    int64 `gorm:"autoUpdateTime:false"`
}

func (*userRow) TableName() string { return "users" }

func (r *userRow) user(tags []string) models.User {
	u := models.User{
		MerchantID: r.MerchantID, UserID: r.UserID, Tags: tags, Locale: r.Locale, Email: r.Email, Phone: r.Phone,
		CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt),
	}
	if r.LastActiveAt != nil {
		u.LastActiveAt = new(instant(*r.LastActiveAt))
	}
	return u
}

// User reads what a merchant, or with "" the platform, knows of a user.
func (s *Store) User(ctx context.Context, merchantID, userID string) (models.User, error) {
	row, err := userOf(s.orm.WithContext(ctx), merchantID, userID)
	if err != nil {
		return models.User{}, err
	}
	tags, err := tagsOf(ctx, s.sql, merchantID, []string{userID})
	return row.user(tags[userID]), err
}

func userOf(orm *gorm.DB, merchantID, userID string) (userRow, error) {
	var row userRow
	err := orm.Where("merchant_id = ? AND user_id = ?", merchantID, userID).Take(&row).Error
	return row, found(err, "user")
}

// PutUser stores all that is known of one user, in place of what was known
// before. made says that nothing was.
func (s *Store) PutUser(ctx context.Context, op models.Op, user models.User) (stored models.User, made bool, err error) {
	stored, err = change(ctx, s, op, func(t tx) (models.User, note, error) {
		_, err := userOf(t.orm, user.MerchantID, user.UserID)
		if made = models.IsCode(err, models.CodeNotFound); err != nil && !made {
			return models.User{}, note{}, err
		}
		if err := s.writeUsers(ctx, t, op, user.MerchantID, []models.User{user}); err != nil {
			return models.User{}, note{}, err
		}
		row, err := userOf(t.orm, user.MerchantID, user.UserID)
		return row.user(user.Tags), note{
			action: "user.put", resource: "user", merchantID: user.MerchantID, detail: map[string]any{"user_id": user.UserID},
		}, err
	})
	return stored, made, err
}

// ImportUsers stores users as PutUser does, a batch of them, none twice, in one
// transaction with one audit entry.
func (s *Store) ImportUsers(ctx context.Context, op models.Op, merchantID string, users []models.User) error {
	slices.SortFunc(users, func(a, b models.User) int { return cmp.Compare(a.UserID, b.UserID) })
	op.Key = nil // of the whole import
	_, err := change(ctx, s, op, func(t tx) (struct{}, note, error) {
		return struct{}{}, note{
			action: "user.import", resource: "user", merchantID: merchantID, detail: map[string]any{"users": len(users)},
		}, s.writeUsers(ctx, t, op, merchantID, users)
	})
	return err
}

// writeUsers writes users in the order of their ids; so two imports of the same
// users do not wait for each other in a circle.
func (s *Store) writeUsers(ctx context.Context, t tx, op models.Op, merchantID string, users []models.User) error {
	const columns = 8
	args := make([]any, 0, columns*len(users))
	for i := range users {
		u := &users[i]
		var active *int64
		if u.LastActiveAt != nil {
			active = new(millis(*u.LastActiveAt))
		}
		args = append(args, merchantID, u.UserID, u.Locale, u.Email, u.Phone, active, millis(op.At), millis(op.At))
	}
	err := insert(ctx, t, "users (merchant_id, user_id, locale, email, phone, last_active_at, created_at, updated_at)", columns, args,
		s.dialect.overwrite("merchant_id, user_id", "locale", "email", "phone", "last_active_at", "updated_at"))
	if err != nil {
		return err
	}
	return replaceTags(ctx, t, merchantID, users)
}

// replaceTags brings the tags of users, whose rows are locked, to what they are
// to be, and touches none that stays.
func replaceTags(ctx context.Context, t tx, merchantID string, users []models.User) error {
	ids := make([]string, len(users))
	for i := range users {
		ids[i] = users[i].UserID
	}
	had, err := tagsOf(ctx, t, merchantID, ids)
	if err != nil {
		return err
	}
	gone := map[string][]any{} // users, by tag
	var added []any
	for i := range users {
		u := &users[i]
		for _, tag := range had[u.UserID] {
			if !slices.Contains(u.Tags, tag) {
				gone[tag] = append(gone[tag], u.UserID)
			}
		}
		for _, tag := range u.Tags {
			if !slices.Contains(had[u.UserID], tag) {
				added = append(added, merchantID, tag, u.UserID)
			}
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(gone)) {
		_, err := t.sql.ExecContext(ctx, "DELETE FROM user_tags WHERE merchant_id = ? AND tag = ? AND user_id IN ("+marks(len(gone[tag]))+")",
			append([]any{merchantID, tag}, gone[tag]...)...)
		if err != nil {
			return fmt.Errorf("remove tags: %w", err)
		}
	}
	return insert(ctx, t, "user_tags (merchant_id, tag, user_id)", 3, added, "")
}

// tagsOf reads the tags of users of one merchant, sorted, by user.
func tagsOf(ctx context.Context, q querier, merchantID string, users []string) (map[string][]string, error) {
	of := make(map[string][]string, len(users))
	err := query(ctx, q, "SELECT user_id, tag FROM user_tags WHERE merchant_id = ? AND user_id IN ("+marks(len(users))+") ORDER BY user_id, tag",
		append([]any{merchantID}, anys(users)...),
		func(scan func(...any) error) error {
			var user, tag string
			err := scan(&user, &tag)
			of[user] = append(of[user], tag)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read tags: %w", err)
	}
	return of, nil
}

// StoredTags reads a user's tags by the merchant who gave them, "" for the
// platform.
func (s *Store) StoredTags(ctx context.Context, userID string) (map[string][]string, error) {
	by := map[string][]string{}
	err := query(ctx, s.sql, "SELECT merchant_id, tag FROM user_tags WHERE user_id = ?", []any{userID},
		func(scan func(...any) error) error {
			var merchant, tag string
			err := scan(&merchant, &tag)
			by[merchant] = append(by[merchant], tag)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read a user's tags: %w", err)
	}
	return by, nil
}
