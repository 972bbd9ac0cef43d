package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Report is what came of a run.
type Report struct {
	TemplateID string
	Presses    int           // of the button; planned
	Decided    int           // presses that were answered for good
	Unknown    int           // presses that may have had an effect, and were never answered for good
	Refused    int           // presses that were turned away as busy, or found no server, to the end
	Unmade     int           // presses that were not made, because the run ended before
	Elapsed    time.Duration // from the first intended start to the last decision
	Rate       float64       // presses decided a second, over Elapsed
	SoldIn     time.Duration // from the first intended start to the last new coupon
	Latency    Latency       // of the presses decided
	Answers    []Answer      // to all requests, the most frequent first

	Proof
	OK bool // the proof holds
}

// Latency is measured from the intended start of a press to the answer that
// decided it, further tries and all. In a closed loop the intended start is the
// moment at which a caller was free.
type Latency struct{ P50, P95, P99, P999, Max time.Duration }

// Answer counts requests by what was answered.
type Answer struct {
	Status   int    // of HTTP; 0 without an answer
	Code     string // of a refusal; without an answer, what happened instead
	Replayed bool   // by an Idempotency-Key
	Count    int64
}

// report counts everything but the proof.
func (s *sale) report() Report {
	r := Report{TemplateID: s.template, Presses: len(s.presses), Elapsed: s.elapsed}
	for _, p := range s.presses {
		switch {
		case p.decided:
			r.Decided++
		case p.maybe:
			r.Unknown++
		case p.tries > 0:
			r.Refused++
		default:
			r.Unmade++
		}
	}
	if s.elapsed > 0 {
		r.Rate = float64(r.Decided) / s.elapsed.Seconds()
	}
	if !s.tally.lastSold.IsZero() {
		r.SoldIn = s.tally.lastSold.Sub(s.began)
	}
	at := func(percent float64) time.Duration {
		return time.Duration(s.tally.latency.ValueAtPercentile(percent)) * time.Microsecond
	}
	r.Latency = Latency{P50: at(50), P95: at(95), P99: at(99), P999: at(99.9), Max: at(100)}
	for kind, n := range s.tally.answers {
		r.Answers = append(r.Answers, Answer{Status: kind.status, Code: kind.code, Replayed: kind.replayed, Count: n})
	}
	slices.SortFunc(r.Answers, func(a, b Answer) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.String(), b.String()))
	})
	return r
}

// String names what was answered, without the count.
func (a Answer) String() string {
	var parts []string
	if a.Status != 0 {
		parts = append(parts, strconv.Itoa(a.Status))
	}
	if a.Code != "" {
		parts = append(parts, a.Code)
	}
	if a.Replayed {
		parts = append(parts, "(replayed)")
	}
	return strings.Join(parts, " ")
}

// load tells how the sale went for those who pressed.
func (r Report) load() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s presses decided in %s: %s a second", count(r.Decided), count(r.Presses),
		seconds(r.Elapsed), count(int(r.Rate)))
	if r.SoldIn > 0 {
		fmt.Fprintf(&b, "; the last coupon went after %s", seconds(r.SoldIn))
	}
	fmt.Fprintf(&b, "\nlatency from the intended start: p50 %s, p95 %s, p99 %s, p99.9 %s, max %s\nanswers:\n",
		millis(r.Latency.P50), millis(r.Latency.P95), millis(r.Latency.P99), millis(r.Latency.P999), millis(r.Latency.Max))
	for _, answer := range r.Answers {
		fmt.Fprintf(&b, "  %-32s %12s\n", answer, humanize.Comma(answer.Count))
	}
	for _, left := range []struct {
		n    int
		what string
	}{
		{r.Unknown, "presses of unknown outcome: they may have had an effect"},
		{r.Refused, "presses turned away to the end"},
		{r.Unmade, "presses not made"},
	} {
		if left.n > 0 {
			fmt.Fprintf(&b, "%s %s\n", count(left.n), left.what)
		}
	}
	return b.String()
}

// verdict tells whether the sale went right; its last line is always the same
// four numbers.
func (r Report) verdict(stock int) string {
	var b strings.Builder
	for _, fault := range r.Faults {
		b.WriteString("wrong: " + fault + "\n")
	}
	fmt.Fprintf(&b, "sold %s of %s, %s over, %s lost, %s twice\n",
		count(r.Sold), count(stock), count(r.Over), count(r.Lost), count(r.Twice))
	return b.String()
}

func count(n int) string { return humanize.Comma(int64(n)) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
