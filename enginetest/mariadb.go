package enginetest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

// sharedServer is started by the first test that needs it.
type sharedServer struct {
	once   sync.Once
	engine *engine
	err    error
}

//nolint:gochecknoglobals // one server for all tests of a binary is its purpose
var sharedMariaDB sharedServer

func (s *sharedServer) get(ctx context.Context) (*engine, error) {
	s.once.Do(func() { s.engine, s.err = startMariaDB(ctx, 0, nil) })
	return s.engine, s.err
}

// end ends the server, and keeps a later call of get from starting one.
func (s *sharedServer) end() {
	s.once.Do(func() { s.err = errors.New("the tests are over") })
	s.engine.end()
}

// MariaDB is the server that all tests of this binary share, started when the
// first one asks; or the one that SCRIP_TEST_MYSQL_DSN names. It may not be
// killed, stopped or restarted. Most tests want MySQLDSN.
func MariaDB(tb TB) *Server {
	tb.Helper()
	if dsn := os.Getenv(MySQLEnv); dsn != "" {
		return foreign(tb, dsn)
	}
	ctx, cancel := starting(tb.Context())
	defer cancel()
	e, err := sharedMariaDB.get(ctx)
	if err != nil {
		giveUp(tb, err, required())
		return nil
	}
	return &Server{tb: tb, addr: e.addr(), dsn: mariaDSN(e), engine: e, shared: true}
}

// OwnMariaDB starts a MariaDB of the test's own, which may be killed, stopped
// and restarted. Like the shared one it is durable: it answers a commit when
// both the redo log and the binary log are on disk. extraArgs come last and so
// win; "--innodb-flush-log-at-trx-commit=0" makes one that forgets.
func OwnMariaDB(tb TB, extraArgs ...string) *Server {
	tb.Helper()
	ctx, cancel := starting(tb.Context())
	defer cancel()
	e, err := startMariaDB(ctx, 0, extraArgs)
	if err != nil {
		giveUp(tb, err, required())
		return nil
	}
	return own(tb, e, mariaDSN(e))
}

// OwnMariaDBOnDisk is OwnMariaDB with its data, in Dir()/data, on a file system
// in memory of so many MiB, which can be filled. Mounting it takes Linux and
// root; without, the test is skipped.
func OwnMariaDBOnDisk(tb TB, mib int, extraArgs ...string) *Server {
	tb.Helper()
	ctx, cancel := starting(tb.Context())
	defer cancel()
	e, err := startMariaDB(ctx, mib, extraArgs)
	switch {
	case errors.Is(err, errNoMount):
		tb.Skipf("skipped: %v", err)
		return nil
	case err != nil:
		giveUp(tb, err, required())
		return nil
	}
	return own(tb, e, mariaDSN(e))
}

// errNoMount says that this user, or this system, cannot mount file systems.
var errNoMount = errors.New("no file system can be mounted here")

// MySQLDSN makes an empty database of a new name on the server that MariaDB
// gives, to be dropped when the test has ended, and returns its data source
// name, such as root@tcp(127.0.0.1:17001)/scrip_ab12….
func MySQLDSN(tb TB) string {
	tb.Helper()
	server := MariaDB(tb)
	name := "scrip_" + strings.ToLower(rand.Text()[:16])
	create := createDatabase(name)
	if err := execute(tb.Context(), server.DSN(""), create); err != nil {
		tb.Fatalf("%s: %v", create, err)
	}
	tb.Cleanup(func() {
		// The test's own context has ended by now. A drop that takes so long
		// waits for a transaction that the test has left open.
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := execute(ctx, server.DSN(""), "DROP DATABASE "+name); err != nil {
			tb.Errorf("drop database %s: %v", name, err)
		}
	})
	return server.DSN(name)
}

func createDatabase(name string) string {
	return "CREATE DATABASE " + name + " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
}

// foreign describes a server that somebody else runs.
func foreign(tb TB, dsn string) *Server {
	tb.Helper()
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		tb.Fatalf("%s: %v", MySQLEnv, err)
		return nil
	}
	named := func(db string) string {
		other := config.Clone()
		other.DBName = db
		return other.FormatDSN()
	}
	return &Server{tb: tb, addr: config.Addr, dsn: named}
}

func mariaDSN(e *engine) func(db string) string {
	return func(db string) string { return "root@tcp(" + e.addr() + ")/" + db }
}

// startMariaDB gives the data a disk of so many MiB, if that is not 0.
func startMariaDB(ctx context.Context, mib int, extraArgs []string) (*engine, error) {
	args := func(port int, dir string) []string {
		data := filepath.Join(dir, dataName)
		return append([]string{
			"--no-defaults", "--user=" + serverUser(), "--datadir=" + data,
			"--port=" + strconv.Itoa(port), "--bind-address=127.0.0.1",
			"--socket=" + filepath.Join(dir, "my.sock"), "--skip-name-resolve",
			"--character-set-server=utf8mb4", "--collation-server=utf8mb4_bin",
			"--innodb-flush-log-at-trx-commit=1", "--log-bin=bin", "--sync-binlog=1",
			"--max-connections=600", // a test's two servers of 128 connections, and others beside it
		}, extraArgs...)
	}
	prepare := func(ctx context.Context, root *root, dir string) error {
		template, err := mariaTemplate(ctx, root)
		if err != nil {
			return err
		}
		data := filepath.Join(dir, dataName)
		if mib > 0 {
			if err := mountDisk(data, mib); err != nil {
				return err
			}
		}
		return os.CopyFS(data, os.DirFS(template))
	}
	return plan{program: "mariadbd", args: args, prepare: prepare, probe: probeMariaDB}.start(ctx)
}

// probeMariaDB asks for the data folder, because a server that answers on this
// port need not be ours.
func probeMariaDB(ctx context.Context, e *engine) error {
	db, err := open(mariaDSN(e)(""))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var data string
	if err := db.QueryRowContext(ctx, "SELECT @@datadir").Scan(&data); err != nil {
		return err
	}
	if filepath.Clean(data) != filepath.Join(e.dir.path, dataName) {
		return fmt.Errorf("another server answers, with its data in %s", data)
	}
	return nil
}

// mariaTemplate is a data folder as mariadb-install-db leaves it, which takes
// seconds to make and a fraction of one to copy. It is made once for each
// version, beside its final name, so that a half-made one is never seen.
func mariaTemplate(ctx context.Context, root *root) (string, error) {
	var template string
	err := root.locked(func() error {
		version, err := run(ctx, "mariadbd", "--no-defaults", "--version")
		if err != nil {
			return err
		}
		sum := sha256.Sum256(version)
		template = filepath.Join(root.path, "mariadb-"+hex.EncodeToString(sum[:8]))
		if _, err := os.Stat(filepath.Join(template, "ibdata1")); err == nil {
			return nil
		}
		return makeTemplate(ctx, template)
	})
	return template, err
}

func makeTemplate(ctx context.Context, template string) error {
	half := template + ".half"
	if err := errors.Join(os.RemoveAll(half), os.RemoveAll(template)); err != nil {
		return err
	}
	_, err := run(ctx, "mariadb-install-db", "--no-defaults", "--user="+serverUser(), "--datadir="+half,
		"--auth-root-authentication-method=normal", "--skip-test-db")
	if err != nil {
		return err
	}
	return os.Rename(half, template)
}

// serverUser is the user to run as. Only root may choose one; MariaDB wants
// root to be named as such, and ignores the choice of anybody else.
func serverUser() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return strconv.Itoa(os.Geteuid())
}

// run runs a program to its end and returns what it printed.
func run(ctx context.Context, program string, args ...string) ([]byte, error) {
	path, err := locate(program)
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput() //nolint:gosec // the callers' programs are constants
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return out, nil
}

// execute runs one statement on a connection of its own.
func execute(ctx context.Context, dsn, statement string) error {
	db, err := open(dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// open opens a pool that keeps to itself what goes wrong with a connection:
// while a server starts, that is nothing to be told about.
func open(dsn string) (*sql.DB, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}
