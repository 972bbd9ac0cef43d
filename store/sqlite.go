package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// FileName is SQLite's file in the data folder.
const FileName = "scrip.db"

func openSQLite(ctx context.Context, opts Options) (*sql.DB, dialect, error) {
	if err := os.MkdirAll(opts.DataDir, 0o750); err != nil {
		return nil, dialect{}, fmt.Errorf("data_dir: %w", err)
	}
	// FULL: a commit is on the disk before it is acknowledged, in WAL mode too.
	// immediate: a transaction takes the write lock when it begins, so that it
	// can never fail half way for want of it.
	params := url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}
	path := filepath.Join(opts.DataDir, FileName)
	pool, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+params.Encode())
	if err != nil {
		return nil, dialect{}, fmt.Errorf("open %s: %w", path, err)
	}
	pool.SetMaxOpenConns(opts.MaxOpenConns)
	pool.SetMaxIdleConns(opts.MaxOpenConns)
	// Whoever else opens a new file is switching it to WAL, for which SQLite
	// does not wait.
	err = patiently(ctx, pool.PingContext, func(err error) bool { return isSQLite(err, sqlite3.SQLITE_BUSY) })
	if err != nil {
		return nil, dialect{}, errors.Join(fmt.Errorf("open %s: %w", path, err), pool.Close())
	}
	return pool, sqliteDialect(), nil
}

// patiently tries again, a few times, while somebody else on the same file is in
// the way.
func patiently(ctx context.Context, try func(context.Context) error, inTheWay func(error) bool) error {
	const tries, pause = 25, 200 * time.Millisecond
	for n := 1; ; n++ {
		err := try(ctx)
		if err == nil || n == tries || !inTheWay(err) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

func sqliteDialect() dialect {
	return dialect{
		name:      "sqlite",
		orKeep:    " ON CONFLICT DO NOTHING",
		nowMillis: "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
		retryable: func(err error) bool { return isSQLite(err, sqlite3.SQLITE_BUSY) },
		duplicate: func(err error) bool {
			return isSQLite(err, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
		},
		refused: func(err error) bool {
			var failure *sqlite.Error
			return errors.As(err, &failure)
		},
		away: func(err error) bool {
			return isSQLite(err, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_INTERRUPT)
		},
		writer: make(chan struct{}, 1),
		open:   func(pool *sql.DB) gorm.Dialector { return sqliteDialector{pool} },
	}
}

func isSQLite(err error, codes ...int) bool {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return false
	}
	const primary = 0xff // the low byte is the code, the rest tells it in more detail
	for _, code := range codes {
		if failure.Code() == code || failure.Code()&primary == code {
			return true
		}
	}
	return false
}

// sqliteDialector is the little of a gorm dialect that Scrip needs: the schema
// comes from SQL files, so gorm never has to name a type.
type sqliteDialector struct{ pool *sql.DB }

var errNoAutoMigrate = errors.New("the schema is made by the files in migrations/")

func (sqliteDialector) Name() string { return "sqlite" }

func (d sqliteDialector) Initialize(db *gorm.DB) error {
	db.ConnPool = d.pool
	callbacks.RegisterDefaultCallbacks(db, &callbacks.Config{})
	return nil
}

func (sqliteDialector) Migrator(db *gorm.DB) gorm.Migrator {
	_ = db.AddError(errNoAutoMigrate)
	return nil
}

func (sqliteDialector) DataTypeOf(*schema.Field) string { return "" }

func (sqliteDialector) DefaultValueOf(*schema.Field) clause.Expression {
	return clause.Expr{SQL: "NULL"}
}

func (sqliteDialector) BindVarTo(w clause.Writer, _ *gorm.Statement, _ any) { _ = w.WriteByte('?') }

func (sqliteDialector) QuoteTo(w clause.Writer, name string) {
	_, _ = w.WriteString("`" + strings.ReplaceAll(name, ".", "`.`") + "`")
}

func (sqliteDialector) Explain(query string, _ ...any) string { return query }
