package main

import (
	"runtime"
	"testing"
	"time"
)

func TestGarbageGathersToTheSpareHeap(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]uint64{
		0: 1600, 1 << 20: 1600, 4 << 20: 1600, 10 << 20: 600, 40 << 20: 100, 64 << 20: 100, 1 << 30: 100,
	} {
		if got := gcPercent(live); got != want {
			t.Errorf("with %d MiB live the heap may grow by %d %%, want %d", live>>20, got, want)
		}
	}
}

func TestTheLimitLeavesRoomToWork(t *testing.T) {
	t.Parallel()
	for kept, want := range map[uint64]uint64{0: 176, 140: 176, 144: 192, 1000: 1264} {
		if got := memoryLimit(kept<<20) >> 20; got != want {
			t.Errorf("with %d MiB kept the limit is %d MiB, want %d", kept, got, want)
		}
	}
}

func TestAfterEachGC(t *testing.T) {
	t.Parallel()
	called := make(chan struct{}, 100)
	afterEachGC(func() { called <- struct{}{} })
	for range 3 {
		select {
		case <-called:
			runtime.GC()
		case <-time.After(time.Minute):
			t.Fatal("not called after a collection")
		}
	}
}
