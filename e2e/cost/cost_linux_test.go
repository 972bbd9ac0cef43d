package cost

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver of sql.Open

	"scrip/bench/wire"
	"scrip/client"
	"scrip/enginetest"
)

var (
	binary   = flag.String("scrip", "", "the server to weigh; built from this module by default")
	conns    = flag.Int("conns", 128, "connections, each with one request under way")
	seconds  = flag.Float64("seconds", 4, "how long each takes its turn in a round")
	ordinary = flag.Bool("nethttp", false, "send with net/http's client instead of a lean one")
	maxRatio = flag.Float64("max-ratio", 0, "fail if a claim costs more than so many times the floor at as many requests a second; 0: any")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if addr := os.Getenv(floorEnv); addr != "" {
		fmt.Fprintln(os.Stderr, serveFloor(addr))
		os.Exit(1)
	}
	os.Exit(enginetest.Main(m).Run())
}

const (
	apiKey   = "sk_cost_benchmark_only_0123456789abcdef"
	database = "scrip_cost"
)

// BenchmarkClaim takes turns: the floor, a claim, the floor at no more requests a
// second than there were claims, and a claim that carries an Idempotency-Key,
// which has to be stored as well. A server that is never idle spends less on each
// request, because it is never woken for one: the second floor is for that.
func BenchmarkClaim(b *testing.B) {
	maria, redis := enginetest.OwnMariaDB(b), enginetest.Redis(b)
	prepare(b, maria.DSN(""))
	server := startServer(b, maria.DSN(database), redis.Addr())
	template := openSale(b, server.DSN(""))

	stores := map[string]func() time.Duration{"MariaDB": maria.CPU, "Redis": redis.CPU}
	floor := &subject{name: "floor", child: startFloor(b), template: template}
	claim := &subject{name: "claim", child: server, stores: stores, template: template}
	paced := &subject{name: "floor, as many", child: floor.child, template: template, paceOf: claim}
	keyed := &subject{name: "claim with a key", child: server, stores: stores, template: template, keys: true}
	subjects := []*subject{floor, claim, paced, keyed}

	for _, s := range subjects {
		s.turn(b, "warm-up", time.Second)
	}
	for _, s := range subjects {
		s.rounds = nil
	}
	length := time.Duration(*seconds * float64(time.Second))
	for b.Loop() {
		for _, s := range subjects {
			s.turn(b, strconv.Itoa(len(s.rounds)), length)
		}
	}
	b.StopTimer()
	compareWithTable(b, maria.DSN(database), template, claim.granted+keyed.granted)
	report(b, floor, paced, subjects)
}

// prepare makes the database, and makes sure that the server keeps what it
// has acknowledged: what is cheap otherwise proves nothing.
func prepare(b *testing.B, dsn string) {
	b.Helper()
	db := open(b, dsn)
	var flush, sync int
	var log bool
	const ask = "SELECT @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@log_bin"
	if err := db.QueryRowContext(b.Context(), ask).Scan(&flush, &sync, &log); err != nil {
		b.Fatal(err)
	}
	if flush != 1 || sync != 1 || !log {
		b.Fatalf("the database is not durable: flush %d, sync_binlog %d, log_bin %v", flush, sync, log)
	}
	create := "CREATE DATABASE " + database + " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	if _, err := db.ExecContext(b.Context(), create); err != nil {
		b.Fatal(err)
	}
}

func open(b *testing.B, dsn string) *sql.DB {
	b.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db
}

// openSale publishes a template that does not sell out, and returns its id.
func openSale(b *testing.B, url string) string {
	b.Helper()
	api, err := client.New(url, apiKey)
	if err != nil {
		b.Fatal(err)
	}
	rule, err := api.CreateRule(b.Context(), client.NewRule{
		Name: "cost", Kind: "amount_off", Effect: client.Effect{AmountOff: 500, Currency: "USD"},
	})
	if err != nil {
		b.Fatal(err)
	}
	template, err := api.CreateTemplate(b.Context(), client.NewTemplate{
		Name: "cost", RuleID: rule.ID, Currency: "USD", Stock: new(int64(1_000_000_000)),
		Validity: client.Validity{DaysAfterClaim: new(30)},
	})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := api.PublishTemplate(b.Context(), template.ID); err != nil {
		b.Fatal(err)
	}
	return template.ID
}

// compareWithTable holds what was acknowledged against what is stored. Requests
// that were under way at the end of a turn were answered before the next.
func compareWithTable(b *testing.B, dsn, template string, granted int64) {
	b.Helper()
	var stored int64
	const ask = "SELECT COUNT(*) FROM coupons WHERE template_id = ?"
	if err := open(b, dsn).QueryRowContext(b.Context(), ask, template).Scan(&stored); err != nil {
		b.Fatal(err)
	}
	if stored != granted {
		b.Errorf("%d coupons are stored, %d were acknowledged", stored, granted)
	}
}

// subject is what is weighed.
type subject struct {
	name     string
	child    *enginetest.Server
	stores   map[string]func() time.Duration // processor time of what stands behind it
	template string
	keys     bool     // requests carry an Idempotency-Key
	paceOf   *subject // sends no more requests a second than that one's last turn

	rounds  []round
	granted int64 // all turns together
}

// round is what one turn came to. Costs are processor time for one request
// answered with success: of each process, and in all.
type round struct {
	rate     float64 // a second
	p50, p99 time.Duration
	cost     map[string]time.Duration
	total    time.Duration
}

// turn puts the subject under load, and waits until it has calmed down: what
// its stores do a little later is part of the cost.
func (s *subject) turn(b *testing.B, name string, length time.Duration) {
	b.Helper()
	target, err := wire.NewTarget(s.child.DSN(""))
	if err != nil {
		b.Fatal(err)
	}
	before := s.spent(b)
	l := &load{
		url: s.child.DSN(""), target: target, template: s.template, keys: s.keys, ordinary: *ordinary,
		name: strings.ReplaceAll(s.name, " ", "-") + "-" + name,
	}
	if s.paceOf != nil && len(s.paceOf.rounds) > 0 {
		l.rate = s.paceOf.rounds[len(s.paceOf.rounds)-1].rate
	}
	l.run(b.Context(), *conns, length)
	s.calm(b)
	after := s.spent(b)

	s.granted += l.granted
	if l.granted == 0 || l.failed > l.granted/100 {
		b.Fatalf("%s: %d answered with success, %d otherwise, such as: %s", s.name, l.granted, l.failed, l.example)
	}
	r := round{rate: float64(l.granted) / l.elapsed.Seconds(), p50: l.percentile(50), p99: l.percentile(99), cost: map[string]time.Duration{}}
	for part := range after {
		r.cost[part] = (after[part] - before[part]) / time.Duration(l.granted)
		r.total += r.cost[part]
	}
	s.rounds = append(s.rounds, r)
}

// spent is the processor time of each process so far.
func (s *subject) spent(b *testing.B) map[string]time.Duration {
	b.Helper()
	spent := map[string]time.Duration{"server": s.child.CPU()}
	for name, cpu := range s.stores {
		spent[name] = cpu()
	}
	return spent
}

// calm waits until nothing but a trickle of work is done any more.
func (s *subject) calm(b *testing.B) {
	b.Helper()
	const interval, trickle = 200 * time.Millisecond, 10 * time.Millisecond
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	sum := func() (all time.Duration) {
		for _, spent := range s.spent(b) {
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

// report prints the medians over the rounds. The ratio is taken within each
// round, so that a machine that slows down slows down both.
func report(b *testing.B, floor, paced *subject, subjects []*subject) {
	b.Helper()
	b.ReportMetric(0, "ns/op") // a round's length is nobody's concern
	var table strings.Builder
	fmt.Fprintf(&table, "%d rounds of %g s, %d connections, %d processors; medians\n%-18s%12s%10s%10s%12s%12s%12s%12s%10s%10s\n",
		len(floor.rounds), *seconds, *conns, runtime.NumCPU(),
		"", "requests/s", "p50 ms", "p99 ms", "server µs", "MariaDB µs", "Redis µs", "all µs", "/ floor", "/ as many")
	for _, s := range subjects {
		ratio, asMany := s.ratioTo(floor), s.ratioTo(paced)
		total := s.median(func(r round) float64 { return micros(r.total) })
		fmt.Fprintf(&table, "%-18s%12.0f%10.2f%10.2f", s.name, s.median(func(r round) float64 { return r.rate }),
			s.median(func(r round) float64 { return micros(r.p50) / 1000 }),
			s.median(func(r round) float64 { return micros(r.p99) / 1000 }))
		for _, part := range []string{"server", "MariaDB", "Redis"} {
			fmt.Fprintf(&table, "%12.1f", s.median(func(r round) float64 { return micros(r.cost[part]) }))
		}
		fmt.Fprintf(&table, "%12.1f%10.2f%10.2f\n", total, ratio, asMany)
		unit := strings.NewReplacer(" ", "-", ",", "").Replace(s.name)
		b.ReportMetric(total, unit+"-µs/op")
		if *maxRatio > 0 && s.name == "claim" && asMany > *maxRatio {
			b.Errorf("a claim costs %.2f times the floor, more than %g", asMany, *maxRatio)
		}
	}
	b.Log(table.String())
}

// ratioTo is the median, over the rounds, of how many times the other's cost.
func (s *subject) ratioTo(other *subject) float64 {
	ratios := make([]float64, len(s.rounds))
	for i, r := range s.rounds {
		ratios[i] = float64(r.total) / float64(other.rounds[i].total)
	}
	return median(ratios)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func (s *subject) median(of func(round) float64) float64 {
	var values []float64
	for _, r := range s.rounds {
		values = append(values, of(r))
	}
	return median(values)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}

// build makes the server from this module, unless one is given.
func build(b *testing.B) string {
	b.Helper()
	if *binary != "" {
		return *binary
	}
	path := filepath.Join(b.TempDir(), "scrip")
	runToEnd(b, "go", "build", "-trimpath", "-o", path, "scrip")
	return path
}
