package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// filled is what a database holds before it is measured.
type filled struct {
	coupons   int64 // fat wallets included
	templates int64
	fat       int64 // users with a coupon of each of the first walletOf templates; the others have leanWallet
}

const (
	issuing    = 1000 // templates that the coupons are of
	fatWallet  = issuing
	leanWallet = 10
	fatUsers   = 2000

	// User numbers: of lean wallets from 0, of fat ones, and of those who are new.
	firstFat = 1 << 26
	firstNew = 1 << 27
)

// person is the user of that number. Numbers in a row make names all over the
// index, as real users come; the factor is odd, so no two are the same.
func person(n int64) string { return fmt.Sprintf("u%08X", uint32(n*2654435761)) } //nolint:gosec // is meant to wrap

// personSQL is the same of an expression.
func personSQL(n string) string {
	return "CONCAT('u', LPAD(HEX((" + n + ") * 2654435761 % 4294967296), 8, '0'))"
}

// fill makes what the database is to hold by SQL, like the one coupon that is
// claimed and the one template that is published over HTTP. The templates' ids
// are below that one's, the coupons' ids below that one's.
func (b *bench) fill(w *way, f filled) (templates []string) {
	first := w.open(1, plenty)
	b.times(w, 1, claim(first, "first"))
	conn, err := w.db.Conn(b.ctx)
	b.must(err)
	defer func() { _ = conn.Close() }()
	exec := func(statement string) {
		if _, err := conn.ExecContext(b.ctx, statement); err != nil {
			b.Fatalf("%s: %w", statement, err)
		}
	}
	exec("SET SESSION sql_log_bin = 0, unique_checks = 0")
	exec("CREATE TABLE cost_template AS SELECT * FROM templates WHERE id = " + first[0])
	exec("CREATE TABLE cost_coupon AS SELECT * FROM coupons WHERE template_id = " + first[0])

	perTemplate := (f.coupons-f.fat*fatWallet)/issuing + f.fat
	b.like(exec, conn, "templates", "cost_template", f.templates, map[string]string{
		"id": "id - seq", "claimed": fmt.Sprintf("IF(seq <= %d, %d, 0)", issuing, perTemplate),
	})
	// The fat wallets: seq counts their coupons.
	b.like(exec, conn, "coupons", "cost_coupon", f.fat*fatWallet, map[string]string{
		"id":          fmt.Sprintf("id - %d + seq", f.coupons+1),
		"template_id": fmt.Sprintf("template_id - 1 - (seq - 1) %% %d", fatWallet),
		"user_id":     personSQL(fmt.Sprintf("%d + (seq - 1) DIV %d", firstFat, fatWallet)),
		"issue_no":    fmt.Sprintf("(seq - 1) DIV %d + 1", fatWallet),
	})
	// The lean ones: the user's ten templates are a row of ten among the thousand.
	const rows = issuing / leanWallet
	user := fmt.Sprintf("(seq - 1) DIV %d", leanWallet)
	b.like(exec, conn, "coupons", "cost_coupon", f.coupons-f.fat*fatWallet, map[string]string{
		"id":          fmt.Sprintf("id - %d + seq", f.coupons-f.fat*fatWallet+1),
		"template_id": fmt.Sprintf("template_id - 1 - (seq - 1) %% %d - %d * (%s %% %d)", leanWallet, leanWallet, user, rows),
		"user_id":     personSQL(user),
		"issue_no":    fmt.Sprintf("%d + %s DIV %d + 1", f.fat, user, rows),
	})
	exec("DROP TABLE cost_template")
	exec("DROP TABLE cost_coupon")
	exec("ANALYZE TABLE templates, coupons")
	return idsBelow(first[0], f.templates)
}

// like inserts n copies of the one row of a table into another, but for the
// columns that are set to something else, in which seq counts from 1.
func (b *bench) like(exec func(string), conn *sql.Conn, table, one string, n int64, set map[string]string) {
	columns, values := b.columns(conn, table), []string{}
	for _, column := range columns {
		value := column
		if other, found := set[column]; found {
			value = other
		}
		values = append(values, value)
	}
	const chunk = 500_000
	for begin := int64(1); begin <= n; begin += chunk {
		exec(fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s, seq_%d_to_%d",
			table, strings.Join(columns, ", "), strings.Join(values, ", "), one, begin, min(n, begin+chunk-1)))
	}
}

func (b *bench) columns(conn *sql.Conn, table string) (names []string) {
	const ask = `SELECT column_name FROM information_schema.columns
		WHERE table_schema = DATABASE() AND table_name = ? AND is_generated = 'NEVER' ORDER BY ordinal_position`
	rows, err := conn.QueryContext(b.ctx, ask, table)
	b.must(err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		b.must(rows.Scan(&name))
		names = append(names, name)
	}
	b.must(rows.Err())
	return names
}

// idsBelow are n ids, the highest first.
func idsBelow(id string, n int64) []string {
	first, _ := strconv.ParseInt(id, 10, 64) // Scrip's own
	ids := make([]string, n)
	for i := range ids {
		ids[i] = strconv.FormatInt(first-1-int64(i), 10)
	}
	return ids
}

// newcomers claim one coupon of each of the templates in turn.
func newcomers(templates []string, from int64) operation {
	return func(ctx context.Context, c *caller, n int64) error {
		return c.claimFor(ctx, templates[n%int64(len(templates))], person(from+n))
	}
}

// owners are users with wallets: all claim of one template, then all of the next.
func owners(templates []string, first, users int64) operation {
	return func(ctx context.Context, c *caller, n int64) error {
		return c.claimFor(ctx, templates[(n-1)/users], person(first+(n-1)%users))
	}
}

func (c *caller) claimFor(ctx context.Context, template, user string) error {
	c.body = fmt.Appendf(c.body[:0], `{"template_id":"%s","user_id":"%s"}`, template, user)
	return c.post(ctx, "/v1/claims", "", c.body, http.StatusCreated)
}

func readWalletOf(first, users int64) operation {
	return func(ctx context.Context, c *caller, n int64) error {
		c.body = fmt.Appendf(c.body[:0], "/v1/coupons?user_id=%s&limit=%d", person(first+n%users), walletPage)
		return c.get(ctx, string(c.body), http.StatusOK)
	}
}

// growth weighs claims beside much that is there already. Each amount has a
// database and a server of its own.
func (b *bench) growth() {
	const small = 100_000
	few, many, broad := b.way("scrip-few"), b.way("scrip-many"), b.way("scrip-broad")
	fewTemplates := b.fill(few, filled{coupons: small, templates: issuing})
	began := time.Now()
	manyTemplates := b.fill(many, filled{coupons: b.coupons, templates: issuing, fat: min(fatUsers, b.coupons/fatWallet/2)})
	b.sayf("  %s coupons filled in after %.0f s\n", figure(float64(b.coupons), 0), time.Since(began).Seconds())
	broadTemplates := b.fill(broad, filled{coupons: small, templates: b.coupons / 100})

	of := func(n int64, what string) string { return figure(float64(n), 0) + " " + what }
	hot := func(w *way, n int64) *subject {
		return &subject{name: of(n, "coupons"), way: w, do: newcomers(w.open(1, plenty), firstNew)}
	}
	b.compare("coupons", "Claims on one hot template, by how many coupons there are", hot(few, small), hot(many, b.coupons))

	users := min(fatUsers, b.coupons/fatWallet/2)
	b.compare("reads", "Wallet reads, by what is in the wallet",
		&subject{name: "first page of a wallet of 10", way: many, do: readWalletOf(10*fatUsers, users)},
		&subject{name: "first page of a wallet of 1,000", way: many, do: readWalletOf(firstFat, users)})
	b.compare("wallet", "Claims on one template after the other, by what is in the users' wallets",
		&subject{name: "claims into wallets of 10", way: many, do: owners(many.open(walletTemplates, plenty), 0, users)},
		&subject{name: "claims into wallets of 1,000", way: many, do: owners(many.open(walletTemplates, plenty), firstFat, users)})

	// A thousand of the templates, wherever they stand. They come last, because a
	// server looks after templates for a while after they were claimed.
	spread := int64(len(broadTemplates)) / issuing
	var some []string
	for i := range int64(issuing) {
		some = append(some, broadTemplates[i*spread])
	}
	b.touch(few, fewTemplates)
	b.touch(broad, some)
	b.compare("templates", "Claims over 1,000 templates, by how many templates there are",
		&subject{name: "1,000 of " + of(issuing, "templates"), way: few, do: newcomers(fewTemplates, 2*firstNew)},
		&subject{name: "1,000 of " + of(int64(len(broadTemplates)), "templates"), way: broad, do: newcomers(some, 2*firstNew)})
	b.explain(many, manyTemplates)
}

// walletTemplates is how many there are for those who own wallets to claim of.
const walletTemplates = 300

// touch claims once of each template: what is done once for each is no part of
// a claim.
func (b *bench) touch(w *way, templates []string) {
	b.times(w, int64(len(templates)), newcomers(templates, 3*firstNew))
}

// compare weighs two against one another, and shows what the second costs in the
// first.
func (b *bench) compare(key, title string, first, second *subject) {
	pair := []*subject{first, second}
	b.takeTurns(pair)
	b.show(key+"/", b.table(title, pair, peers{}))
	b.values[key] = second.times(first, totalOf)
	fmt.Fprintf(&b.text, "The second costs %.2f times what the first does.\n\n", b.values[key])
}
