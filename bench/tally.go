package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// tally counts what came of the requests. It is safe for concurrent use.
type tally struct {
	mu       sync.Mutex
	answers  map[answerKind]int64
	latency  *hdrhistogram.Histogram // microseconds from the intended start to the decision
	decided  int64                   // presses
	granted  int64                   // of them with a coupon, replays aside
	lastSold time.Time               // when the newest of those was acknowledged
	stalled  time.Time               // since when nothing has been decided though something was asked; zero: it was
}

// answerKind is what answers are counted by. Of a request without an answer,
// status is 0 and code says what happened instead.
type answerKind struct {
	status   int
	code     string
	replayed bool
}

const longestLatency = int64(time.Hour / time.Microsecond)

func newTally() *tally {
	return &tally{answers: map[answerKind]int64{}, latency: hdrhistogram.New(1, longestLatency, 3)}
}

// undecided notes a try that decided nothing, and says for how long there were
// only such.
func (t *tally) undecided(kind answerKind, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answers[kind]++
	if t.stalled.IsZero() {
		t.stalled = now
	}
	return now.Sub(t.stalled)
}

// decide notes an answer that decided a press, meant to be sent at start.
func (t *tally) decide(kind answerKind, granted bool, start, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answers[kind]++
	t.decided++
	if granted && !kind.replayed {
		t.granted++
		t.lastSold = now
	}
	late := min(max(now.Sub(start).Microseconds(), 1), longestLatency)
	_ = t.latency.RecordValue(late) // its only error is a value out of range
	t.stalled = time.Time{}
}

// revive lets the time without a decision begin anew.
func (t *tally) revive() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stalled = time.Time{}
}

func (t *tally) progress() (decided, granted int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.decided, t.granted
}
