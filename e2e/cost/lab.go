package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver of sql.Open

	"scrip/bench/wire"
	"scrip/client"
	"scrip/enginetest"
)

// What tells this program that it is one of the ways, and with what.
const (
	wayEnv   = "SCRIP_COST_WAY"
	addrEnv  = "SCRIP_COST_ADDR"
	dsnEnv   = "SCRIP_COST_DSN"
	redisEnv = "SCRIP_COST_REDIS"
)

const (
	firstTemplate = 7_000_000_000_000_000 // the ids that we choose look like Scrip's

	apiKey     = "sk_cost_benchmark_only_0123456789abcdef" //nolint:gosec // opens nothing but the servers of one run
	storeConns = 32                                        // to MariaDB, Scrip's own default; and to Redis
)

// way is a server that can be put under load, and what stands behind it.
type way struct {
	name   string
	url    string
	target wire.Target
	parts  map[string]func() time.Duration // processor time so far
	db     *sql.DB                         // nil for the floor
	server *enginetest.Server

	// open makes so many templates of so much stock, to be claimed at once.
	open   func(n int, stock int64) []string
	opened int64 // templates so far
	filled bool  // there are wallets
	rules  []string
}

// scrip reports whether it is one: there may be some, each with a database of
// its own.
func (w *way) scrip() bool { return strings.HasPrefix(w.name, "scrip") }

// The parts of a way.
const (
	partServer = "server"
	partMaria  = "MariaDB"
	partRedis  = "Redis"
)

// way starts the way of that name, or takes the one that was started.
func (b *bench) way(name string) *way {
	if w := b.ways[name]; w != nil {
		return w
	}
	w := &way{name: name, parts: map[string]func() time.Duration{}}
	var dsn string
	if name != "floor" {
		dsn = b.database(w, "cost_"+strings.ReplaceAll(name, "-", "_"))
	}
	if name == "reference" || w.scrip() {
		b.redisAddr()
		w.parts[partRedis] = b.redis.CPU
	}
	if w.scrip() {
		b.startScrip(w, dsn)
	} else {
		b.startWay(w, dsn)
	}
	w.parts[partServer] = w.server.CPU
	w.url = w.server.DSN("")
	var err error
	w.target, err = wire.NewTarget(w.url)
	b.must(err)
	b.ways[name] = w
	return w
}

func (b *bench) startWay(w *way, dsn string) {
	self, err := os.Executable()
	b.must(err)
	w.server = enginetest.Program(b.engines, self, func(addr string) []string {
		return []string{wayEnv + "=" + w.name, addrEnv + "=" + addr, dsnEnv + "=" + dsn, redisEnv + "=" + b.redisAddr()}
	})
	w.open = func(n int, stock int64) []string { return b.openWay(w, n, stock) }
}

// openWay makes templates whose ids we choose; the floor knows none.
func (b *bench) openWay(w *way, n int, stock int64) []string {
	c := w.caller()
	defer c.conn.Close()
	ids := make([]string, n)
	for i := range ids {
		w.opened++
		ids[i] = strconv.FormatInt(firstTemplate+w.opened, 10)
		if w.name != "floor" {
			body := fmt.Sprintf(`{"id":"%s","stock":%d}`, ids[i], stock)
			b.must(c.post(b.ctx, "/v1/templates", "", []byte(body), http.StatusCreated))
		}
	}
	return ids
}

func (b *bench) startScrip(w *way, dsn string) {
	dir, err := os.MkdirTemp("", "scrip-cost-")
	b.must(err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	if b.scrip == "" {
		b.scrip = filepath.Join(dir, "scrip")
		b.runToEnd("go", "build", "-trimpath", "-o", b.scrip, "scrip")
	}
	w.server = enginetest.Program(b.engines, b.scrip, func(addr string) []string {
		return []string{
			"SCRIP_HTTP_ADDR=" + addr, "SCRIP_MYSQL_DSN=" + dsn, "SCRIP_REDIS_ADDRS=" + b.redisAddr(),
			"SCRIP_AUTH_BOOTSTRAP_KEY=" + apiKey, "SCRIP_LIMITS_ENABLED=false", "SCRIP_DATA_DIR=" + dir,
			"SCRIP_MYSQL_MAX_OPEN_CONNS=" + strconv.Itoa(storeConns),
			"SCRIP_REDIS_DB=" + strconv.Itoa(len(b.ways)), // ids are made for one database: two may make the same
		}
	})
	w.open = func(n int, stock int64) []string { return b.openScrip(w, n, stock) }
}

// openScrip publishes templates with a rule of their own.
func (b *bench) openScrip(w *way, n int, stock int64) []string {
	api := b.api(w)
	rule, ids := b.rule(api), make([]string, n)
	for i := range ids {
		ids[i] = b.publishTemplate(api, client.NewTemplate{RuleID: rule, Stock: &stock})
	}
	return ids
}

func (b *bench) api(w *way) *client.Client {
	api, err := client.New(w.url, apiKey)
	b.must(err)
	return api
}

// rule makes one of 5.00 off.
func (b *bench) rule(api *client.Client) string {
	rule, err := api.CreateRule(b.ctx, client.NewRule{
		Name: "cost", Kind: "amount_off", Effect: client.Effect{AmountOff: 500, Currency: "USD"},
	})
	b.must(err)
	return rule.ID
}

func (b *bench) publishTemplate(api *client.Client, template client.NewTemplate) string {
	template.Name, template.Currency, template.Validity = "cost", "USD", client.Validity{DaysAfterClaim: new(30)}
	made, err := api.CreateTemplate(b.ctx, template)
	b.must(err)
	_, err = api.PublishTemplate(b.ctx, made.ID)
	b.must(err)
	return made.ID
}

// database makes a database of that name on a MariaDB that keeps what it has
// acknowledged: what is cheap otherwise proves nothing.
func (b *bench) database(w *way, name string) (dsn string) {
	if b.maria == nil {
		// Room for the data, as on any server that is meant for it; a small log
		// would have it write pages all the time.
		b.maria = enginetest.OwnMariaDB(b.engines, "--innodb-buffer-pool-size=3G", "--innodb-log-file-size=1G")
		b.mustBeDurable()
	}
	w.parts[partMaria] = b.maria.CPU
	create := "CREATE DATABASE " + name + " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	_, err := b.openSQL(b.maria.DSN("")).ExecContext(b.ctx, create)
	b.must(err)
	w.db = b.openSQL(b.maria.DSN(name))
	return b.maria.DSN(name)
}

func (b *bench) mustBeDurable() {
	var flush, sync int
	var log bool
	const ask = "SELECT @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@log_bin"
	b.must(b.openSQL(b.maria.DSN("")).QueryRowContext(b.ctx, ask).Scan(&flush, &sync, &log))
	if flush != 1 || sync != 1 || !log {
		b.Fatalf("the database is not durable: flush %d, sync_binlog %d, log_bin %v", flush, sync, log)
	}
}

func (b *bench) openSQL(dsn string) *sql.DB {
	db, err := sql.Open("mysql", dsn)
	b.must(err)
	b.Cleanup(func() { _ = db.Close() })
	return db
}

func (b *bench) redisAddr() string {
	if b.redis == nil {
		b.redis = enginetest.Redis(b.engines, "--appendonly", "yes", "--appendfsync", "everysec")
	}
	return b.redis.Addr()
}

// sold fails the run unless what is stored of the templates is what was
// acknowledged. Requests that were under way at the end of a turn were answered
// before the next.
func (b *bench) sold(w *way, templates []string, acknowledged int64) {
	if w.db == nil {
		return
	}
	var stored int64
	const ask = "SELECT COUNT(*) FROM coupons WHERE template_id BETWEEN ? AND ?"
	b.must(w.db.QueryRowContext(b.ctx, ask, templates[0], templates[len(templates)-1]).Scan(&stored))
	if stored != acknowledged {
		b.Errorf("%s: %d coupons are stored, %d were acknowledged", w.name, stored, acknowledged)
	}
}

// calm waits until nothing but a trickle of work is done for the way any more:
// what its stores do a little later is part of the cost.
func (b *bench) calm(w *way) {
	const interval, trickle = 200 * time.Millisecond, 10 * time.Millisecond
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	sum := func() (all time.Duration) {
		for _, spent := range w.spent() {
			all += spent
		}
		return all
	}
	for last := sum(); ; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		now := sum()
		if now-last <= trickle {
			return
		}
		last = now
	}
}

// spent is the processor time of each part so far.
func (w *way) spent() map[string]time.Duration {
	spent := map[string]time.Duration{}
	for name, cpu := range w.parts {
		spent[name] = cpu()
	}
	return spent
}

// The database's own counters.
const (
	commits = "Binlog_commits"        // transactions
	syncs   = "Binlog_group_commits"  // of the binary log; one may carry some transactions
	redo    = "Innodb_os_log_written" // bytes
	binlog  = "Binlog_bytes_written"  // bytes
)

// written is how far the counters of the way's database are.
func (b *bench) written(w *way) map[string]float64 {
	counters := map[string]float64{}
	if w.db == nil {
		return counters
	}
	const ask = "SHOW GLOBAL STATUS WHERE Variable_name IN ('" + commits + "', '" + syncs + "', '" + redo + "', '" + binlog + "')"
	rows, err := w.db.QueryContext(b.ctx, ask)
	b.must(err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var value float64
		b.must(rows.Scan(&name, &value))
		counters[name] = value
	}
	b.must(rows.Err())
	return counters
}

// lastWords are what the way's server printed last.
func (w *way) lastWords() string {
	lines := strings.Split(strings.TrimSpace(w.server.Output()), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
