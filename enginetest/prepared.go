package enginetest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Fill makes the tables that tests find in their databases: in the MySQL that
// dsn names or, if that is empty, in files of its own in dir. All callers of one
// test binary pass the same.
type Fill func(ctx context.Context, dsn, dir string) error

// prepared is what Fill has made once, to be copied. Under the race detector that
// takes a tenth of the time.
type prepared struct {
	once   sync.Once
	err    error
	folder *folder // of FilledDir
}

//nolint:gochecknoglobals // made once for all tests of a binary is their purpose
var preparedFolder, preparedDatabase prepared

// preparedName is the database that FilledDSN copies.
const preparedName = "scrip_prepared"

// FilledDir is a folder of the test's own, as fill leaves an empty one.
func FilledDir(tb testing.TB, fill Fill) string {
	tb.Helper()
	preparedFolder.once.Do(func() { preparedFolder.err = preparedFolder.makeFolder(tb.Context(), fill) })
	dir, err := tb.TempDir(), preparedFolder.err
	if err == nil {
		err = os.CopyFS(dir, os.DirFS(preparedFolder.data()))
	}
	if err != nil {
		tb.Fatalf("a folder that is filled: %v", err)
	}
	return dir
}

func (p *prepared) data() string { return filepath.Join(p.folder.path, dataName) }

func (p *prepared) makeFolder(ctx context.Context, fill Fill) error {
	root, err := openRoot(os.TempDir())
	if err != nil {
		return err
	}
	if p.folder, err = root.newFolder(); err != nil {
		return err
	}
	if err := os.Mkdir(p.data(), 0o700); err != nil {
		return err
	}
	return fill(ctx, "", p.data())
}

// end removes what FilledDir copies, if there is such a thing.
func (p *prepared) end() {
	if p.folder != nil {
		p.folder.remove()
	}
}

// FilledDSN is MySQLDSN, with a database as fill leaves an empty one. On a
// server that somebody else runs it is an empty one still: not every server
// copies all that belongs to a table.
func FilledDSN(tb TB, fill Fill) string {
	tb.Helper()
	dsn := MySQLDSN(tb)
	server := MariaDB(tb)
	if server.engine == nil {
		return dsn
	}
	preparedDatabase.once.Do(func() { preparedDatabase.err = makePrepared(tb.Context(), server, fill) })
	err := preparedDatabase.err
	if err == nil {
		err = copyPrepared(tb.Context(), dsn)
	}
	if err != nil {
		tb.Fatalf("a database that is filled: %v", err)
	}
	return dsn
}

// makePrepared makes a database that ends with its server.
func makePrepared(ctx context.Context, server *Server, fill Fill) error {
	if err := execute(ctx, server.DSN(""), createDatabase(preparedName)); err != nil {
		return err
	}
	return fill(ctx, server.DSN(preparedName), "")
}

// copyPrepared copies tables and rows to the empty database that dsn names.
// Foreign keys and triggers would stay behind; the schema has none.
func copyPrepared(ctx context.Context, dsn string) error {
	db, err := open(dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	tables, err := tablesOf(ctx, db, preparedName)
	if err != nil {
		return err
	}
	for _, table := range tables {
		from := preparedName + "." + table
		for _, statement := range []string{"CREATE TABLE " + table + " LIKE " + from, "INSERT INTO " + table + " SELECT * FROM " + from} {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
	}
	return nil
}

func tablesOf(ctx context.Context, db *sql.DB, database string) (tables []string, err error) {
	rows, err := db.QueryContext(ctx, "SELECT table_name FROM information_schema.tables WHERE table_schema = ?", database)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return nil, err
		}
		tables = append(tables, table)
	}
	return tables, rows.Err()
}
