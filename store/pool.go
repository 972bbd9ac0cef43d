package store

import (
	"context"
	"database/sql"
	"fmt"

	"golang.org/x/sync/semaphore"
	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/logger"
)

// pool is a number of connections that are waited for in the order of arrival.
// database/sql itself serves who waits in no order at all, and under load some of
// them after everybody who came later.
type pool struct {
	*sql.DB

	turns *semaphore.Weighted
}

func openPool(ctx context.Context, opts Options) (p pool, d dialect, err error) {
	if opts.DSN != "" {
		p.DB, d, err = openMySQL(opts)
	} else {
		p.DB, d, err = openSQLite(ctx, opts)
	}
	p.turns = semaphore.NewWeighted(int64(opts.MaxOpenConns))
	return p, d, err
}

// turn waits until there is a connection, and returns what gives it back.
func (p pool) turn(ctx context.Context) (done func(), err error) {
	if err := p.turns.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { p.turns.Release(1) }, nil
}

// row reads one row; sql.ErrNoRows if there is none.
func (p pool) row(ctx context.Context, statement string, args []any, columns ...any) error {
	done, err := p.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	return p.QueryRowContext(ctx, statement, args...).Scan(columns...)
}

// over puts gorm on top of a pool.
func (d dialect) over(p pool) (*gorm.DB, error) {
	orm, err := gorm.Open(translating{d.open(p.DB), d}, &gorm.Config{
		SkipDefaultTransaction: true,
		TranslateError:         true,
		DisableAutomaticPing:   true,
		Logger:                 logger.Discard,
	})
	if err == nil {
		err = orm.Callback().Query().Replace("gorm:query", p.find)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", d.name, err)
	}
	return orm, nil
}

// find is gorm's own query, in its turn. A transaction has its connection already.
func (p pool) find(db *gorm.DB) {
	if _, open := db.Statement.ConnPool.(gorm.TxCommitter); !open {
		done, err := p.turn(db.Statement.Context)
		if err != nil {
			_ = db.AddError(err) // returns what it keeps
			return
		}
		defer done()
	}
	callbacks.Query(db)
}
