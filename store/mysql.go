package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	gormmysql "gorm.io/driver/mysql"
	"gorm.io/gorm"
)

// Server error numbers; the same on MySQL, MariaDB and TiDB unless noted.
const (
	errDuplicate     = 1062
	errLockTimeout   = 1205
	errDeadlock      = 1213
	errRecordChanged = 1020 // MariaDB, snapshot isolation
	errLockNowait    = 3572
	errTiDBConflict  = 9007
	errTiDBBusy      = 9004
	errTooManyConns  = 1040
	errShutdown      = 1053
	errKilled        = 1317
	errReadOnly      = 1290 // a primary that has just become a replica
	errConnKilled    = 1927 // MariaDB
)

func openMySQL(opts Options) (*sql.DB, dialect, error) {
	cfg, err := mysql.ParseDSN(opts.DSN)
	if err != nil {
		return nil, dialect{}, fmt.Errorf("mysql.dsn: %w", err)
	}
	harden(cfg, opts.Patient)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, dialect{}, fmt.Errorf("mysql.dsn: %w", err)
	}
	pool := sql.OpenDB(readCommitted{connector})
	pool.SetMaxOpenConns(opts.MaxOpenConns)
	pool.SetMaxIdleConns(opts.MaxOpenConns) // a connection costs more than keeping it
	return pool, mysqlDialect(), nil
}

// readCommitted sets the isolation once for each connection, instead of by a
// statement before each transaction. It is a statement and not a parameter of the
// DSN because the variable's name differs between the servers.
type readCommitted struct{ driver.Connector }

var errNoExec = errors.New("the driver's connections take no statements")

func (c readCommitted) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	exec, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errNoExec, conn.Close())
	}
	if _, err := exec.ExecContext(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", nil); err != nil {
		return nil, errors.Join(fmt.Errorf("set the isolation: %w", err), conn.Close())
	}
	return conn, nil
}

// harden sets what Scrip's correctness rests on, whatever the DSN says, and
// time limits where it says nothing: without a read timeout a COMMIT whose
// answer is lost would wait for ever.
func harden(cfg *mysql.Config, patient bool) {
	cfg.InterpolateParams = true
	cfg.MultiStatements = false
	cfg.ClientFoundRows = false
	cfg.ParseTime, cfg.Loc = true, time.UTC // for goose's own tables; ours hold numbers
	cfg.Collation = "utf8mb4_bin"
	if cfg.Timeout == 0 {
		cfg.Timeout = 3 * time.Second
	}
	if cfg.ReadTimeout == 0 {
		cfg.ReadTimeout = 10 * time.Second
	}
	if patient {
		cfg.ReadTimeout = max(cfg.ReadTimeout, time.Hour)
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = 10 * time.Second
	}
	if cfg.Params == nil {
		cfg.Params = map[string]string{}
	}
	cfg.Params["sql_mode"] = "'STRICT_TRANS_TABLES,ONLY_FULL_GROUP_BY,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
	cfg.Params["time_zone"] = "'+00:00'"
	if cfg.Params["innodb_lock_wait_timeout"] == "" {
		cfg.Params["innodb_lock_wait_timeout"] = "2"
	}
}

func mysqlDialect() dialect {
	return dialect{
		name:      "mysql",
		forUpdate: " FOR UPDATE",
		orKeep:    " ON DUPLICATE KEY UPDATE $key = $key",
		nowMillis: "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
		retryable: func(err error) bool {
			return isMySQL(err, errDeadlock, errLockTimeout, errRecordChanged, errLockNowait, errTiDBConflict, errTiDBBusy)
		},
		duplicate: func(err error) bool { return isMySQL(err, errDuplicate) },
		refused: func(err error) bool {
			var server *mysql.MySQLError
			return errors.As(err, &server)
		},
		away: func(err error) bool {
			return errors.Is(err, mysql.ErrInvalidConn) ||
				isMySQL(err, errTooManyConns, errShutdown, errKilled, errReadOnly, errConnKilled)
		},
		open: func(pool *sql.DB) gorm.Dialector {
			return gormmysql.New(gormmysql.Config{
				Conn:                      pool,
				DisableWithReturning:      true, // MySQL has none, MariaDB half
				SkipInitializeWithVersion: true,
			})
		},
	}
}

func isMySQL(err error, numbers ...uint16) bool {
	var server *mysql.MySQLError
	return errors.As(err, &server) && slices.Contains(numbers, server.Number)
}

// setting is what a variable of the server has to be, and why.
type setting struct{ variable, value, why string }

func variable(ctx context.Context, pool *sql.DB, name string) (value string, err error) {
	err = pool.QueryRowContext(ctx, "SHOW VARIABLES LIKE '"+name+"'").Scan(&name, &value)
	return value, err
}

// vet refuses a server that may lose what it acknowledged, or that compares text
// otherwise than Scrip expects, with every fault of it; where such a one is
// allowed, the log says what it is.
func (s *Store) vet(ctx context.Context, allowed bool) error {
	if s.dialect.name != "mysql" {
		return nil
	}
	faults, err := faultsOf(ctx, s.sql.DB)
	switch {
	case err != nil:
		return err
	case len(faults) == 0:
		return nil
	case allowed:
		s.log.WarnContext(ctx, "this MySQL is not safe, and mysql.allow_unsafe says to go on", "faults", faults)
		return nil
	}
	return fmt.Errorf("this MySQL is not safe for Scrip (mysql.allow_unsafe starts all the same):\n  %s",
		strings.Join(faults, "\n  "))
}

func faultsOf(ctx context.Context, pool *sql.DB) ([]string, error) {
	if err := pool.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("mysql.dsn: the server cannot be used: %w", err)
	}
	// MariaDB knows no default_storage_engine by another name; all of these exist
	// on MySQL 8, MariaDB 10.11 and TiDB.
	want := []setting{
		{"innodb_flush_log_at_trx_commit", "1", "anything else loses acknowledged claims in a crash"},
		{"default_storage_engine", "InnoDB", "transactions and row locks need it"},
		{"character_set_server", "utf8mb4", "callers' ids are any UTF-8"},
		{"character_set_database", "utf8mb4", "callers' ids are any UTF-8 (ALTER DATABASE … CHARACTER SET utf8mb4)"},
	}
	if log, err := variable(ctx, pool, "log_bin"); err == nil && (log == "1" || strings.EqualFold(log, "ON")) {
		want = append(want, setting{"sync_binlog", "1", "with a binary log a commit is only as safe as that is when the power fails"})
	}
	var faults []string
	for _, w := range want {
		got, err := variable(ctx, pool, w.variable)
		if err != nil {
			return nil, fmt.Errorf("ask MySQL for %s: %w", w.variable, err)
		}
		if !strings.EqualFold(got, w.value) {
			faults = append(faults, fmt.Sprintf("%s is %q, must be %q: %s", w.variable, got, w.value, w.why))
		}
	}
	return faults, nil
}
