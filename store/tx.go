package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"gorm.io/gorm"

	"scrip/models"
)

// tx is an open transaction: through gorm, or for the hot path beneath it.
type tx struct {
	orm *gorm.DB
	sql *sql.Tx
}

// maxAttempts bounds how often a transaction is run that deadlocks or times
// out on a lock.
const maxAttempts = 3

// inTx runs fn in one transaction. The first error rolls everything back: after
// a deadlock the server would take further statements and commit half. On a
// deadlock or lock timeout the whole of fn is run again, so it must start from
// its arguments each time.
//
// An error that wraps models.ErrUnknown says that COMMIT was sent and not
// answered; after any other, nothing was changed.
func (s *Store) inTx(ctx context.Context, fn func(tx) error) error {
	for attempt := 1; ; attempt++ {
		err := s.tryTx(ctx, fn)
		if err == nil || attempt == maxAttempts || !s.dialect.retryable(err) || errors.Is(err, models.ErrUnknown) {
			return err
		}
		select {
		case <-time.After(time.Duration(attempt) * time.Duration(5+rand.IntN(10)) * time.Millisecond): //nolint:gosec // jitter is no secret
		case <-ctx.Done():
			return err
		}
	}
}

func (s *Store) tryTx(ctx context.Context, fn func(tx) error) (err error) {
	unlock, err := s.alone(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	defer func() { err = s.dialect.explain(err) }()
	done, err := s.promptSQL.turn(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer done()
	orm := s.prompt.WithContext(ctx).Begin()
	if orm.Error != nil {
		return fmt.Errorf("begin: %w", orm.Error)
	}
	raw, ok := orm.Statement.ConnPool.(*sql.Tx)
	if !ok {
		return fmt.Errorf("gorm began a transaction of type %T", orm.Statement.ConnPool)
	}
	defer func() { _ = raw.Rollback() }() // after a commit it does nothing
	if err := fn(tx{orm: orm, sql: raw}); err != nil {
		return err
	}
	return commit(raw)
}

// commit tells a commit that was never sent from one whose answer did not come.
func commit(raw *sql.Tx) error {
	err := raw.Commit()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrTxDone), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("out of time before the commit: %w", err)
	default:
		return fmt.Errorf("%w: %w", models.ErrUnknown, err)
	}
}

// alone waits for the write lock where the database has but one, in our own
// queue: SQLite itself would poll for it.
func (s *Store) alone(ctx context.Context) (unlock func(), err error) {
	if s.dialect.writer == nil {
		return func() {}, nil
	}
	select {
	case s.dialect.writer <- struct{}{}:
		return func() { <-s.dialect.writer }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// found turns gorm's "no such row" into the domain's.
func found(err error, what string) error {
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return models.NotFound(what)
	}
	return err
}
