package store

import (
	"context"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"scrip/migrations"
)

// How often, and how many times, to ask for the lock while another instance
// migrates: a minute in all.
const (
	lockRetry = 200 * time.Millisecond
	lockTries = 300
)

// migrate brings the schema up to date, one instance at a time, and returns
// the number of steps taken.
func (s *Store) migrate(ctx context.Context) (int, error) {
	files, err := migrations.Dialect(s.dialect.name)
	if err != nil {
		return 0, fmt.Errorf("migrations: %w", err)
	}
	kind, options := goose.DialectSQLite3, []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if s.dialect.name == "mysql" {
		locker, err := lock.NewMySQLTableLocker(lock.WithTableLockTimeout(lockRetry, lockTries))
		if err != nil {
			return 0, fmt.Errorf("migrations: %w", err)
		}
		kind, options = goose.DialectMySQL, append(options, goose.WithLocker(locker))
	}
	provider, err := goose.NewProvider(kind, s.sql.DB, files, options...)
	if err != nil {
		return 0, fmt.Errorf("migrations: %w", err)
	}
	// Most starts find nothing to do, and need not wait for the lock to see it.
	if pending, err := provider.HasPending(ctx); err == nil && !pending {
		return 0, nil
	}
	var steps []*goose.MigrationResult
	up := func(ctx context.Context) (err error) {
		steps, err = provider.Up(ctx)
		return err
	}
	// On SQLite goose has no lock. Whoever comes second fails on what the first
	// one made, rolls back, and finds it done the next time.
	err = patiently(ctx, up, func(error) bool { return s.dialect.name == "sqlite" })
	if err != nil {
		return 0, fmt.Errorf("migrations: %w", err)
	}
	return len(steps), nil
}
