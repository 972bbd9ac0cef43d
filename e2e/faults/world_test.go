package faults

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite" // the driver of openFile

	"scrip/e2e/faults/history"
	"scrip/enginetest"
)

// binary is the program under test, built once by TestMain.
var binary string

const platformKey = "sk_faults_platform_0123456789abcdef"

// engines are the stores and servers that a row needs.
type engines struct {
	servers  int           // of Scrip; 0 stands for 2
	ownMySQL []string      // not nil: a MariaDB of its own, with these arguments
	diskMiB  int           // that MariaDB's data are on a disk of this size
	dsn      string        // more parameters of the DSN
	replica  bool          // a second Redis, which follows the first through world.link
	env      []string      // more of Scrip's environment
	program  string        // another program than binary
	crash    string        // the failpoints to die of, by a program that has them
	embedded bool          // one server without MariaDB and Redis
	ahead    time.Duration // of the servers' own clocks is the database's
	remind   []int         // before how many days the checkouts' coupons remind of their end
}

// world is a running Scrip with its stores, each behind a proxy, and the things
// that the load is about.
type world struct {
	testing.TB
	needs engines
	plan  *plan

	maria          *enginetest.Server // nil on the embedded default
	redis, replica *enginetest.Server
	toMaria        *enginetest.Proxy
	toRedis, link  *enginetest.Proxy
	servers        []*enginetest.Server
	env            []string // of the servers, without their addresses
	crash, deaths  string   // the failpoints to die of, and the file that says of which somebody did
	db             *sql.DB  // straight to MariaDB, for looking
	http           *http.Client

	rule   string
	sale   int64            // a template that sells out
	stream int64            // a template whose coupons are used at checkouts
	stock  map[int64]*int64 // with which each template began
	budget []string         // of stream: an amount, and a count for each user

	began time.Time
	log   log
	wrong complaints   // what a strike found wrong
	notes complaints   // what else is worth a line
	late  atomic.Int64 // how often this process itself was not let run for a while
	fired atomic.Int64 // how often the fault happened
	users atomic.Int64 // made so far
}

// log is the history as it grows. It is safe for concurrent use.
type log struct {
	mu  sync.Mutex
	ops []history.Op
}

func (l *log) add(op history.Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ops = append(l.ops, op)
}

func (l *log) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ops)
}

func (l *log) all() []history.Op {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]history.Op(nil), l.ops...)
}

// complaints is a list that grows. It is safe for concurrent use.
type complaints struct {
	mu   sync.Mutex
	list []string
}

func (c *complaints) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, fmt.Sprintf(format, args...))
}

// promised notes how long something took. In a campaign more than was promised
// is wrong. Beside all the other tests of make test it may take its time, and so
// it may on a machine that is too busy to let anybody run: no clock tells there
// whether Scrip or the machine was slow.
func (w *world) promised(what string, took, most time.Duration) {
	w.note("%s in %.1fs", what, took.Seconds())
	switch late := w.late.Load(); {
	case took <= most || w.plan.Short:
	case late > mostLate:
		w.note("of %s, on a machine that was late %d times", most, late)
	default:
		w.wrong.add("%s: after %s, promised are %s", what, took, most)
	}
}

// A tick is late by more than lateBy; so often and more, and the machine is too busy.
const (
	tick     = 20 * time.Millisecond
	lateBy   = 100 * time.Millisecond
	mostLate = 20
)

// watchMachine counts how often this process was not let run, until ctx ends.
func (w *world) watchMachine(ctx context.Context) {
	for last := time.Now(); pause(ctx, tick); last = time.Now() {
		if time.Since(last) > tick+lateBy {
			w.late.Add(1)
		}
	}
}

// note tells something of the run that is not wrong.
func (w *world) note(format string, args ...any) { w.notes.add(format, args...) }

// newWorld starts all of it.
func newWorld(tb testing.TB, e engines, p *plan) *world {
	tb.Helper()
	w := &world{TB: tb, needs: e, plan: p, stock: map[int64]*int64{}}
	w.env = append([]string{
		"SCRIP_AUTH_BOOTSTRAP_KEY=" + platformKey, "SCRIP_AUTH_JWT_SECRET=faults secret, which is long enough for HS256",
		"SCRIP_LIMITS_ENABLED=false", "SCRIP_JOBS_SETTLE_AFTER=" + p.SettleAfter.String(),
	}, e.env...)
	servers := max(1, e.servers)
	switch {
	case e.embedded:
		dir := tb.TempDir()
		w.env = append(w.env, "SCRIP_DATA_DIR="+dir)
		w.db = w.openFile(filepath.Join(dir, "scrip.db"))
	case e.servers == 0:
		servers = 2
		fallthrough
	default:
		w.stores(e)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	tb.Cleanup(transport.CloseIdleConnections)
	w.http = &http.Client{Transport: transport}
	program := binary
	if e.program != "" {
		program = e.program
	}
	if e.crash != "" {
		program = w.arm(e.crash)
	}
	for range servers {
		w.servers = append(w.servers, enginetest.Program(tb, program, func(addr string) []string {
			return append([]string{"SCRIP_HTTP_ADDR=" + addr}, w.env...)
		}))
	}
	w.began = time.Now()
	w.furnish()
	return w
}

func (w *world) stores(e engines) {
	w.Helper()
	var dsn string
	switch {
	case e.ownMySQL == nil:
		dsn = enginetest.MySQLDSN(w.TB)
		w.maria = enginetest.MariaDB(w.TB)
	case e.diskMiB > 0:
		w.maria = enginetest.OwnMariaDBOnDisk(w.TB, e.diskMiB, e.ownMySQL...)
	default:
		w.maria = enginetest.OwnMariaDB(w.TB, e.ownMySQL...)
	}
	if e.ownMySQL != nil {
		dsn = w.maria.DSN("scrip")
		w.createDatabase()
	}
	w.toMaria = enginetest.NewProxy(w.TB, w.maria.Addr())
	if e.ahead != 0 {
		w.ahead(e.ahead)
	}
	w.redis = enginetest.Redis(w.TB)
	w.toRedis = enginetest.NewProxy(w.TB, w.redis.Addr())
	if e.replica {
		w.link = enginetest.NewProxy(w.TB, w.redis.Addr())
		host, port, _ := strings.Cut(w.link.Addr(), ":")
		w.replica = enginetest.Redis(w.TB, "--replicaof", host+" "+port)
	}
	w.env = append(w.env, "SCRIP_REDIS_ADDRS="+w.toRedis.Addr(),
		"SCRIP_MYSQL_DSN="+strings.Replace(dsn, w.maria.Addr(), w.toMaria.Addr(), 1)+"?"+e.dsn)
	w.db = w.open(dsn)
}

func (w *world) open(dsn string) *sql.DB {
	w.Helper()
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		w.Fatal(err)
	}
	config.Logger = &mysql.NopLogger{} // a server that was killed is nothing to be told about
	connector, err := mysql.NewConnector(config)
	if err != nil {
		w.Fatal(err)
	}
	db := sql.OpenDB(connector)
	w.Cleanup(func() { _ = db.Close() })
	return db
}

// openFile opens the embedded database beside the server that has it, for looking.
func (w *world) openFile(path string) *sql.DB {
	w.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&mode=ro")
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = db.Close() })
	return db
}

func (w *world) createDatabase() {
	w.Helper()
	db := w.open(w.maria.DSN(""))
	if _, err := db.ExecContext(w.Context(), "CREATE DATABASE scrip CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"); err != nil {
		w.Fatal(err)
	}
}

// furnish makes what the load is about.
func (w *world) furnish() {
	w.Helper()
	w.rule = w.make("/rules", object{
		"name": "5 off from 30", "kind": "amount_off", "effect": object{"amount_off": 500, "currency": "USD"},
		"conditions": object{"min_amount": 3000}, "stacking": object{"max_per_order": 3},
	})
	amount := w.make("/budgets", object{"name": "money", "kind": "amount", "currency": "USD", "total": w.plan.Money})
	times := w.make("/budgets", object{"name": "times", "kind": "count", "total": w.plan.Times, "per_user_total": 6})
	w.budget = []string{amount, times}
	template := func(stock, limit int64, budgets []string) int64 {
		id := w.make("/templates", object{
			"name": "sale", "rule_id": w.rule, "currency": "USD", "stock": stock, "per_user_limit": limit,
			"validity": object{"days_after_claim": 30}, "budget_ids": budgets, "remind_before_days": w.needs.remind,
		})
		w.must(http.StatusOK, http.MethodPost, "/templates/"+id+"/publish", nil)
		number, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			w.Fatal(err)
		}
		w.watch(number, stock)
		return number
	}
	w.sale = template(w.plan.Stock, 1, nil)
	w.stream = template(1_000_000, w.plan.Limit, w.budget)
}

// watch has a template judged that began with so much stock.
func (w *world) watch(template, stock int64) { w.stock[template] = &stock }

// object is a JSON object.
type object = map[string]any

func (w *world) make(path string, body object) (id string) {
	w.Helper()
	return fmt.Sprint(w.must(http.StatusCreated, http.MethodPost, path, body)["id"])
}

// must sends a request that is no part of the history, and demands the status.
// While a store is still finding its feet it is sent again.
func (w *world) must(status int, method, path string, body any) object {
	w.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		got, err := w.send(w.Context(), 0, method, path, "", body)
		switch {
		case err == nil && got.status == status:
			return got.body
		case time.Now().After(deadline) || err == nil && got.status != http.StatusServiceUnavailable:
			w.Fatalf("%s %s: %d %v, %v", method, path, got.status, got.body, err)
		}
		pause(w.Context(), 100*time.Millisecond)
	}
}

// reply is what a server said.
type reply struct {
	status int
	header http.Header
	body   object
}

func (r reply) text(name string) string {
	text, _ := r.body[name].(string)
	return text
}

func (r reply) number(name string) int64 {
	switch v := r.body[name].(type) {
	case string:
		n, _ := strconv.ParseInt(v, 10, 64)
		return n
	case float64:
		return int64(v)
	}
	return 0
}

// send sends a request to a server.
func (w *world) send(ctx context.Context, server int, method, path, key string, body any) (reply, error) {
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return reply{}, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, w.servers[server].DSN("")+"/v1"+path, content)
	if err != nil {
		return reply{}, err
	}
	request.Header.Set("Authorization", "Bearer "+platformKey)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := w.http.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, err
	}
	got := reply{status: response.StatusCode, header: response.Header}
	return got, json.Unmarshal(text, &got.body)
}

// command runs scrip with a command on the world's stores.
func (w *world) command(ctx context.Context, args ...string) (output string, code int) {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, w.env...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		return fmt.Sprint(err), -1
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// since is the time on the history's clock.
func (w *world) since() time.Duration { return time.Since(w.began) }

// pause waits for d, or until ctx ends; then it is false.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
