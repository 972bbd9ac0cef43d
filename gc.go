package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// spareHeap is how many bytes of garbage may gather before it is collected.
	spareHeap = 64 << 20

	// modest is up to how many bytes, all told, the process may grow before
	// collections come more often than that.
	modest = 176 << 20
)

// easeGC lets at least spareHeap bytes gather between two collections, as long as
// the process is modest. Scrip keeps a few MiB and allocates for each request: by
// the runtime's own rule, which waits for the heap to double, a busy server would
// collect dozens of times a second. Thousands of connections keep more, most of it
// in stacks, and doubling that would be what takes the memory. GOGC and
// GOMEMLIMIT, if set, decide.
func easeGC() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	kept := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	percent, limit := uint64(0), uint64(0)
	afterEachGC(func() {
		metrics.Read(kept)
		live, stacks := kept[0].Value.Uint64(), kept[1].Value.Uint64()
		was, had := percent, limit
		percent, limit = gcPercent(live), memoryLimit(live+stacks)
		// To set either stops the world.
		if percent != was {
			debug.SetGCPercent(int(percent)) //nolint:gosec // at most 100 * spareHeap
		}
		if limit != had {
			debug.SetMemoryLimit(int64(limit)) //nolint:gosec // less than twice what the process has
		}
	})
}

// gcPercent is the growth in percent at which to collect, in steps of 100 so that
// it seldom changes. The runtime takes 4 MiB to be live where less is: from a
// smaller number the first garbage of a process would gather to several times
// spareHeap.
func gcPercent(live uint64) uint64 {
	const least = 4 << 20
	return 100 * max(1, spareHeap/max(live, least))
}

// memoryLimit leaves at least a quarter more than is kept, so that a server that
// needs much is not busy with collecting; in steps, so that it seldom changes.
func memoryLimit(kept uint64) uint64 {
	const step = 16 << 20
	return max(modest, (kept*5/4+step-1)/step*step)
}

// afterEachGC calls fn once, and again after each collection.
func afterEachGC(fn func()) {
	fn()
	runtime.AddCleanup(&struct{ _ *int }{}, func(struct{}) { afterEachGC(fn) }, struct{}{})
}
