package cost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"scrip/bench/wire"
)

// load is claims of always new users, in a closed loop.
type load struct {
	url      string
	target   wire.Target // the same
	template string
	name     string // of the turn: no other has the same users
	keys     bool
	ordinary bool    // sent by net/http's client
	rate     float64 // a second, over all connections; 0: as fast as they are answered

	next    atomic.Int64 // user
	elapsed time.Duration

	mu      sync.Mutex
	latency *hdrhistogram.Histogram // microseconds
	granted int64
	failed  int64
	example string // of a failure
}

const requestTimeout = 10 * time.Second

// run sends requests over so many connections for so long, and returns when the
// last of them is answered.
func (l *load) run(ctx context.Context, conns int, length time.Duration) {
	l.latency = hdrhistogram.New(1, requestTimeout.Microseconds(), 3)
	began := time.Now()
	var callers sync.WaitGroup
	pace := time.Duration(0)
	if l.rate > 0 {
		pace = time.Duration(float64(conns) / l.rate * float64(time.Second))
	}
	for i := range conns {
		start := began.Add(pace * time.Duration(i) / time.Duration(conns)) // evenly spread
		callers.Go(func() { l.call(ctx, start, began.Add(length), pace) })
	}
	callers.Wait()
	l.elapsed = time.Since(began)
}

// call sends one request after the other over one connection: at once, or each
// pace after the one before was due.
func (l *load) call(ctx context.Context, due, until time.Time, pace time.Duration) {
	send, end := l.lean()
	if l.ordinary {
		send, end = l.netHTTP()
	}
	defer end()
	var body []byte
	for now := time.Now(); now.Before(until) && ctx.Err() == nil; {
		if pace > 0 {
			now = wait(ctx, due)
			due = due.Add(pace)
		}
		user := l.next.Add(1)
		body = fmt.Appendf(body[:0], `{"template_id":"%s","user_id":"%s-%d"}`, l.template, l.name, user)
		status, text, err := send(ctx, user, body)
		took := time.Since(now)
		now = now.Add(took)
		l.note(status, text, err, took)
	}
}

// wait returns at the given time, or at once if that has passed.
func wait(ctx context.Context, due time.Time) time.Time {
	if left := time.Until(due); left > 0 {
		select {
		case <-time.After(left):
		case <-ctx.Done():
		}
	}
	return time.Now()
}

// sender sends one claim and returns its answer, which is good until the next.
type sender func(ctx context.Context, user int64, body []byte) (status int, text []byte, err error)

// lean sends what it must and no more, so that it takes as little as possible
// of the processors that the servers need.
func (l *load) lean() (send sender, end func()) {
	conn := wire.NewConn(l.target, requestTimeout)
	var request []byte
	return func(ctx context.Context, user int64, body []byte) (int, []byte, error) {
		request = l.request(request[:0], user, body)
		answer, err := conn.Do(ctx, request)
		return answer.Status, answer.Body, err
	}, conn.Close
}

// netHTTP sends as any Go program would.
func (l *load) netHTTP() (send sender, end func()) {
	transport := &http.Transport{DisableCompression: true}
	caller := &http.Client{Transport: transport, Timeout: requestTimeout}
	return func(ctx context.Context, user int64, body []byte) (int, []byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+"/v1/claims", bytes.NewReader(body))
		if err != nil {
			return 0, nil, err
		}
		req.Header.Set("Authorization", "Bearer "+apiKey)
		req.Header.Set("Content-Type", "application/json")
		if l.keys {
			req.Header.Set("Idempotency-Key", l.key(user))
		}
		resp, err := caller.Do(req)
		if err != nil {
			return 0, nil, err
		}
		text, err := io.ReadAll(resp.Body)
		return resp.StatusCode, text, errors.Join(err, resp.Body.Close())
	}, transport.CloseIdleConnections
}

func (l *load) key(user int64) string { return l.name + "-" + strconv.FormatInt(user, 10) }

func (l *load) request(b []byte, user int64, body []byte) []byte {
	b = append(b, "POST /v1/claims HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+apiKey+"\r\nContent-Type: application/json\r\n"...)
	if l.keys {
		b = append(append(append(b, "Idempotency-Key: "...), l.key(user)...), "\r\n"...)
	}
	b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(body)), 10)
	return append(append(b, "\r\n\r\n"...), body...)
}

func (l *load) note(status int, text []byte, err error, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || status != http.StatusCreated {
		l.failed++
		l.example = fmt.Sprintf("%d %s %v", status, text, err)
		return
	}
	l.granted++
	_ = l.latency.RecordValue(min(took.Microseconds(), requestTimeout.Microseconds())) // within its range
}

func (l *load) percentile(percent float64) time.Duration {
	return time.Duration(l.latency.ValueAtPercentile(percent)) * time.Microsecond
}
