package store_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"scrip/enginetest"
	"scrip/models"
	"scrip/store"
)

func TestManyMayStartAtOnce_Race(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]store.Options{
		"sqlite": {DataDir: t.TempDir(), MaxOpenConns: 4},
		"mysql":  {DSN: enginetest.MySQLDSN(t), MaxOpenConns: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var group sync.WaitGroup
			for range 3 {
				group.Go(func() {
					if _, err := store.Migrate(t.Context(), opts); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			if steps, err := store.Migrate(t.Context(), opts); err != nil || steps != 0 {
				t.Errorf("there was more to do: %d, %v", steps, err)
			}
		})
	}
}

// Whatever only reads waits for its turn, however it reads; a change, and what
// claims and locks wait for, stands in another line.
func TestReadersWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, new(int64(9)), 1)
		reads := map[string]func(context.Context) error{
			"by gorm": func(ctx context.Context) error {
				_, err := f.Template(ctx, platform(), tpl.ID)
				return err
			},
			"rows": func(ctx context.Context) error {
				_, err := f.LockByXID(ctx, "none")
				if models.IsCode(err, models.CodeNotFound) {
					err = nil
				}
				return err
			},
			"a row": func(ctx context.Context) error {
				_, err := f.CountCodes(ctx, 1, []models.CodeHash{{}})
				return err
			},
		}
		release := must(f.HoldReaders(t.Context()))(t)
		for name, read := range reads {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if err := read(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s out of turn: %v", name, err)
			}
			cancel()
		}
		must(f.AddStock(t.Context(), f.op(platform()), tpl.ID, 1))(t)
		must(f.Definition(t.Context(), tpl.ID))(t)
		f.commit(t, f.claim(t, tpl, "ann"))
		release()
		for name, read := range reads {
			if err := read(t.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestAnUnsafeServerIsRefused(t *testing.T) {
	t.Parallel()
	server := enginetest.OwnMariaDB(t, "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0",
		"--character-set-server=latin1", "--collation-server=latin1_bin")
	var log strings.Builder
	opts := store.Options{
		DSN: server.DSN("test"), MaxOpenConns: 4, Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	createDatabase(t, server, "test") // latin1, as the server
	faults := []string{"innodb_flush_log_at_trx_commit", "sync_binlog", "character_set_server", "character_set_database"}
	_, err := store.Open(t.Context(), opts)
	if err == nil {
		t.Fatal("a server that loses commits was taken")
	}
	for _, fault := range faults {
		if !strings.Contains(err.Error(), fault) {
			t.Errorf("%q is not in %q", fault, err)
		}
	}

	opts.AllowUnsafe = true
	st, err := store.Open(t.Context(), opts)
	if err != nil {
		t.Fatalf("it was allowed: %v", err)
	}
	t.Cleanup(func() { _ = st.Close(context.Background()) })
	for _, fault := range faults {
		if n := strings.Count(log.String(), fault); n != 1 {
			t.Errorf("the log names %s %d times: %s", fault, n, log.String())
		}
	}
}

func TestWithoutABinaryLogNobodyAsksHowItIsSynced(t *testing.T) {
	t.Parallel()
	server := enginetest.OwnMariaDB(t, "--skip-log-bin", "--sync-binlog=0")
	createDatabase(t, server, "unlogged")
	st := must(store.Open(t.Context(), store.Options{DSN: server.DSN("unlogged"), MaxOpenConns: 4}))(t)
	t.Cleanup(func() { _ = st.Close(context.Background()) })
}

func TestABadDSNIsSaidToBe(t *testing.T) {
	t.Parallel()
	_, err := store.Open(t.Context(), store.Options{DSN: "not a dsn"})
	if err == nil || !strings.Contains(err.Error(), "mysql.dsn") {
		t.Errorf("got %v", err)
	}
}

// TestTransactionsReadWhatIsCommitted holds for every connection of the pool:
// under the server's default a second look would show what the first one saw.
func TestTransactionsReadWhatIsCommitted(t *testing.T) {
	t.Parallel()
	st := must(store.Open(t.Context(), store.Options{DSN: enginetest.MySQLDSN(t), MaxOpenConns: 4}))(t)
	t.Cleanup(func() { _ = st.Close(context.Background()) })
	first, second, err := st.LookTwice(t.Context(), "SELECT COUNT(*) FROM leases", func() error {
		return st.Exec(t.Context(), "INSERT INTO leases (name, owner, until, token) VALUES ('x', '', 0, 0)")
	})
	if err != nil || second != first+1 {
		t.Errorf("saw %d and then %d, %v", first, second, err)
	}
}

func createDatabase(t *testing.T, server *enginetest.Server, name string) {
	t.Helper()
	db := must(sql.Open("mysql", server.DSN("")))(t)
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
}

// TestOutOfTimeIsNobodysFault: a transaction that its deadline ended changed
// nothing, and its caller is told to come back.
func TestOutOfTimeIsNobodysFault(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		for _, last := range []string{"", "SELECT 1"} {
			err := f.OutOfTime(t.Context(), last)
			if !models.IsCode(err, models.CodeBusy) && !errors.Is(err, context.Canceled) {
				t.Errorf("with %q last: %v", last, err)
			}
		}
	})
}
