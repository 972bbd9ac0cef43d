package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// spareHeap is how many bytes of garbage may gather before it is collected.
const spareHeap = 64 << 20

// easeGC lets at least spareHeap bytes gather between two collections. Scrip
// keeps a few MiB and allocates for each request: by the runtime's own rule, which
// waits for the heap to double, a busy server would collect dozens of times a
// second. With thousands of connections it keeps more, and then the rule applies
// as ever: a fixed GOGC would multiply that too. GOGC and GOMEMLIMIT, if set, decide.
func easeGC() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	before := uint64(0)
	afterEachGC(func() {
		metrics.Read(live)
		percent := gcPercent(live[0].Value.Uint64())
		if percent != before { // to set it stops the world
			debug.SetGCPercent(int(percent)) //nolint:gosec // at most 100 * spareHeap
		}
		before = percent
	})
}

// gcPercent is the growth in percent at which to collect, in steps of 100 so that
// it seldom changes.
func gcPercent(live uint64) uint64 {
	return 100 * max(1, spareHeap/max(live, 1<<20))
}

// afterEachGC calls fn once, and again after each collection.
func afterEachGC(fn func()) {
	fn()
	runtime.AddCleanup(&struct{ _ *int }{}, func(struct{}) { afterEachGC(fn) }, struct{}{})
}
