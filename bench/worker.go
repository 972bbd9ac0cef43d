package bench

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"scrip/bench/wire"
	"scrip/client"
)

// worker makes one press after the other over a connection of its own.
type worker struct {
	sale  *sale
	queue *queue
	conn  *wire.Conn

	head, userHead, request, body []byte // the unchanging beginnings, and the buffers
}

func newWorker(s *sale, q *queue) *worker {
	head := "POST " + s.target.Path + "/v1/claims HTTP/1.1\r\nHost: " + s.target.Host +
		"\r\nAuthorization: Bearer " + s.options.Key + "\r\nContent-Type: application/json\r\nIdempotency-Key: " + s.name + "-"
	return &worker{
		sale: s, queue: q, conn: wire.NewConn(s.target, s.options.Timeout), head: []byte(head),
		userHead: []byte(`{"template_id":"` + s.template + `","user_id":"` + s.userPrefix()),
	}
}

func (w *worker) work(ctx context.Context) {
	defer w.conn.Close()
	for p := w.queue.take(ctx); p != nil; p = w.queue.take(ctx) {
		if at := w.press(ctx, p); at.IsZero() {
			w.queue.done()
		} else {
			w.queue.again(p, at)
		}
	}
}

// press sends the request of p until it is decided or given up, and returns
// zero; or, if the server is there but busy, when it is to be sent again, so
// that this caller is free for the next press. A server that is away holds up
// its callers.
func (w *worker) press(ctx context.Context, p *press) (again time.Time) {
	for {
		p.tries++
		answer, err := w.conn.Do(ctx, w.build(p))
		now := time.Now()
		switch {
		case err == nil && w.answered(p, answer, now):
			return again
		case err == nil && !p.givenUp:
			return now.Add(pause(p.tries, client.RetryAfter(answer.Header.Get("Retry-After"), now)))
		case err != nil:
			w.lost(p, err, now)
		}
		if p.givenUp || !sleep(ctx, pause(p.tries, 0)) {
			return again
		}
	}
}

// build writes the request of p into the worker's buffer.
func (w *worker) build(p *press) []byte {
	w.body = append(strconv.AppendInt(append(w.body[:0], w.userHead...), int64(p.user), 10), `"}`...)
	b := strconv.AppendInt(append(w.request[:0], w.head...), int64(p.key), 10)
	b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(w.body)), 10)
	w.request = append(append(b, "\r\n\r\n"...), w.body...)
	return w.request
}

// answered takes note of an answer, and reports whether it decides the press.
func (w *worker) answered(p *press, answer wire.Answer, now time.Time) bool {
	body, _ := scan(answer.Body)
	kind := answerKind{status: answer.Status, replayed: answer.Header.Get("Idempotency-Replayed") == "true"}
	out := outcome{status: answer.Status, named: body.couponIDs}
	if out.granted() {
		out.coupon, out.user = body.id, body.userID
	} else {
		out.code, kind.code = body.code, body.code
	}
	if undecided, maybe := verdict(kind); undecided {
		w.undecided(p, kind, maybe, now)
		return false
	}
	p.decided, p.outcome = true, out
	w.sale.tally.decide(kind, out.granted(), p.start, now)
	return true
}

// verdict says whether an answer leaves a press undecided, and if so, whether
// it may have been carried out nevertheless: what is refused as busy or as too
// much has changed nothing.
func verdict(kind answerKind) (undecided, maybe bool) {
	switch {
	case kind.code == client.CodeInProgress:
		return true, true
	case kind.status == http.StatusTooManyRequests || kind.code == client.CodeBusy:
		return true, false
	}
	failed := kind.status >= http.StatusInternalServerError
	return failed, failed
}

// lost takes note of a request without an answer. Unless not even a connection
// was to be had, it may have been carried out.
func (w *worker) lost(p *press, err error, now time.Time) {
	w.undecided(p, answerKind{code: mishap(err)}, !errors.Is(err, syscall.ECONNREFUSED), now)
}

// undecided takes note of a try that decided nothing, and gives the press up
// when there were only such for too long. When that is so for everybody, it
// ends the run.
func (w *worker) undecided(p *press, kind answerKind, maybe bool, now time.Time) {
	p.maybe = p.maybe || maybe
	if p.failing.IsZero() {
		p.failing = now
	}
	stalled := w.sale.tally.undecided(kind, now)
	if stalled > w.sale.options.Patience {
		w.queue.stop()
	}
	p.givenUp = max(stalled, now.Sub(p.failing)) > w.sale.options.Patience
}

const (
	firstPause   = 20 * time.Millisecond
	longestPause = time.Second
)

// pause says how long to wait before the next try: as long as was asked for,
// else longer each time; spread, so that those refused together do not come
// back together.
func pause(tries int, asked time.Duration) time.Duration {
	wait := max(asked, min(firstPause<<min(tries-1, 10), longestPause))
	return wait + rand.N(wait/2) //nolint:gosec // spreading needs no secrecy
}

// mishap names what came instead of an answer.
func mishap(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return "timed out"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed):
		return "connection lost"
	}
	return "no answer"
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
