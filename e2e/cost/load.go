package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"scrip/bench/wire"
)

// operation does the n-th of a kind of thing over one connection: one request,
// or several that belong together. An error says that it was not answered as it
// should have been.
type operation func(ctx context.Context, c *caller, n int64) error

// load is many of the same operation, in a closed loop or, with a rate, in an
// open one.
type load struct {
	way   *way
	do    operation
	next  *atomic.Int64 // number of the last operation begun
	rate  float64       // operations a second over all connections; 0: each as soon as the one before is done
	limit int64         // operations in all; 0: none

	elapsed time.Duration

	mu      sync.Mutex
	latency *hdrhistogram.Histogram // microseconds
	done    int64
	busy    int64 // turned away for now
	failed  int64
	example error
}

const requestTimeout = 10 * time.Second

// run goes on over so many connections for so long, and returns when the last
// operation is done.
func (l *load) run(ctx context.Context, conns int, length time.Duration) {
	l.latency = hdrhistogram.New(1, requestTimeout.Microseconds(), 3)
	began := time.Now()
	pace := time.Duration(0)
	if l.rate > 0 {
		pace = time.Duration(float64(conns) / l.rate * float64(time.Second))
	}
	var callers sync.WaitGroup
	for i := range conns {
		first := began.Add(pace * time.Duration(i) / time.Duration(conns)) // evenly spread
		callers.Go(func() { l.work(ctx, first, began.Add(length), pace) })
	}
	callers.Wait()
	l.elapsed = time.Since(began)
}

// work does one operation after the other: at once, or each pace after the one
// before was due. With a pace, time counts from when an operation was due, so
// that one which had to wait for the one before says so.
func (l *load) work(ctx context.Context, due, until time.Time, pace time.Duration) {
	c := l.way.caller()
	defer c.conn.Close()
	for now := time.Now(); now.Before(until) && ctx.Err() == nil; {
		from := now
		if pace > 0 {
			if !due.Before(until) || !wait(ctx, due) {
				return
			}
			from, due = due, due.Add(pace)
		}
		n := l.next.Add(1)
		if l.limit > 0 && n > l.limit {
			return
		}
		err := l.do(ctx, c, n)
		now = time.Now()
		l.note(err, now.Sub(from))
	}
}

// wait returns at the given time, at once if that has passed, and reports
// whether ctx goes on.
func wait(ctx context.Context, due time.Time) bool {
	if left := time.Until(due); left > 0 {
		select {
		case <-time.After(left):
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

func (l *load) note(err error, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, errBusy):
		l.busy++
		return
	case err != nil:
		l.failed++
		l.example = err
		return
	}
	l.done++
	_ = l.latency.RecordValue(min(took.Microseconds(), requestTimeout.Microseconds())) // within its range
}

// percentile is in microseconds.
func (l *load) percentile(percent float64) float64 {
	return float64(l.latency.ValueAtPercentile(percent))
}

// caller sends what it must and no more over one connection, so that the load
// takes as little as possible of the processors that the servers need.
type caller struct {
	conn    *wire.Conn
	request []byte
	body    []byte      // for operations to build theirs in
	answer  wire.Answer // the latest; good until the next request
}

func (w *way) caller() *caller { return &caller{conn: wire.NewConn(w.target, requestTimeout)} }

// post sends a body, with an Idempotency-Key unless that is "", and makes of
// any status but the wanted one an error.
func (c *caller) post(ctx context.Context, path, key string, body []byte, want int) error {
	b := append(append(append(c.request[:0], "POST "...), path...), commonHeaders...)
	b = append(b, "Content-Type: application/json\r\n"...)
	if key != "" {
		b = append(append(append(b, "Idempotency-Key: "...), key...), "\r\n"...)
	}
	b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(body)), 10)
	c.request = append(append(b, "\r\n\r\n"...), body...)
	return c.send(ctx, want)
}

func (c *caller) get(ctx context.Context, path string, want int) error {
	c.request = append(append(append(c.request[:0], "GET "...), path...), commonHeaders...)
	c.request = append(c.request, "\r\n"...)
	return c.send(ctx, want)
}

const commonHeaders = " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + apiKey + "\r\n"

// errBusy says that a request was turned away for now.
var errBusy = errors.New("busy")

func (c *caller) send(ctx context.Context, want int) (err error) {
	c.answer, err = c.conn.Do(ctx, c.request)
	switch {
	case err != nil || c.answer.Status == want:
		return err
	case c.answer.Status == http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %s", errBusy, c.answer.Body)
	}
	return fmt.Errorf("answered %d, not %d: %s", c.answer.Status, want, c.answer.Body)
}
