package models_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"scrip/models"
)

func TestParseID(t *testing.T) {
	t.Parallel()
	tests := map[string]models.ID{ // 0: refused
		"1":                    1,
		"42":                   42,
		"9223372036854775807":  math.MaxInt64,
		"9223372036854775808":  0,
		"18446744073709551617": 0, // 1, to whoever lets it wrap
		"":                     0,
		"0":                    0,
		"-1":                   0,
		"+1":                   0,
		"01":                   0,
		" 1":                   0,
		"1 ":                   0,
		"1\n":                  0,
		"1_000":                0,
		"0x1":                  0,
		"1e3":                  0,
		"1.0":                  0,
		"١":                    0, // a digit, but not one of ours
		"abc":                  0,
		"null":                 0,
	}
	for s, want := range tests {
		t.Run(strconv.Quote(s), func(t *testing.T) {
			t.Parallel()
			got, err := models.ParseID(s)
			if got != want || (err == nil) != (want != 0) {
				t.Errorf("got %d, %v; want %d", got, err, want)
			}
		})
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"1", "0", "-1", "007", "9223372036854775807", "9223372036854775808", "1 ", "", "x"} {
		f.Add(s)
	}
	canonical := regexp.MustCompile(`^[1-9][0-9]*$`)
	f.Fuzz(func(t *testing.T, s string) {
		id, err := models.ParseID(s)
		n, isNumber := new(big.Int).SetString(s, 10)
		if want := isNumber && canonical.MatchString(s) && n.IsInt64(); (err == nil) != want {
			t.Fatalf("ParseID(%q) = %d, %v", s, id, err)
		}
		if err == nil && (id.String() != s || int64(id) != n.Int64()) {
			t.Fatalf("ParseID(%q) = %d", s, id)
		}
	})
}

func TestIDInJSON(t *testing.T) {
	t.Parallel()
	type row struct {
		ID  models.ID            `json:"id"`
		Set map[models.ID]string `json:"set"`
	}
	const id = models.ID(1<<53 + 1) // what JavaScript would round
	text, err := json.Marshal(row{ID: id, Set: map[models.ID]string{id: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"id":"9007199254740993","set":{"9007199254740993":"x"}}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	var back row
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.ID != id || back.Set[id] != "x" {
		t.Errorf("back came %+v", back)
	}
}

func TestIDFromJSONRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`5`, `"05"`, `"0"`, `"-5"`, `""`, `"5 "`, `true`, `["5"]`} {
		id := models.ID(7)
		if err := json.Unmarshal([]byte(text), &id); err == nil {
			t.Errorf("%s was taken, as %d", text, id)
		}
		if id != 7 {
			t.Errorf("%s was refused and changed the id to %d", text, id)
		}
	}
}

// handClock is a clock that tests set, safe for concurrent use.
type handClock struct {
	mu sync.Mutex
	at time.Time
}

func newHandClock() *handClock {
	return &handClock{at: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)}
}

func (c *handClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *handClock) add(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	return c.at
}

func leasedSource(clock *handClock, worker int) *models.IDSource {
	s := models.NewIDSource(clock.now)
	s.Lease(worker, clock.now().Add(24*time.Hour))
	return s
}

func nextID(t *testing.T, s *models.IDSource) models.ID {
	t.Helper()
	id, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// The parts of an id: what the tests take apart to see who made it, and when.
func workerOf(id models.ID) int { return int(id >> 12 & 1023) }

func timeOf(id models.ID) time.Time {
	return time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(id>>22) * time.Millisecond)
}

func TestIDSourceAcrossGoroutines(t *testing.T) {
	t.Parallel()
	const makers, each = 8, 3000
	clock := newHandClock()
	source := leasedSource(clock, 7)
	made := make([][]models.ID, makers)
	var group sync.WaitGroup
	for i := range made {
		group.Go(func() {
			for n := range each {
				if n%100 == 0 {
					clock.add(time.Millisecond)
				}
				id, err := source.Next()
				if err != nil {
					t.Error(err)
					return
				}
				made[i] = append(made[i], id)
			}
		})
	}
	group.Wait()
	seen := map[models.ID]bool{}
	for _, ids := range made {
		last := models.ID(0)
		for _, id := range ids {
			if id <= last || seen[id] {
				t.Fatalf("%d came after %d (seen before: %v)", id, last, seen[id])
			}
			seen[id], last = true, id
		}
	}
	if len(seen) != makers*each {
		t.Errorf("%d ids, want %d", len(seen), makers*each)
	}
}

func TestIDSourceOrdersByTime(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	high, low := leasedSource(clock, models.MaxWorker), leasedSource(clock, 0)
	first := nextID(t, high)
	if got := timeOf(first); !got.Equal(clock.now()) {
		t.Errorf("made at %v, says %v", clock.now(), got)
	}
	clock.add(time.Millisecond)
	if second := nextID(t, low); second <= first {
		t.Errorf("a millisecond later came %d after %d", second, first)
	}
}

func TestIDSourceClockGoesBack(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	source := leasedSource(clock, 1)
	last := nextID(t, source)
	for _, step := range []time.Duration{
		-time.Millisecond, -time.Hour, 0, time.Second, time.Hour - 998*time.Millisecond, time.Hour, -48 * time.Hour,
	} {
		clock.add(step)
		for range 5000 { // more than one millisecond has room for
			id := nextID(t, source)
			if id <= last {
				t.Fatalf("after a step of %v came %d after %d", step, id, last)
			}
			last = id
		}
	}
}

func TestIDSourceBeforeItsEpoch(t *testing.T) {
	t.Parallel()
	clock := &handClock{at: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)}
	source := leasedSource(clock, 0)
	last := models.ID(0)
	for range 10 {
		id := nextID(t, source)
		if id <= last {
			t.Fatalf("%d came after %d", id, last)
		}
		last = id
	}
}

func TestIDSourceFullMillisecond(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	source := leasedSource(clock, 3)
	var ids []models.ID
	for range 3*4096 + 1 {
		ids = append(ids, nextID(t, source))
	}
	for i := 1; i < len(ids); i++ {
		if ids[i] <= ids[i-1] || workerOf(ids[i]) != 3 {
			t.Fatalf("id %d: %d after %d, of worker %d", i, ids[i], ids[i-1], workerOf(ids[i]))
		}
	}
	if ahead := timeOf(ids[len(ids)-1]).Sub(clock.now()); ahead != 3*time.Millisecond {
		t.Errorf("3 milliseconds were filled and one begun, the last id is %v ahead", ahead)
	}
}

func TestIDSourceLease(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	source := models.NewIDSource(clock.now)
	mayMake := func(want bool) {
		t.Helper()
		id, err := source.Next()
		if want && (err != nil || id <= 0) {
			t.Errorf("got %d, %v", id, err)
		}
		if !want && (!errors.Is(err, models.ErrNoWorker) || id != 0) {
			t.Errorf("got %d, %v; want ErrNoWorker", id, err)
		}
	}
	mayMake(false) // never leased
	source.Lease(9, clock.now().Add(time.Second))
	mayMake(true)
	clock.add(time.Second - 1)
	mayMake(true)
	clock.add(1)
	mayMake(false) // half open: over at its end
	source.Lease(9, clock.now())
	mayMake(false)
	source.Lease(9, clock.now().Add(1))
	mayMake(true)
}

func TestIDSourceChangesWorker(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	until := clock.now().Add(time.Hour)
	source := leasedSource(clock, models.MaxWorker)
	last := nextID(t, source)
	for _, worker := range []int{0, 1, 512, 511, models.MaxWorker, 0} { // the clock stands still
		source.Lease(worker, until)
		for range 3 {
			id := nextID(t, source)
			if id <= last || workerOf(id) != worker {
				t.Fatalf("as worker %d came %d (of worker %d) after %d", worker, id, workerOf(id), last)
			}
			last = id
		}
	}
}

// fleet is two sources that hand three worker numbers about, no number ever
// held by both, under one clock. The clock may go back, but not behind the
// moment at which a number changed hands: that is what a lease promises.
type fleet struct {
	clock   *handClock
	sources [2]*models.IDSource
	held    [2]int // worker numbers
	free    int
	floor   time.Time
	last    [2]models.ID      // of each source
	lastOf  map[int]models.ID // of each worker number, whoever held it
}

func newFleet() *fleet {
	clock := newHandClock()
	return &fleet{
		clock: clock, floor: clock.now(), held: [2]int{5, 900}, free: 6, lastOf: map[int]models.ID{},
		sources: [2]*models.IDSource{leasedSource(clock, 5), leasedSource(clock, 900)},
	}
}

// makeID compares with the ids of the source, which must grow, and with those
// of its worker number, among which a double would have to be.
func (f *fleet) makeID(rt *rapid.T, i int) {
	id, err := f.sources[i].Next()
	worker := f.held[i]
	if err != nil || workerOf(id) != worker || id <= f.last[i] || id <= f.lastOf[worker] {
		rt.Fatalf("source %d as worker %d made %d after %d, the number's last is %d: %v",
			i, worker, id, f.last[i], f.lastOf[worker], err)
	}
	f.last[i], f.lastOf[worker] = id, id
}

func (f *fleet) step(d time.Duration) {
	if now := f.clock.add(d); now.Before(f.floor) {
		f.clock.add(f.floor.Sub(now))
	}
}

func (f *fleet) swap(i int) {
	if ready := timeOf(f.lastOf[f.free]).Add(time.Millisecond); f.clock.now().Before(ready) {
		f.clock.add(ready.Sub(f.clock.now()))
	}
	f.floor = f.clock.now()
	f.free, f.held[i] = f.held[i], f.free
	f.sources[i].Lease(f.held[i], f.floor.Add(1000*time.Hour))
}

func TestIDSourcesNeverCollide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f := newFleet()
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			i := rapid.IntRange(0, 1).Draw(rt, "source")
			switch rapid.SampledFrom([]string{"make", "make many", "step", "swap"}).Draw(rt, "step") {
			case "make":
				f.makeID(rt, i)
			case "make many": // more than one millisecond has room for
				for range 4100 {
					f.makeID(rt, i)
				}
			case "step":
				f.step(time.Duration(rapid.IntRange(-3000, 3000).Draw(rt, "µs")) * time.Microsecond)
			case "swap":
				f.swap(i)
			}
		}
	})
}
