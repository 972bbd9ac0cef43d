// Package groupcommit lets requests that arrive together be decided together.
//
// Whoever is first starts a batch at once; whoever comes while that batch runs
// waits and goes into the next. There is no timer: alone, a request waits for
// one commit and nothing else; under load the batches grow by themselves until
// they keep up.
package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// What Submit may fail with, besides what the batch itself failed with.
var (
	// ErrBusy says that the waiting room was full, that what stands ahead in it
	// would take longer than the caller has, or that the caller's time ran out
	// in it. The request was not handed over: nothing happened.
	ErrBusy = errors.New("the waiting room is full")
	// ErrClosed says that the committer is stopping. Nothing happened.
	ErrClosed = errors.New("stopping")
	// ErrAbandoned says that the caller's time ran out after the request was
	// handed over: it may be carried out yet.
	ErrAbandoned = errors.New("gave up waiting for a batch that is under way")
)

// Config bounds a Committer.
type Config struct {
	Lanes       int           // batches that may run at once, each with its own requests
	MaxBatch    int           // requests in one batch
	WaitingRoom int           // requests waiting to be handed over, over all lanes
	Timeout     time.Duration // of one batch at most, whatever its requests' own deadlines

	// Grace is how long past its deadline a caller waits for the batch that has
	// its request: a commit that is on its way is better told late than called
	// unknown. A batch ends earlier than Timeout when none of its callers waits
	// any more, but always has half of Grace.
	Grace time.Duration
}

// Run decides one batch: one answer for each request, in their order, or an
// error that holds for all of them.
type Run[Q, A any] func(ctx context.Context, batch []Q) ([]A, error)

// Committer gathers requests into batches. It is safe for concurrent use.
type Committer[Q, A any] struct {
	cfg     Config
	run     Run[Q, A]
	lanes   []*lane[Q, A]
	waiting atomic.Int64 // requests that no batch has taken yet
	running sync.WaitGroup
}

// lane is a queue and whoever serves it. It is a slice under a mutex and not a
// channel: taking a whole batch is one lock, and a caller is woken once, with
// its answer.
type lane[Q, A any] struct {
	mu     sync.Mutex
	queue  []*call[Q, A]
	pace   pace
	idle   bool // the server sleeps until it is woken
	closed bool
	wake   chan struct{}
}

type call[Q, A any] struct {
	ctx     context.Context //nolint:containedctx // a request's deadline travels with it into the batch
	request Q
	taken   atomic.Bool     // by a batch, or back by its caller: whoever sets it first
	answer  chan outcome[A] // buffered: an abandoned caller must not hold up the batch
}

type outcome[A any] struct {
	answer A
	err    error
}

// New starts a Committer. Close ends it.
func New[Q, A any](cfg Config, run Run[Q, A]) *Committer[Q, A] {
	c := &Committer[Q, A]{cfg: cfg, run: run, lanes: make([]*lane[Q, A], max(1, cfg.Lanes))}
	for i := range c.lanes {
		l := &lane[Q, A]{wake: make(chan struct{}, 1)}
		c.lanes[i] = l
		c.running.Go(func() { c.serve(l) })
	}
	return c
}

// Submit hands a request over and waits for its answer. Requests with the same
// key go through the same lane, in the order of their arrival, and so never
// contend with one another in the database.
//
// The deadline of ctx is that of the wait for a batch. Who cannot be served by
// then is refused at once rather than when it is over. A request that a batch has
// taken is waited for a little longer (Config.Grace) unless ctx is cancelled.
func (c *Committer[Q, A]) Submit(ctx context.Context, key int64, request Q) (A, error) {
	var none A
	if ctx.Err() != nil {
		return none, ErrBusy
	}
	if c.waiting.Add(1) > int64(c.cfg.WaitingRoom) {
		c.waiting.Add(-1)
		return none, ErrBusy
	}
	own := &call[Q, A]{ctx: ctx, request: request, answer: make(chan outcome[A], 1)}
	if err := c.laneOf(key).join(own, c.cfg.MaxBatch); err != nil {
		c.waiting.Add(-1)
		return none, err
	}
	select {
	case got := <-own.answer:
		return got.answer, got.err
	case <-ctx.Done():
		if !own.taken.Swap(true) {
			c.waiting.Add(-1)
			return none, ErrBusy
		}
		return own.late(c.cfg.Grace)
	}
}

// late waits a little longer for a batch that is under way; not for a caller
// who has gone.
func (own *call[Q, A]) late(grace time.Duration) (A, error) {
	if errors.Is(own.ctx.Err(), context.DeadlineExceeded) && grace > 0 {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case got := <-own.answer:
			return got.answer, got.err
		case <-timer.C:
		}
	}
	var none A
	return none, ErrAbandoned
}

func (c *Committer[Q, A]) laneOf(key int64) *lane[Q, A] {
	n := int64(len(c.lanes))
	return c.lanes[(key%n+n)%n]
}

// join puts a call at the end of the queue, unless the lane is closed or the
// call's time will be over before its turn.
func (l *lane[Q, A]) join(own *call[Q, A], most int) error {
	deadline, bounded := own.ctx.Deadline()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if bounded && l.pace.over(deadline, len(l.queue)/most) {
		return ErrBusy
	}
	l.queue = append(l.queue, own)
	l.rouse()
	return nil
}

func (l *lane[Q, A]) rouse() {
	if l.idle {
		l.idle = false
		l.wake <- struct{}{} // never blocks: nobody else wakes it until it sleeps again
	}
}

// take moves up to most calls into batch. Without any it says whether the lane
// is closed; if not, the server has to sleep until it is woken.
func (l *lane[Q, A]) take(batch []*call[Q, A], most int) (_ []*call[Q, A], closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.queue), most)
	batch = append(batch, l.queue[:n]...)
	rest := copy(l.queue, l.queue[n:])
	clear(l.queue[rest:])
	l.queue = l.queue[:rest]
	l.idle = n == 0 && !l.closed
	l.pace.turn(time.Now(), n > 0)
	return batch, l.closed
}

// Close refuses new requests, answers all that were handed over, and returns
// when the last batch is done.
func (c *Committer[Q, A]) Close() {
	for _, l := range c.lanes {
		l.mu.Lock()
		l.closed = true
		l.rouse()
		l.mu.Unlock()
	}
	c.running.Wait()
}

func (c *Committer[Q, A]) serve(l *lane[Q, A]) {
	var batch []*call[Q, A]
	for {
		var closed bool
		batch, closed = l.take(batch[:0], c.cfg.MaxBatch)
		switch {
		case len(batch) > 0:
			c.commit(batch)
			clear(batch) // or a quiet lane would keep its last requests alive
		case closed:
			return
		default:
			<-l.wake
		}
	}
}

// commit runs a batch and gives every caller its own answer. Whoever ran out of
// time before the batch began is left out of it.
func (c *Committer[Q, A]) commit(batch []*call[Q, A]) {
	live := batch[:0]
	requests := make([]Q, 0, len(batch))
	for _, one := range batch {
		if one.ctx.Err() != nil || one.taken.Swap(true) {
			continue // its caller goes, or has gone, by itself
		}
		live = append(live, one)
		requests = append(requests, one.request)
	}
	c.waiting.Add(-int64(len(live)))
	if len(live) == 0 {
		return
	}
	answers, err := c.runSafely(c.timeFor(live), requests)
	for i, one := range live {
		if err != nil {
			one.answer <- outcome[A]{err: err}
		} else {
			one.answer <- outcome[A]{answer: answers[i]}
		}
	}
}

// timeFor is how long a batch may take: until the last of its callers has no
// more use for it.
func (c *Committer[Q, A]) timeFor(live []*call[Q, A]) time.Duration {
	var last time.Time
	for _, one := range live {
		deadline, bounded := one.ctx.Deadline()
		if !bounded {
			return c.cfg.Timeout
		}
		if deadline.After(last) {
			last = deadline
		}
	}
	return min(max(time.Until(last), c.cfg.Grace/2), c.cfg.Timeout)
}

func (c *Committer[Q, A]) runSafely(limit time.Duration, requests []Q) (answers []A, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil { // one bad batch must not end the lane
			err = fmt.Errorf("panic in a batch: %v\n%s", p, debug.Stack())
		}
	}()
	answers, err = c.run(ctx, requests)
	if err == nil && len(answers) != len(requests) {
		err = fmt.Errorf("%d answers for %d requests", len(answers), len(requests))
	}
	return answers, err
}
