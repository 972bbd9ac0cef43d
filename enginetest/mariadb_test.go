package enginetest

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// pool opens a database for the rest of the test.
func pool(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := open(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// mustExec runs statements that must succeed.
func mustExec(t *testing.T, dsn string, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if err := execute(t.Context(), dsn, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// ask returns the one value that a query gives.
func ask(t *testing.T, dsn, query string, args ...any) string {
	t.Helper()
	var value string
	if err := pool(t, dsn).QueryRowContext(t.Context(), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

const countDatabases = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?"

func TestEachDatabaseIsFreshAndDropped(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("while the test runs", func(t *testing.T) {
		dsn := MySQLDSN(t)
		config, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		name = config.DBName
		mustExec(t, dsn, "CREATE TABLE t (word VARCHAR(10)) ENGINE=InnoDB", "INSERT INTO t VALUES ('A')")
		if got := ask(t, dsn, "SELECT COUNT(*) FROM t WHERE word = 'a'"); got != "0" {
			t.Error("letters of either case are held for equal")
		}
		if other := MySQLDSN(t); other == dsn {
			t.Errorf("the same database twice: %s", dsn)
		}
	})
	if name == "" {
		t.Skip("no database was made")
	}

	if got := ask(t, MariaDB(t).DSN(""), countDatabases, name); got != "0" {
		t.Errorf("the database %s is still there", name)
	}
}

func TestTheSharedServerIsOneAndIsLeftAlone(t *testing.T) {
	t.Parallel()
	server := MariaDB(t)
	if again := MariaDB(t); again.Addr() != server.Addr() {
		t.Errorf("two servers: %s and %s", server.Addr(), again.Addr())
	}
	heard := &recorder{TB: t}
	seen := *server
	seen.tb = heard

	seen.Kill()
	seen.Stop()
	seen.Cont()
	seen.Restart()

	if len(heard.failed) != 4 {
		t.Errorf("complaints: %q", heard.failed)
	}
	if got := ask(t, server.DSN(""), "SELECT 1"); got != "1" {
		t.Errorf("it answers %q", got)
	}
}

func TestAnOwnMariaDBIsDurable(t *testing.T) {
	t.Parallel()
	server := OwnMariaDB(t)
	settings := ask(t, server.DSN(""), "SELECT CONCAT_WS(' ', @@innodb_flush_log_at_trx_commit,"+
		" @@log_bin+0, @@sync_binlog, @@character_set_server, @@collation_server, @@bind_address)")
	if want := "1 1 1 utf8mb4 utf8mb4_bin 127.0.0.1"; settings != want {
		t.Errorf("settings are %s, want %s", settings, want)
	}
	mustExec(t, server.DSN(""), "CREATE DATABASE d", "CREATE TABLE d.t (n INT PRIMARY KEY) ENGINE=InnoDB",
		"INSERT INTO d.t VALUES (1), (2)")
	addr := server.Addr()

	server.Kill()
	if !refused(t.Context(), addr) {
		t.Fatal("somebody still listens after Kill")
	}
	server.Restart()

	if got := ask(t, server.DSN("d"), "SELECT COUNT(*) FROM t"); got != "2" {
		t.Errorf("%s of 2 rows came back", got)
	}
	if server.Addr() != addr {
		t.Errorf("the address changed from %s to %s", addr, server.Addr())
	}
	if server.CPU() <= 0 {
		t.Error("a server that has recovered spent no processor time")
	}
}

func TestExtraArgumentsWin(t *testing.T) {
	t.Parallel()
	server := OwnMariaDB(t, "--innodb-flush-log-at-trx-commit=0")

	if got := ask(t, server.DSN(""), "SELECT @@innodb_flush_log_at_trx_commit"); got != "0" {
		t.Errorf("the setting is %s", got)
	}
}

func TestAServerOfSomebodyElse(t *testing.T) {
	t.Parallel()
	host := OwnMariaDB(t)

	server := foreign(t, "root@tcp("+host.Addr()+")/ignored?interpolateParams=true")

	if server.Addr() != host.Addr() || server.Pid() != 0 || server.Dir() != "" {
		t.Errorf("address %q, pid %d, folder %q", server.Addr(), server.Pid(), server.Dir())
	}
	dsn := server.DSN("mysql")
	if !strings.HasSuffix(dsn, "/mysql?interpolateParams=true") {
		t.Errorf("the parameters are lost: %s", dsn)
	}
	if got := ask(t, dsn, "SELECT DATABASE()"); got != "mysql" {
		t.Errorf("the database is %s", got)
	}
	heard := &recorder{TB: t}
	(&Server{tb: heard, addr: server.Addr()}).Kill()
	if len(heard.failed) != 1 {
		t.Errorf("complaints: %q", heard.failed)
	}
	foreign(heard, "not a data source name")
	if len(heard.failed) != 2 {
		t.Errorf("complaints: %q", heard.failed)
	}
}
