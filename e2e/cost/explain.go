package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// explain shows how the database finds what the server asks for: it listens to
// the statements that claims, reads and orders send, and has those that look for
// something explained on the large table.
func (b *bench) explain(w *way, templates []string) {
	statements := b.listen(w, templates)
	cells := [][]string{{"statement", "table", "by key", "access", "rows", "extra"}}
	for _, statement := range statements {
		cells = append(cells, b.plan(w, statement)...)
	}
	fmt.Fprintf(&b.text, "What the database was asked meanwhile, and how it finds it (`EXPLAIN` on the larger table):\n\n%s\n", leftGrid(cells))
}

// listen has some of everything done, and returns the statements that were sent
// meanwhile, each kind once.
func (b *bench) listen(w *way, templates []string) []string {
	set := func(statement string) {
		_, err := w.db.ExecContext(b.ctx, statement)
		b.must(err)
	}
	till := b.newTill(w, "explain")
	till.stock(20)
	set("SET GLOBAL log_output = 'TABLE'")
	set("SET GLOBAL general_log = 1")
	b.times(w, 20, newcomers(templates[:1], 4*firstNew))
	b.times(w, 5, readWalletOf(0, 5))
	b.times(w, 5, func(ctx context.Context, c *caller, n int64) error {
		c.body = append(appendCart(append(c.body[:0], `{"cart":`...), person(n), 2), '}')
		return c.post(ctx, "/v1/checkout/qualify", "", c.body, http.StatusOK)
	})
	b.times(w, 20, till.order)
	b.times(w, 1, func(ctx context.Context, c *caller, _ int64) error {
		return c.get(ctx, "/v1/templates/"+templates[0]+"/coupons", http.StatusOK)
	})
	set("SET GLOBAL general_log = 0")

	rows, err := w.db.QueryContext(b.ctx, `SELECT DISTINCT CONVERT(argument USING utf8mb4) FROM mysql.general_log
		WHERE command_type IN ('Query', 'Execute') AND argument LIKE '%coupons%' ORDER BY event_time`)
	b.must(err)
	defer func() { _ = rows.Close() }()
	var statements []string
	seen := map[string]bool{}
	for rows.Next() {
		var statement string
		b.must(rows.Scan(&statement))
		if kind := abridge(statement); looks(statement) && !seen[kind] {
			seen[kind] = true
			statements = append(statements, statement)
		}
	}
	b.must(rows.Err())
	return statements
}

// looks reports whether a statement has to find something.
func looks(statement string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(statement), " ")
	return strings.EqualFold(word, "SELECT") && !strings.Contains(statement, "general_log") ||
		strings.EqualFold(word, "UPDATE") || strings.EqualFold(word, "DELETE")
}

// abridge makes a statement short and without values: no columns of a SELECT,
// no repetitions.
func abridge(statement string) string {
	s := strings.ReplaceAll(strings.TrimSpace(statement), "`", "")
	for _, cut := range []struct{ pattern, by string }{
		{`\s+`, " "},
		{`'(?:[^'\\]|\\.)*'|\b\d+\b`, "?"},
		{`\(\?(?:, ?\?)+\)|\(\?\)(?:, ?\(\?\))*`, "(…)"},
		{`(?: WHEN \? THEN \?)+`, " …"},
		{`(?i)^(SELECT) .*? (FROM)`, "$1 … $2"},
	} {
		s = regexp.MustCompile(cut.pattern).ReplaceAllString(s, cut.by)
	}
	return s
}

// plan is a row for each table that a statement reads.
func (b *bench) plan(w *way, statement string) [][]string {
	rows, err := w.db.QueryContext(b.ctx, "EXPLAIN "+statement)
	if err != nil {
		b.Fatalf("explain %s: %w", statement, err)
	}
	defer func() { _ = rows.Close() }()
	var cells [][]string
	shown := "`" + abridge(statement) + "`"
	for rows.Next() {
		var id, kind, table, access, possible, key, length, ref, count, extra sql.NullString
		b.must(rows.Scan(&id, &kind, &table, &access, &possible, &key, &length, &ref, &count, &extra))
		cells = append(cells, []string{shown, table.String, key.String, access.String, count.String, extra.String})
		shown = ""
	}
	b.must(rows.Err())
	return cells
}
