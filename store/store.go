// Package store holds all SQL. Each method is one business transaction, named
// after the act; nothing half-open leaves the package, and driver errors leave
// it as domain errors. MySQL (or MariaDB) decides in production, SQLite in the
// embedded default; the code is the same for both but for the few lines in
// mysql.go and sqlite.go.
package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gorm.io/gorm"

	"scrip/models"
)

// Options say which database to open.
type Options struct {
	DSN          string // of MySQL; empty for SQLite
	DataDir      string // where SQLite keeps its file
	MaxOpenConns int    // half of them for transactions, half for all other reading; at least one each
	AllowUnsafe  bool   // open a MySQL that may lose what it acknowledged
	Patient      bool   // MySQL may take as long for one answer as it takes to go through all of a table
	Log          *slog.Logger
	Channels     []models.Channel // by which users are told something beside the inbox
	ActiveFor    time.Duration    // users known to be away for longer are told nothing; 0: all are told

	// Clock replaces the database's own, in tests.
	Clock models.Clock
}

// Store is an open database. It is safe for concurrent use.
type Store struct {
	orm     *gorm.DB
	sql     pool
	dialect dialect

	// Transactions, and the few reads that every claim or lock waits for, have
	// connections of their own: however many others read lists, nobody who
	// changes something stands in line behind them.
	prompt    *gorm.DB
	promptSQL pool

	log    *slog.Logger
	clock  models.Clock
	skew   atomic.Int64 // how far the database's clock is ahead of ours, in nanoseconds
	bounds clockBounds  // between which that lies
	ids    *models.IDSource
	worker *workerLease

	terms     termsCache
	zones     sync.Map // *time.Location by name
	listeners atomic.Pointer[listeners]
	channels  []models.Channel // mail and SMS, as far as they are set up
	activeFor time.Duration
}

// dialect is what differs between the databases.
type dialect struct {
	name      string
	forUpdate string                       // appended to a SELECT that must lock its rows
	orKeep    string                       // appended to an INSERT that leaves an existing row alone; $key is any column
	nowMillis string                       // the database's clock
	retryable func(error) bool             // roll back, and run the whole transaction again
	duplicate func(error) bool             // a unique key is there already
	refused   func(error) bool             // the database answered, and it was no
	away      func(error) bool             // the database cannot do its work just now
	writer    chan struct{}                // SQLite: one writer at a time; nil elsewhere
	open      func(*sql.DB) gorm.Dialector // over an open pool
}

// Open connects, checks that the server is safe, brings the schema up to date
// and leases a worker number for ids.
func Open(ctx context.Context, opts Options) (*Store, error) {
	s, err := connect(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.closePools())
	}
	return s, nil
}

// Migrate brings the schema up to date and reports how many steps that took.
func Migrate(ctx context.Context, opts Options) (int, error) {
	s, err := connect(ctx, opts)
	if err != nil {
		return 0, err
	}
	steps, err := s.migrate(ctx)
	return steps, errors.Join(err, s.closePools())
}

func connect(ctx context.Context, opts Options) (*Store, error) {
	opts.MaxOpenConns = max(1, opts.MaxOpenConns/2)
	s := &Store{log: opts.Log, clock: opts.Clock, channels: opts.Channels, activeFor: opts.ActiveFor}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.sql, s.dialect, err = openPool(ctx, opts); err != nil {
		return nil, err
	}
	if err := s.vet(ctx, opts.AllowUnsafe); err != nil {
		return nil, errors.Join(err, s.sql.Close())
	}
	if s.promptSQL, _, err = openPool(ctx, opts); err != nil {
		return nil, errors.Join(err, s.sql.Close())
	}
	s.orm, err = s.dialect.over(s.sql)
	if err == nil {
		s.prompt, err = s.dialect.over(s.promptSQL)
	}
	if err != nil {
		return nil, errors.Join(err, s.closePools())
	}
	return s, nil
}

func (s *Store) closePools() error { return errors.Join(s.promptSQL.Close(), s.sql.Close()) }

func (s *Store) start(ctx context.Context) error {
	if _, err := s.migrate(ctx); err != nil {
		return err
	}
	if err := s.SyncClock(ctx); err != nil {
		return err
	}
	if err := s.ListenFor(ctx); err != nil {
		return err
	}
	return s.leaseWorker(ctx)
}

// Close gives the worker number back and closes the pools.
func (s *Store) Close(ctx context.Context) error {
	return errors.Join(s.worker.release(ctx), s.closePools())
}

// Name is the kind of database: "mysql" or "sqlite".
func (s *Store) Name() string { return s.dialect.name }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.sql.PingContext(ctx) }

// keep is the end of an INSERT that leaves a row alone which is there already.
func (d dialect) keep(column string) string { return strings.ReplaceAll(d.orKeep, "$key", column) }

func millis(t time.Time) int64 { return t.UnixMilli() }

func instant(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// NextID makes an id. models.ErrNoWorker while this instance has no worker number.
func (s *Store) NextID() (models.ID, error) { return s.ids.Next() }
