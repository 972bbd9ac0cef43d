package store

import "context"

// Exec runs a statement past all that the store takes care of.
func (s *Store) Exec(ctx context.Context, statement string, args ...any) error {
	_, err := s.sql.ExecContext(ctx, statement, args...)
	return err
}

// Texts reads the rows of one column.
func (s *Store) Texts(ctx context.Context, statement string, args ...any) ([]string, error) {
	var texts []string
	err := query(ctx, s.sql, statement, args, func(scan func(...any) error) error {
		var text string
		err := scan(&text)
		texts = append(texts, text)
		return err
	})
	return texts, err
}
