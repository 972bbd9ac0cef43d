package store

import (
	"testing"
	"time"
)

func TestClockBoundsNarrow(t *testing.T) {
	t.Parallel()
	start := time.UnixMilli(1_000_000)
	// ahead is a look, some time after the start, at a clock that is ahead by so
	// much, with the way there and back; and how far off the guess may be then.
	type ahead struct {
		at, clock, there, back, off time.Duration
	}
	const ms = time.Millisecond
	for name, looks := range map[string][]ahead{
		"one quick look": {{0, 70 * ms, 1 * ms, 1 * ms, 2 * ms}},
		"a slow look spoils nothing": {
			{0, 70 * ms, 1 * ms, 1 * ms, 2 * ms},
			{10 * time.Second, 70 * ms, 1 * ms, 400 * ms, 7 * ms},
			{20 * time.Second, 70 * ms, 300 * ms, 1 * ms, 12 * ms},
		},
		"looks that are slow each in its own way": {
			{0, -5 * ms, 200 * ms, 0, 101 * ms},
			{ms, -5 * ms, 0, 200 * ms, 2 * ms},
		},
		"a clock that drifts": {
			{0, 70 * ms, 1 * ms, 1 * ms, 2 * ms},
			{100 * time.Second, 90 * ms, 1 * ms, 1 * ms, 2 * ms},
		},
		"a clock that is set": {
			{0, 70 * ms, 1 * ms, 1 * ms, 2 * ms},
			{10 * time.Second, time.Hour, 1 * ms, 1 * ms, 2 * ms},
		},
	} {
		var b clockBounds
		for i, look := range looks {
			before := start.Add(look.at)
			seen := before.Add(look.there)
			guess := b.narrow(before, seen.Add(look.back), seen.Add(look.clock).UnixMilli())
			if off := (guess - look.clock).Abs(); off > look.off {
				t.Errorf("%s: after look %d the guess is %s, the clock %s ahead", name, i+1, guess, look.clock)
			}
		}
	}
}
