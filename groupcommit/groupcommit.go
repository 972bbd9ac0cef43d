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
	// ErrBusy says that the waiting room was full, or that the caller's time
	// ran out in it. The request was not handed over: nothing happened.
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
	Timeout     time.Duration // of one batch, whatever its requests' own deadlines
}

// Run decides one batch: one answer for each request, in their order, or an
// error that holds for all of them.
type Run[Q, A any] func(ctx context.Context, batch []Q) ([]A, error)

// Committer gathers requests into batches. It is safe for concurrent use.
type Committer[Q, A any] struct {
	cfg     Config
	run     Run[Q, A]
	lanes   []chan *call[Q, A]
	waiting atomic.Int64
	stop    chan struct{}
	stopped sync.Once
	running sync.WaitGroup
}

type call[Q, A any] struct {
	ctx     context.Context //nolint:containedctx // a request's deadline travels with it into the batch
	request Q
	answer  chan outcome[A] // buffered: an abandoned caller must not hold up the batch
}

type outcome[A any] struct {
	answer A
	err    error
}

// New starts a Committer. Close ends it.
func New[Q, A any](cfg Config, run Run[Q, A]) *Committer[Q, A] {
	c := &Committer[Q, A]{
		cfg: cfg, run: run,
		lanes: make([]chan *call[Q, A], max(1, cfg.Lanes)),
		stop:  make(chan struct{}),
	}
	for i := range c.lanes {
		c.lanes[i] = make(chan *call[Q, A])
		c.running.Go(func() { c.serve(c.lanes[i]) })
	}
	return c
}

// Submit hands a request over and waits for its answer. Requests with the same
// key go through the same lane, in the order of their arrival, and so never
// contend with one another in the database.
func (c *Committer[Q, A]) Submit(ctx context.Context, key int64, request Q) (A, error) {
	var none A
	if c.waiting.Add(1) > int64(c.cfg.WaitingRoom) {
		c.waiting.Add(-1)
		return none, ErrBusy
	}
	own := &call[Q, A]{ctx: ctx, request: request, answer: make(chan outcome[A], 1)}
	err := c.handOver(own, c.laneOf(key))
	c.waiting.Add(-1)
	if err != nil {
		return none, err
	}
	select {
	case got := <-own.answer:
		return got.answer, got.err
	case <-ctx.Done():
		return none, ErrAbandoned
	}
}

func (c *Committer[Q, A]) laneOf(key int64) chan<- *call[Q, A] {
	n := int64(len(c.lanes))
	return c.lanes[(key%n+n)%n]
}

func (c *Committer[Q, A]) handOver(own *call[Q, A], lane chan<- *call[Q, A]) error {
	select {
	case <-c.stop:
		return ErrClosed
	default:
	}
	select {
	case lane <- own:
		return nil
	case <-own.ctx.Done():
		return ErrBusy
	case <-c.stop:
		return ErrClosed
	}
}

// Close refuses new requests, answers all that were handed over, and returns
// when the last batch is done.
func (c *Committer[Q, A]) Close() {
	c.stopped.Do(func() { close(c.stop) })
	c.running.Wait()
}

func (c *Committer[Q, A]) serve(lane <-chan *call[Q, A]) {
	batch := make([]*call[Q, A], 0, c.cfg.MaxBatch)
	for {
		select {
		case first := <-lane:
			batch = c.gather(append(batch[:0], first), lane)
			c.commit(batch)
			clear(batch) // or a quiet lane would keep its last requests alive
		case <-c.stop:
			return
		}
	}
}

// gather takes everyone who stands waiting, without waiting for anyone.
func (c *Committer[Q, A]) gather(batch []*call[Q, A], lane <-chan *call[Q, A]) []*call[Q, A] {
	for len(batch) < c.cfg.MaxBatch {
		select {
		case next := <-lane:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// commit runs a batch and gives every caller its own answer. Whoever ran out of
// time before the batch began is left out of it and told so.
func (c *Committer[Q, A]) commit(batch []*call[Q, A]) {
	live := batch[:0]
	requests := make([]Q, 0, len(batch))
	for _, one := range batch {
		if one.ctx.Err() != nil {
			one.answer <- outcome[A]{err: ErrBusy}
			continue
		}
		live = append(live, one)
		requests = append(requests, one.request)
	}
	if len(live) == 0 {
		return
	}
	answers, err := c.runSafely(requests)
	for i, one := range live {
		if err != nil {
			one.answer <- outcome[A]{err: err}
		} else {
			one.answer <- outcome[A]{answer: answers[i]}
		}
	}
}

func (c *Committer[Q, A]) runSafely(requests []Q) (answers []A, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Timeout)
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
