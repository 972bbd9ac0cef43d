package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) {
	if os.Getenv(wayEnv) != "" {
		fmt.Fprintln(os.Stderr, dispatch(context.Background(), nil, io.Discard))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// newLab is a run whose engines are the test's.
func newLab(t *testing.T, out io.Writer) *bench {
	t.Helper()
	b := newBench(t.Context(), options{rounds: 1, turn: 200 * time.Millisecond, conns: 16}, out)
	b.engines = t
	t.Cleanup(func() {
		b.end()
		if err := errors.Join(b.errs...); err != nil {
			t.Error(err)
		}
	})
	return b
}

// What is weighed must do the same: grant exactly what there is, one to each
// user, and refuse the others.
func TestEachWaySellsExactlyItsStock(t *testing.T) {
	t.Parallel()
	b := newLab(t, io.Discard)
	const stock, users = 40, 100
	for _, name := range []string{"common", "reference", "scrip"} {
		w := b.way(name)
		template := w.open(1, stock)
		answers := map[string]int{}
		for _, wave := range []string{"once", "again"} {
			for code, n := range b.press(w, template[0], users) {
				answers[wave+" "+code] = n
			}
		}
		want := map[string]int{
			"once 201": stock, "once 409 sold_out": users - stock,
			"again 409 already_claimed": stock, "again 409 sold_out": users - stock,
		}
		if name == "common" { // looks at the stock first
			delete(want, "again 409 already_claimed")
			want["again 409 sold_out"] = users
		}
		if diff := cmp.Diff(want, answers); diff != "" {
			t.Errorf("%s answered (-want +got):\n%s", name, diff)
		}
		b.sold(w, template, stock)
		var lowest, highest, different int64
		const ask = "SELECT MIN(issue_no), MAX(issue_no), COUNT(DISTINCT issue_no) FROM coupons WHERE template_id = ?"
		if err := w.db.QueryRowContext(t.Context(), ask, template[0]).Scan(&lowest, &highest, &different); err != nil {
			t.Fatal(err)
		}
		if lowest != 1 || highest != stock || different != stock {
			t.Errorf("%s: %d issue numbers from %d to %d, want 1 to %d", name, different, lowest, highest, stock)
		}
	}
}

// What no claim can be cheaper than must be durable, or it proves nothing.
func TestTheLeastWayKeepsWhatItAcknowledges(t *testing.T) {
	t.Parallel()
	b := newLab(t, io.Discard)
	const users = 100
	w := b.way("least")
	template := w.open(1, plenty)
	if diff := cmp.Diff(map[string]int{"201": users}, b.press(w, template[0], users)); diff != "" {
		t.Errorf("answered (-want +got):\n%s", diff)
	}
	b.sold(w, template, users)
}

// press has each user claim once, and counts what is answered.
func (b *bench) press(w *way, template string, users int64) map[string]int {
	answers := make(chan string, users)
	b.times(w, users, func(ctx context.Context, c *caller, n int64) error {
		c.claim([]string{template}, "u", n)
		err := c.post(ctx, "/v1/claims", "", c.body, http.StatusCreated)
		answer := strconv.Itoa(c.answer.Status)
		_, code, found := strings.Cut(string(c.answer.Body), `"code":"`)
		if err != nil && found {
			code, _, _ = strings.Cut(code, `"`)
			answer += " " + code
		}
		answers <- answer
		return nil
	})
	close(answers)
	counted := map[string]int{}
	for answer := range answers {
		counted[answer]++
	}
	return counted
}

// What was measured must be what was done.
func TestSoldNoticesWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := newLab(t, io.Discard)
	w := b.way("common")
	template := w.open(1, 10)
	b.times(w, 3, claim(template, "u"))
	b.sold(w, template, 3)
	if len(b.errs) != 0 {
		t.Errorf("three sold: %v", b.errs)
	}
	b.sold(w, template, 4)
	if len(b.errs) != 1 {
		t.Error("one that is missing was not noticed")
	}
	b.errs = nil
}

// In an open loop an operation that has to wait for the one before is late, and
// its latency says so.
func TestTimeCountsFromWhenAnOperationWasDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var begun []time.Duration
		start := time.Now()
		l := &load{
			way: &way{}, next: new(atomic.Int64), rate: 10,
			do: func(_ context.Context, _ *caller, n int64) error {
				begun = append(begun, time.Since(start))
				if n == 1 {
					<-time.After(250 * time.Millisecond)
				}
				return nil
			},
		}
		l.run(t.Context(), 1, 500*time.Millisecond)
		ms := time.Millisecond
		want := []time.Duration{0, 250 * ms, 250 * ms, 300 * ms, 400 * ms}
		if diff := cmp.Diff(want, begun); diff != "" {
			t.Errorf("begun (-want +got):\n%s", diff)
		}
		// Due at 0, 100, 200, 300 and 400 ms.
		for percent, want := range map[float64]float64{100: 250_000, 80: 150_000, 60: 50_000, 40: 0} {
			if got := l.percentile(percent); got < want || got > want*1.001+1 {
				t.Errorf("percentile %g: %g µs, want %g", percent, got, want)
			}
		}
	})
}

func TestTheTableLeavesOutWhatNobodyHas(t *testing.T) {
	t.Parallel()
	floor := &subject{name: "floor", rounds: []round{
		{rate: 50_000, p50: 1000, cost: map[string]float64{partServer: 20}, total: 20},
		{rate: 10_000, p50: 3000, cost: map[string]float64{partServer: 30}, total: 30},
	}}
	scrip := &subject{name: "Scrip", rounds: []round{
		{rate: 25_000, p50: 2000, cost: map[string]float64{partServer: 30, partMaria: 10}, total: 40},
		{rate: 4_000, p50: 4000, cost: map[string]float64{partServer: 60, partMaria: 30}, total: 90},
	}}
	b := &bench{}
	got := b.table("x", []*subject{floor, scrip}, peers{floor: floor, scrip: scrip}).markdown()
	want := `|       | a second | p50 ms | server µs | MariaDB µs | all µs | all ÷ floor | all ÷ Scrip | a second ÷ floor |
| ----- | -------: | -----: | --------: | ---------: | -----: | ----------: | ----------: | ---------------: |
| floor |   30,000 |   2.00 |      25.0 |            |   25.0 |        1.00 |        0.42 |             1.00 |
| Scrip |   14,500 |   3.00 |      45.0 |       20.0 |   65.0 |        2.50 |        1.00 |             0.45 |
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsAskedForMustExist(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-only", "hot,none"}, {"-rounds", "0"}, {"-seconds", "-1"}, {"hot"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
	o, err := parse([]string{"-quick"}, io.Discard)
	if err != nil || !o.wanted("hot") || o.wanted("storms") {
		t.Errorf("quick is %+v, %v", o, err)
	}
}

// documents has a copy of the documents that a run writes into.
func documents(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, page := range []string{performancePage, capacityPage} {
		text, err := os.ReadFile(filepath.Join("../../docs", page))
		if err != nil {
			t.Fatal(err)
		}
		if err := writeFile(filepath.Join(dir, page), string(text)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Every scenario has its place in the documents, and what was written by hand
// stays.
func TestTheDocumentsHaveAPlaceForEverything(t *testing.T) {
	t.Parallel()
	dir := documents(t)
	page := filepath.Join(dir, performancePage)
	keys := []string{"machine", "aims"}
	for _, s := range scenarios() {
		keys = append(keys, s.key)
	}
	for _, key := range keys {
		for _, text := range []string{"first " + key, "then " + key} {
			if err := replace(page, key, text); err != nil {
				t.Error(err)
			}
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if _, inside, _, err := between(string(text), key); err != nil || strings.TrimSpace(inside) != "then "+key {
			t.Errorf("%s holds %q, %v", key, inside, err)
		}
	}
	if !strings.Contains(string(text), "## A quote, and the best combination\n") {
		t.Error("what was written by hand is gone")
	}
	if err := replace(page, "nothing", "x"); err == nil {
		t.Error("text went to a place that there is not")
	}
	if err := replace(filepath.Join(dir, capacityPage), "capacity", "x"); err != nil {
		t.Error(err)
	}
}

// What the documents say of aims and capacity is what the figures beside them
// say.
func TestTheDocumentsFollowTheFigures(t *testing.T) {
	t.Parallel()
	m, err := readMeasured("../../docs")
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []struct{ page, key, want string }{
		{performancePage, "aims", m.aims()},
		{capacityPage, "capacity", m.capacity()},
	} {
		text, err := os.ReadFile(filepath.Join("../../docs", place.page))
		if err != nil {
			t.Fatal(err)
		}
		_, inside, _, err := between(string(text), place.key)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimSpace(place.want), strings.TrimSpace(inside)); diff != "" {
			t.Errorf("%s, %s (-figures +page):\n%s", place.page, place.key, diff)
		}
	}
}

func TestAnAimIsMetFromItsRightSide(t *testing.T) {
	t.Parallel()
	m := Measured{Scenarios: map[string]Figures{"hot": {Values: map[string]float64{"a": 1.8, "b": 3.9}}}}
	for _, c := range []struct {
		aim  aim
		want []string
	}{
		{aim{what: "a", scenario: "hot", value: "a", limit: 1.8, digits: 1}, []string{"a", "≤ 1.8", "1.8", "yes"}},
		{aim{what: "a", scenario: "hot", value: "a", limit: 1.5, digits: 1}, []string{"a", "≤ 1.5", "1.8", "no"}},
		{aim{what: "b", scenario: "hot", value: "b", limit: 4, least: true, unit: " ×", digits: 1}, []string{"b", "≥ 4 ×", "3.9 ×", "no"}},
		{aim{what: "c", scenario: "hot", value: "c", limit: 60, unit: " MiB"}, []string{"c", "≤ 60 MiB", "not measured", ""}},
	} {
		if diff := cmp.Diff(c.want, c.aim.row(m)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestCapacityIsComputedFromTheCost(t *testing.T) {
	t.Parallel()
	m := Measured{Scenarios: map[string]Figures{"hot": {When: "2026-11-23", Values: map[string]float64{
		"Scrip/server": 40, "Scrip/maria": 20, "Scrip/redis": 8, "Scrip/redo": 300, "Scrip/binlog": 200, "Scrip/claims a commit": 50,
	}}}}
	got := m.capacity()
	for _, want := range []string{
		"| 5.2 (8) | 2.6 (4) | 1.0 (2) | 8.8 (14) |",                   // 130,000 × 40, 20, 8 µs
		"|       2 |               1 |            2 |",                 // machines of four
		"| a server of 4 processors               |         100,000 |", // 4 / 40 µs
		"What breaks first is a server of 4 processors.",
		"39 and 26 MB a second",
		"2,600 commits a second",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
}

func TestThePictureIsAnImage(t *testing.T) {
	t.Parallel()
	svg := draw([]curve{{name: "Scrip", points: []point{{1, 100, 500, 2000, 40}, {1, 10_000, 5000, 90_000, 20}}}})
	for decoder := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	// 100 a second is where one axis begins, and 90 ms is a little below where the other ends.
	for _, want := range []string{`points="70.0,287.9 750.0,56.4`, ">10,000<", ">0.1<", ">Scrip<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("there is no %q in\n%s", want, svg)
		}
	}
}

func TestStatementsAreAbridged(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]string{
		"SELECT `id`, code\n FROM coupons WHERE user_id = 'it''s' AND id IN (1, 2,3)": "SELECT … FROM coupons WHERE user_id = ?? AND id IN (…)",
		"UPDATE coupons SET lock_id = CASE id WHEN 1 THEN 2 WHEN 3 THEN 4 END":        "UPDATE coupons SET lock_id = CASE id … END",
	} {
		if got := abridge(statement); got != want {
			t.Errorf("%q became %q, want %q", statement, got, want)
		}
	}
}

// What is filled in by SQL must be as if it had been claimed.
func TestFilledCouponsAreConsistent(t *testing.T) {
	t.Parallel()
	b := newLab(t, io.Discard)
	w := b.way("scrip")
	templates := b.fill(w, filled{coupons: 25_000, templates: issuing, fat: 5})
	var users, coupons, wrong int64
	const count = "SELECT COUNT(*), COUNT(DISTINCT user_id) FROM coupons WHERE template_id <> (SELECT MAX(id) FROM templates)"
	if err := w.db.QueryRowContext(t.Context(), count).Scan(&coupons, &users); err != nil {
		t.Fatal(err)
	}
	const compare = `SELECT COUNT(*) FROM templates t WHERE claimed <> (SELECT COUNT(*) FROM coupons c WHERE c.template_id = t.id)
		OR claimed <> (SELECT COALESCE(MAX(issue_no), 0) FROM coupons c WHERE c.template_id = t.id)`
	if err := w.db.QueryRowContext(t.Context(), compare).Scan(&wrong); err != nil {
		t.Fatal(err)
	}
	if coupons != 25_000 || users != 2000+5 || wrong != 0 {
		t.Errorf("%d coupons of %d users, %d templates miscount theirs", coupons, users, wrong)
	}
	for first, want := range map[int64]string{0: "10", firstFat: "1000"} {
		var have string
		if err := w.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM coupons WHERE user_id = ?", person(first)).Scan(&have); err != nil || have != want {
			t.Errorf("%s has %s coupons, want %s; %v", person(first), have, want, err)
		}
	}
	b.times(w, 2000, newcomers(templates, firstNew)) // the server goes on where the filling ended
}
