package groupcommit_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"scrip/groupcommit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config() groupcommit.Config {
	return groupcommit.Config{Lanes: 1, MaxBatch: 4, WaitingRoom: 100, Timeout: time.Minute}
}

// slow answers each request with its double, and takes a second for a batch.
func slow(sizes *[]int) groupcommit.Run[int, int] {
	return func(_ context.Context, batch []int) ([]int, error) {
		*sizes = append(*sizes, len(batch))
		time.Sleep(time.Second) //nolint:forbidigo // in a bubble it only moves the clock
		answers := make([]int, len(batch))
		for i, n := range batch {
			answers[i] = 2 * n
		}
		return answers, nil
	}
}

func TestWhileOneBatchRunsTheNextGathers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		c := groupcommit.New(config(), slow(&sizes))
		var callers sync.WaitGroup
		for i := range 6 {
			callers.Go(func() {
				got, err := c.Submit(t.Context(), 0, i)
				if err != nil || got != 2*i {
					t.Errorf("request %d: %d, %v", i, got, err)
				}
			})
			synctest.Wait() // each stands in the queue before the next comes
		}
		callers.Wait()
		c.Close()
		if !slices.Equal(sizes, []int{1, 4, 1}) {
			t.Errorf("batches of %v", sizes)
		}
	})
}

func TestAFullWaitingRoomIsBusyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.WaitingRoom = 2
		var sizes []int
		c := groupcommit.New(cfg, slow(&sizes))
		var callers sync.WaitGroup
		for range 3 { // one in the batch, two in the waiting room
			callers.Go(func() {
				if _, err := c.Submit(t.Context(), 0, 1); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		began := time.Now()
		if _, err := c.Submit(t.Context(), 0, 1); !errors.Is(err, groupcommit.ErrBusy) || time.Since(began) != 0 {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		callers.Wait()
		c.Close()
	})
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		c := groupcommit.New(config(), slow(&sizes))
		short, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := c.Submit(short, 0, 1); !errors.Is(err, groupcommit.ErrAbandoned) {
				t.Errorf("in the batch: %v", err)
			}
		})
		synctest.Wait()
		callers.Go(func() {
			if _, err := c.Submit(short, 0, 2); !errors.Is(err, groupcommit.ErrBusy) {
				t.Errorf("in the waiting room: %v", err)
			}
		})
		callers.Wait()
		c.Close()
		if !slices.Equal(sizes, []int{1}) {
			t.Errorf("what was never handed over ran: %v", sizes)
		}
	})
}

func TestWhoCannotBeServedInTimeIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		c := groupcommit.New(config(), slow(&sizes)) // a second for each batch of four
		var callers sync.WaitGroup
		submit := func(patience time.Duration, want error) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			began := time.Now()
			callers.Go(func() {
				defer cancel()
				_, err := c.Submit(ctx, 0, 1)
				if !errors.Is(err, want) || want != nil && time.Since(began) != 0 {
					t.Errorf("with %v: %v after %v", patience, err, time.Since(began))
				}
			})
			synctest.Wait()
		}
		submit(2*time.Second, nil)
		callers.Wait() // the lane knows how long a batch takes
		synctest.Wait()
		submit(2*time.Second, nil) // under way for a second
		submit(1900*time.Millisecond, groupcommit.ErrBusy)
		for range 4 {
			submit(2100*time.Millisecond, nil) // the second batch
		}
		submit(2900*time.Millisecond, groupcommit.ErrBusy)
		submit(3100*time.Millisecond, nil) // the third
		callers.Wait()
		synctest.Wait()
		submit(1100*time.Millisecond, nil) // a lane at rest takes it, however slow it was
		callers.Wait()
		c.Close()
		if !slices.Equal(sizes, []int{1, 1, 4, 1, 1}) {
			t.Errorf("batches of %v", sizes)
		}
	})
}

func TestWhileABatchHangsNobodyQueuesBehindIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hung := make(chan struct{})
		c := groupcommit.New(config(), func(_ context.Context, batch []int) ([]int, error) {
			<-hung
			return batch, nil
		})
		var callers sync.WaitGroup
		callers.Go(func() { _, _ = c.Submit(t.Context(), 0, 1) })
		time.Sleep(time.Second) //nolint:forbidigo // in a bubble it only moves the clock
		short, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		began := time.Now()
		if _, err := c.Submit(short, 0, 2); !errors.Is(err, groupcommit.ErrBusy) || time.Since(began) != 0 {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		close(hung)
		callers.Wait()
		c.Close()
	})
}

func TestACommitOnItsWayIsToldLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Grace = 600 * time.Millisecond
		var sizes []int
		c := groupcommit.New(cfg, slow(&sizes))
		for patience, want := range map[time.Duration]error{
			500 * time.Millisecond: nil, 300 * time.Millisecond: groupcommit.ErrAbandoned,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			if _, err := c.Submit(ctx, 0, 1); !errors.Is(err, want) {
				t.Errorf("with %v: %v", patience, err)
			}
			cancel()
			time.Sleep(time.Second) //nolint:forbidigo // the batch that nobody waits for any more
		}
		gone, leave := context.WithCancelCause(t.Context())
		began := time.Now()
		time.AfterFunc(100*time.Millisecond, func() { leave(nil) })
		if _, err := c.Submit(gone, 0, 1); !errors.Is(err, groupcommit.ErrAbandoned) || time.Since(began) != 100*time.Millisecond {
			t.Errorf("a caller who has gone: %v after %v", err, time.Since(began))
		}
		c.Close()
	})
}

func TestABatchEndsWhenNobodyNeedsItAnyMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Grace = 600 * time.Millisecond
		c := groupcommit.New(cfg, func(ctx context.Context, _ []int) ([]int, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		for patience, want := range map[time.Duration]time.Duration{
			time.Hour: time.Minute, 500 * time.Millisecond: 500 * time.Millisecond, time.Millisecond: 300 * time.Millisecond,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			began := time.Now()
			if _, err := c.Submit(ctx, 0, 1); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != want {
				t.Errorf("with %v: %v after %v", patience, err, time.Since(began))
			}
			cancel()
		}
		c.Close()
	})
}

func TestCloseAnswersWhoWasHandedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		c := groupcommit.New(config(), slow(&sizes))
		var callers sync.WaitGroup
		callers.Go(func() {
			if got, err := c.Submit(t.Context(), 0, 21); got != 42 || err != nil {
				t.Errorf("got %d, %v", got, err)
			}
		})
		synctest.Wait()
		c.Close()
		callers.Wait()
		if _, err := c.Submit(t.Context(), 0, 1); !errors.Is(err, groupcommit.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestABatchFailsAsAWholeAndTheLaneGoesOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	c := groupcommit.New(config(), func(_ context.Context, batch []string) ([]string, error) {
		switch batch[0] {
		case "panic":
			panic("bug")
		case "error":
			return nil, broken
		case "short":
			return nil, nil
		}
		return batch, nil
	})
	defer c.Close()
	for request, want := range map[string]error{"error": broken, "panic": nil, "short": nil} {
		if _, err := c.Submit(t.Context(), 0, request); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: got %v", request, err)
		}
		if got, err := c.Submit(t.Context(), 0, "fine"); got != "fine" || err != nil {
			t.Errorf("after %s: %q, %v", request, got, err)
		}
	}
}

func TestLanesKeepTheirOrder_Race(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.Lanes, cfg.MaxBatch, cfg.WaitingRoom = 3, 16, 1000
	var mu sync.Mutex
	seen := map[int64][]int{}
	type request struct {
		key int64
		n   int
	}
	c := groupcommit.New(cfg, func(_ context.Context, batch []request) ([]bool, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range batch {
			seen[r.key] = append(seen[r.key], r.n)
		}
		return make([]bool, len(batch)), nil
	})
	var callers sync.WaitGroup
	for key := range int64(7) {
		callers.Go(func() {
			for n := range 100 {
				if _, err := c.Submit(t.Context(), key, request{key, n}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	c.Close()
	for key, order := range seen {
		if len(order) != 100 || !slices.IsSorted(order) {
			t.Errorf("key %d: %v", key, order)
		}
	}
}

func BenchmarkSubmit(b *testing.B) {
	cfg := config()
	cfg.MaxBatch, cfg.WaitingRoom = 512, 10_000
	c := groupcommit.New(cfg, func(_ context.Context, batch []int) ([]int, error) { return batch, nil })
	defer c.Close()
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Submit(b.Context(), 0, 1); err != nil {
				b.Error(err)
			}
		}
	})
}
