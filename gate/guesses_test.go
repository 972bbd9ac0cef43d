package gate_test

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"scrip/gate"
	"scrip/models"
)

// mayGuess asks one counter, and reports how long it must wait.
func (f *fixture) mayGuess(count bool) time.Duration {
	f.Helper()
	return f.guess(models.Guess{Counter: f.counter(""), Burst: 3, Every: time.Minute, Count: count})[0]
}

// counter names one of this test alone.
func (f *fixture) counter(name string) string { return fmt.Sprint(f.id, ":", name) }

func (f *fixture) guess(asks ...models.Guess) []time.Duration {
	f.Helper()
	waits, err := f.gate.Guess(f.Context(), asks)
	f.must(err)
	return waits
}

func (f *fixture) wantWait(count bool, want time.Duration) {
	f.Helper()
	if got := f.mayGuess(count); got != want {
		f.Errorf("wait %v, want %v", got, want)
	}
}

func testGuesses(f *fixture) {
	for range 3 {
		f.wantWait(false, 0)
		f.wantWait(true, 0)
	}
	f.wantWait(false, time.Minute)
	f.wantWait(true, time.Minute) // and is not counted
	f.clock.advance(time.Minute - time.Millisecond)
	f.wantWait(true, time.Millisecond)
	f.clock.advance(time.Millisecond)
	f.wantWait(false, 0)
	f.wantWait(true, 0)
	f.wantWait(true, time.Minute)
	f.clock.advance(3 * time.Minute) // all of it is back
	for range 3 {
		f.wantWait(true, 0)
	}
	f.wantWait(true, time.Minute)
}

func testGuessCounters(f *fixture) {
	ask := func(name string) models.Guess {
		return models.Guess{Counter: f.counter(name), Burst: 1, Every: time.Second, Count: true}
	}
	waits := f.guess(ask("a"), ask("b"), ask("a"), ask(""), ask("{}"), ask("ü c\x00"))
	for i, want := range []time.Duration{0, 0, time.Second, 0, 0, 0} {
		if waits[i] != want {
			f.Errorf("waits %v: %d is to be %v", waits, i, want)
		}
	}
	if waits := f.guess(); len(waits) > 0 {
		f.Errorf("nothing asked, and answered %v", waits)
	}
}

func testGuessRace(f *fixture) {
	var right atomic.Int64
	var guessers sync.WaitGroup
	for range 40 {
		guessers.Go(func() {
			waits, err := f.gate.Guess(f.Context(), []models.Guess{{Counter: f.counter(""), Burst: 10, Every: time.Minute, Count: true}})
			if err != nil {
				f.Error(err)
			} else if waits[0] == 0 {
				right.Add(1)
			}
		})
	}
	guessers.Wait()
	if n := right.Load(); n != 10 {
		f.Errorf("%d guesses were let through, want 10", n)
	}
}

// testGuessBound draws times and demands what Guess promises: in no span as long
// as the interval are there more guesses than the burst. The intervals are long,
// as Redis forgets a counter by its own clock.
func testGuessBound(f *fixture) {
	run := 0
	rapid.Check(f.T, func(t *rapid.T) {
		run++
		burst, every := rapid.Int64Range(1, 5).Draw(t, "burst"), rapid.Int64Range(60_000, 90_000).Draw(t, "every")
		ask := models.Guess{
			Counter: f.counter(strconv.Itoa(run)), Burst: burst, Every: time.Duration(every) * time.Millisecond, Count: true,
		}
		var let []int64
		for range 30 {
			f.clock.advance(time.Duration(rapid.Int64Range(0, every/burst+2).Draw(t, "pause")) * time.Millisecond)
			waits, err := f.gate.Guess(f.Context(), []models.Guess{ask})
			if err != nil {
				t.Fatal(err)
			}
			if waits[0] > 0 {
				continue
			}
			let = append(let, f.clock.ms.Load())
			if n := int64(len(let)); n > burst && let[n-1]-let[n-1-burst] < every {
				t.Fatalf("burst %d, interval %d: %d guesses in %d ms", burst, every, burst+1, let[n-1]-let[n-1-burst])
			}
		}
	})
}

func TestMemoryForgetsGuesses(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	g := gate.NewMemory(clock.now)
	for i := range 10_000 {
		clock.advance(time.Second)
		_, err := g.Guess(t.Context(), []models.Guess{{Counter: strconv.Itoa(i), Burst: 2, Every: time.Minute, Count: true}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := g.Guessers(); n > 2100 {
		t.Errorf("%d counters are kept, 60 of which count for anything", n)
	}
}
