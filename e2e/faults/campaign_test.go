package faults

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"scrip/e2e/faults/history"
	"scrip/enginetest"
)

// row is one line of the fault table.
type row struct {
	name  string
	needs engines

	hits  span[int]           // how often the fault strikes; in the short form the least
	pause span[time.Duration] // before each strike
	lasts span[time.Duration] // each
	short time.Duration       // how long each lasts in the short form, if not as long

	// load changes the plan's load where the fault needs another.
	load func(p *plan)
	// strike makes the fault, adds to w.fired when it has happened, and heals it.
	strike func(w *world, h hit)
	// after demands what is peculiar to this fault.
	after func(w *world, s *history.State) []string
	// breaks is a law that this row must break: it proves that the others can fail.
	breaks string
	// ops is the fewest requests for a load to be one.
	ops int
}

// result is what a run came to.
type result struct {
	Row     string          `json:"row"`
	Seed    uint64          `json:"seed"`
	Ops     int             `json:"ops"`
	Unknown int             `json:"unknown"`
	Fired   int64           `json:"fired"`
	Settled time.Duration   `json:"settled"`
	Faults  []history.Fault `json:"faults"`
	Other   []string        `json:"other"`
	Notes   []string        `json:"notes"`
}

func (r *result) red() bool { return len(r.Faults) > 0 || len(r.Other) > 0 }

func (r *result) other(format string, args ...any) {
	r.Other = append(r.Other, fmt.Sprintf(format, args...))
}

func (r *result) String() string {
	verdict := "ok"
	if r.red() {
		verdict = "RED"
	}
	return fmt.Sprintf("%-28s seed %-4d %6d requests %5d unknown %4d faults  settled in %5.1fs  %s  %s",
		r.Row, r.Seed, r.Ops, r.Unknown, r.Fired, r.Settled.Seconds(), verdict, strings.Join(r.Notes, ", "))
}

// summary gathers all results of this process.
type summary struct {
	mu      sync.Mutex
	results []*result
}

// all is told by TestMain when the last test is over.
var all summary

func (s *summary) add(r *result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = append(s.results, r)
	_, _ = fmt.Fprintln(os.Stdout, r)
}

// table is one line for each row.
func (s *summary) table() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	type line struct {
		seeds, ops, unknown, red int
		fired                    int64
		settled                  time.Duration
	}
	lines := map[string]*line{}
	var names []string
	for _, r := range s.results {
		l := lines[r.Row]
		if l == nil {
			l = &line{}
			lines[r.Row] = l
			names = append(names, r.Row)
		}
		l.seeds, l.ops, l.unknown, l.fired = l.seeds+1, l.ops+r.Ops, l.unknown+r.Unknown, l.fired+r.Fired
		l.settled = max(l.settled, r.Settled)
		if r.red() {
			l.red++
		}
	}
	slices.Sort(names)
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "row\tseeds\trequests\tfaults\tunknown\tsettled in\tverdict\t")
	for _, name := range names {
		l := lines[name]
		verdict := "ok"
		if l.red > 0 {
			verdict = fmt.Sprintf("%d RED", l.red)
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%.1fs\t%s\t\n", name, l.seeds, l.ops, l.fired, l.unknown, l.settled.Seconds(), verdict)
	}
	_ = w.Flush()
	return text.String()
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scrip-faults-bin-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if binary, err = build(context.Background(), dir); err != nil {
		panic(err)
	}
	flag.Parse()
	if f := flag.Lookup("test.parallel"); os.Getenv("SCRIP_FAULTS_SEEDS") == "" && f != nil {
		_ = f.Value.Set("8") // rows mostly wait, but not all of them, nor those of the other packages
	}
	code := enginetest.Main(m).Run()
	if len(all.results) > 0 {
		_, _ = fmt.Fprint(os.Stdout, "\n", all.table())
	}
	return code
}

// build builds scrip with the tags, into the folder.
func build(ctx context.Context, dir string, tags ...string) (string, error) {
	program := filepath.Join(dir, "scrip"+strings.Join(tags, "-"))
	out, err := exec.CommandContext(ctx, "go", "build", "-tags", strings.Join(tags, ","), "-o", program, "scrip").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
}

func TestFaults(t *testing.T) {
	t.Parallel()
	from, n, short := seeds()
	for _, r := range slices.Concat(redisRows(), mysqlRows(), serverRows(), checkoutRows(), clockRows(), lineRows(), crashRows()) {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for seed := from; seed < from+n; seed++ {
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { r.run(t, newPlan(&r, seed, short)) })
			}
		})
	}
}

// run is one run of a row, from the empty stores to the verdict.
func (r *row) run(t *testing.T, p *plan) {
	t.Helper()
	if r.load != nil {
		r.load(p)
	}
	w := newWorld(t, r.needs, p)
	go w.watchMachine(t.Context())
	l := w.startLoad()
	for _, h := range p.Hits {
		pause(t.Context(), h.After)
		r.strike(w, h)
	}
	healed := time.Now()
	rested := l.rest(r.ops)
	l.end()
	var unquiet error
	if r.breaks == "" { // what is lost can never be quiet again
		unquiet = l.quiet(t.Context())
		w.promised("all quiet", time.Since(healed)-rested, promise)
	}
	got := &result{Row: r.name, Seed: p.Seed, Fired: w.fired.Load(), Settled: time.Since(healed) - rested}
	if unquiet != nil {
		got.other("not quiet: %v", unquiet)
	}
	state, err := w.evidence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.judge(w, got, state)
	all.add(got)
	if got.red() {
		t.Errorf("%s\nkept in %s", strings.Join(got.complaints(), "\n"), w.keep(got, state))
	}
}

func (r *result) complaints() []string {
	complaints := slices.Clone(r.Other)
	for _, f := range r.Faults {
		complaints = append(complaints, f.String())
	}
	return complaints
}

func (r *row) judge(w *world, got *result, state *history.State) {
	got.Other, got.Notes = append(got.Other, w.wrong.list...), w.notes.list
	ops := w.log.all()
	got.Ops = len(ops)
	for i := range ops {
		if ops[i].Unknown() {
			got.Unknown++
		}
	}
	got.Faults = history.Judge(ops, state)
	if r.breaks != "" {
		got.mustBreak(r.breaks)
	} else {
		got.Other = append(got.Other, w.apiAgrees(w.Context(), state)...)
		if out, code := w.command(w.Context(), "check"); code != 0 {
			got.other("scrip check ended with %d:\n%s", code, out)
		}
	}
	if got.Fired == 0 {
		got.other("the fault never happened")
	}
	if got.Ops < r.ops {
		got.other("%d requests are hardly a load; %d were wanted", got.Ops, r.ops)
	}
	if r.after != nil {
		got.Other = append(got.Other, r.after(w, state)...)
		got.Notes = w.notes.list
	}
}

// mustBreak turns a verdict round.
func (r *result) mustBreak(law string) {
	broken := slices.ContainsFunc(r.Faults, func(f history.Fault) bool { return f.Law == law })
	r.Faults, r.Other = nil, nil
	if !broken {
		r.other("nothing broke %q: would anybody notice if something did?", law)
	}
}

// keep writes down all there is to know of a failed run, and returns where.
func (w *world) keep(got *result, state *history.State) (folder string) {
	w.Helper()
	folder, err := os.MkdirTemp("", fmt.Sprintf("scrip-faults-%s-%d-", got.Row, got.Seed))
	if err != nil {
		w.Error(err)
		return ""
	}
	for name, what := range map[string]any{"plan.json": w.plan, "result.json": got, "history.json": w.log.all(), "state.json": state} {
		text, err := json.MarshalIndent(what, "", " ")
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name), text, 0o600)
		}
		if err != nil {
			w.Error(err)
		}
	}
	for i, s := range w.servers {
		_ = os.WriteFile(filepath.Join(folder, fmt.Sprintf("scrip-%d.log", i)), []byte(s.Output()), 0o600)
	}
	w.dump(folder)
	return folder
}

// dump adds what the stores themselves say, as far as their tools are at hand.
func (w *world) dump(folder string) {
	if w.maria == nil {
		return
	}
	host, port, _ := strings.Cut(w.maria.Addr(), ":")
	var database string
	if err := w.db.QueryRowContext(w.Context(), "SELECT DATABASE()").Scan(&database); err != nil {
		return
	}
	out, _ := exec.CommandContext(w.Context(), "mariadb-dump", "--no-defaults", "-uroot", "-h"+host, "-P"+port, database).Output()
	_ = os.WriteFile(filepath.Join(folder, "mysql.sql"), out, 0o600)
	host, port, _ = strings.Cut(w.toRedis.Addr(), ":")
	const script = `local all = {} for _, k in ipairs(redis.call('KEYS', '*')) do
		local kind = redis.call('TYPE', k).ok
		local read = {string = {'GET', k}, hash = {'HGETALL', k}, set = {'SMEMBERS', k}, zset = {'ZRANGE', k, 0, -1, 'WITHSCORES'}}
		all[#all + 1] = k all[#all + 1] = redis.call(unpack(read[kind])) end return all`
	out, _ = exec.CommandContext(w.Context(), "redis-cli", "-h", host, "-p", port, "EVAL", script, "0").Output()
	_ = os.WriteFile(filepath.Join(folder, "redis.txt"), out, 0o600)
}

// TestReplay judges once more what a failed run left in the folder that
// SCRIP_FAULTS_REPLAY names.
func TestReplay(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("SCRIP_FAULTS_REPLAY")
	if folder == "" {
		t.Skip("nothing to replay: make faults REPLAY=folder")
	}
	var ops []history.Op
	var state history.State
	for name, into := range map[string]any{"history.json": &ops, "state.json": &state} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err = errors.Join(err, json.Unmarshal(text, into)); err != nil {
			t.Fatal(err)
		}
	}
	for _, fault := range history.Judge(ops, &state) {
		t.Error(fault)
	}
}
