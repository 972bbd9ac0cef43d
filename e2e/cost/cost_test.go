package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
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
	got := b.table("x", []*subject{floor, scrip}, floor, nil, scrip).markdown()
	want := `|       | requests/s | p50 ms | server µs | MariaDB µs | all µs | all ÷ floor | all ÷ Scrip | requests/s ÷ floor |
| ----- | ---------: | -----: | --------: | ---------: | -----: | ----------: | ----------: | -----------------: |
| floor |     30,000 |   2.00 |      25.0 |            |   25.0 |        1.00 |        0.42 |               1.00 |
| Scrip |     14,500 |   3.00 |      45.0 |       20.0 |   65.0 |        2.50 |        1.00 |               0.45 |
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
