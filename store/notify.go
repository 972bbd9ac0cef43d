package store

import (
	"context"
	"encoding/json"
	"fmt"

	"scrip/models"
)

// notify stores a content, unless there is one of its name already, and a message
// of it for each of the users who has none yet of that occasion. It returns how
// many it made.
func (s *Store) notify(ctx context.Context, t tx, c models.Content, occasion int64, to []models.Recipient) (int, error) {
	content, err := s.storeContent(ctx, t, &c)
	if err != nil {
		return 0, fmt.Errorf("store the content %s: %w", c.Name, err)
	}
	known, err := informed(ctx, t, content, occasion, to)
	if err != nil {
		return 0, fmt.Errorf("look who was told already: %w", err)
	}
	const columns = 7
	args := make([]any, 0, columns*len(to))
	for _, r := range to {
		if known[r.UserID] {
			continue
		}
		id, err := s.ids.Next()
		if err != nil {
			return 0, err
		}
		facts, err := json.Marshal(r.Facts)
		if err != nil {
			return 0, err
		}
		args = append(args, r.UserID, id, content, occasion, string(facts), true, millis(c.CreatedAt))
	}
	return len(args) / columns, insert(ctx, t, "messages (user_id, id, content_id, occasion, facts, inbox, created_at)", columns, args, "")
}

func (s *Store) storeContent(ctx context.Context, t tx, c *models.Content) (models.ID, error) {
	id, err := s.ids.Next()
	if err != nil {
		return 0, err
	}
	args := []any{id, c.MerchantID, c.Name, c.Kind, millis(c.CreatedAt)}
	for _, part := range []any{c.Notice, c.Facts, c.About} {
		text, err := json.Marshal(part)
		if err != nil {
			return 0, err
		}
		args = append(args, string(text))
	}
	err = insert(ctx, t, "message_contents (id, merchant_id, name, kind, created_at, notice, facts, about)", len(args), args, s.dialect.keep("id"))
	if err != nil {
		return 0, err
	}
	err = t.sql.QueryRowContext(ctx, "SELECT id FROM message_contents WHERE name = ?", c.Name).Scan(&id)
	return id, err
}

// informed finds those of the users who have a message of the content and
// occasion.
func informed(ctx context.Context, t tx, content models.ID, occasion int64, to []models.Recipient) (map[string]bool, error) {
	args := make([]any, len(to), len(to)+2)
	for i := range to {
		args[i] = to[i].UserID
	}
	known := map[string]bool{}
	err := query(ctx, t, "SELECT user_id FROM messages WHERE user_id IN ("+marks(len(to))+") AND content_id = ? AND occasion = ?",
		append(args, content, occasion), func(scan func(...any) error) error {
			var user string
			err := scan(&user)
			known[user] = true
			return err
		})
	return known, err
}
