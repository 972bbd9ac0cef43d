package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// querier is what can be read from: a transaction, or the pool without one.
type querier interface {
	QueryContext(ctx context.Context, statement string, args ...any) (*sql.Rows, error)
}

// QueryContext reads beneath gorm.
func (t tx) QueryContext(ctx context.Context, statement string, args ...any) (*sql.Rows, error) {
	return t.sql.QueryContext(ctx, statement, args...)
}

// scanner reads the columns of one row.
type scanner func(...any) error

// query runs a SELECT and hands each row to scan.
func query(ctx context.Context, q querier, statement string, args []any, scan func(row func(...any) error) error) error {
	if p, ok := q.(pool); ok {
		done, err := p.turn(ctx)
		if err != nil {
			return err
		}
		defer done()
	}
	rows, err := q.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// marks is a list of n placeholders.
func marks(n int) string { return strings.Repeat(", ?", n)[2:] }

// anys makes arguments of values.
func anys[T any](values []T) []any {
	args := make([]any, len(values))
	for i := range values {
		args[i] = values[i]
	}
	return args
}

// Bounds of one INSERT, of whose rows there may be any number: SQLite takes
// 32,766 arguments, and MySQL so many bytes (max_allowed_packet, 16 MiB where
// it is least).
const (
	maxArgs  = 16_000
	maxBytes = 4 << 20
)

// insert adds rows, given one after the other in args, in few statements. into
// is "table (columns)", end what follows the values.
func insert(ctx context.Context, t tx, into string, columns int, args []any, end string) error {
	for rest := args; len(rest) > 0; {
		n := chunk(rest, columns)
		row := ", (" + marks(columns) + ")"
		statement := "INSERT INTO " + into + " VALUES " + strings.Repeat(row, n/columns)[2:] + end
		if _, err := t.sql.ExecContext(ctx, statement, rest[:n]...); err != nil {
			return fmt.Errorf("insert into %s: %w", into, err)
		}
		rest = rest[n:]
	}
	return nil
}

// chunk is how many of the arguments make whole rows within the bounds of one
// statement; one row at least.
func chunk(args []any, columns int) int {
	size := 0
	for n := columns; ; n += columns {
		for _, arg := range args[n-columns : n] {
			switch text := arg.(type) {
			case string:
				size += len(text)
			case []byte:
				size += len(text)
			}
		}
		if n == len(args) || n+columns > maxArgs || size > maxBytes {
			return n
		}
	}
}

// cases is an expression that gives each key's row its own value, and the
// arguments for it. The keys must cover every row that the statement is about.
func cases[K comparable, V any](column string, keys []K, value func(K) V) (expression string, args []any) {
	args = make([]any, 0, 2*len(keys))
	for _, key := range keys {
		args = append(args, key, value(key))
	}
	return "CASE " + column + strings.Repeat(" WHEN ? THEN ?", len(keys)) + " END", args
}

// update runs an UPDATE that must change exactly want rows: its WHERE says what
// they have to be like, and they are locked.
func update(ctx context.Context, t tx, want int, statement string, args ...any) error {
	done, err := t.sql.ExecContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n != int64(want) {
		return fmt.Errorf("rows moved under their lock: %d of %d changed (%w)", n, want, err)
	}
	return nil
}

// force makes a SELECT or UPDATE go by one index, and so lock its rows in that index's
// order and no others: on a small table MySQL would rather lock all there are.
func (d dialect) force(index string) string {
	if d.name == "sqlite" {
		return "" // one writer at a time: there is no order to keep
	}
	return " FORCE INDEX (" + index + ")"
}

// deleteFrom is the head of a DELETE that goes by one index, as force has it.
func (d dialect) deleteFrom(table, index string) string {
	if d.name == "sqlite" {
		return "DELETE FROM " + table
	}
	return "DELETE " + table + " FROM " + table + d.force(index)
}

// overwrite is the end of an INSERT that gives a row which is there already the
// new values of the columns. key is the row's unique key.
func (d dialect) overwrite(key string, columns ...string) string {
	head, format := " ON DUPLICATE KEY UPDATE ", "%[1]s = VALUES(%[1]s)"
	if d.name == "sqlite" {
		head, format = " ON CONFLICT ("+key+") DO UPDATE SET ", "%[1]s = excluded.%[1]s"
	}
	sets := make([]string, len(columns))
	for i, column := range columns {
		sets[i] = fmt.Sprintf(format, column)
	}
	return head + strings.Join(sets, ", ")
}

// unique sorts the values and drops the doubles.
func unique[T interface{ ~string | ~int64 }](values []T) []T {
	slices.Sort(values)
	return slices.Compact(values)
}
