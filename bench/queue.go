package bench

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// queue hands out presses when they are due: those of the plan at their intended
// times, and those to be tried again. It is safe for concurrent use.
type queue struct {
	begin time.Time
	gap   time.Duration // between intended starts; 0: as fast as they are taken

	turn sync.Mutex    // held by the one caller that waits for what is due next
	wake chan struct{} // tells that caller to look again

	mu      sync.Mutex
	plan    []*press
	next    int // of the plan
	later   delayed
	open    int // handed out, and neither done nor put back
	stopped bool
}

func newQueue(plan []*press, begin time.Time, rate float64) *queue {
	q := &queue{begin: begin, plan: plan, wake: make(chan struct{}, 1)}
	if rate > 0 {
		q.gap = time.Duration(float64(time.Second) / rate)
	}
	return q
}

// take returns the next press once it is due; nil when there will be none any
// more, or the context has ended. Each press taken goes to done or to again.
func (q *queue) take(ctx context.Context) *press {
	q.turn.Lock()
	defer q.turn.Unlock()
	for ctx.Err() == nil {
		p, wait, more := q.look(time.Now())
		if p != nil || !more {
			return p
		}
		q.await(ctx, wait)
	}
	return nil
}

// await waits for so long, for a sign, or for the end of the context.
func (q *queue) await(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.wake:
	case <-ctx.Done():
	}
}

// look returns what is due now; else how long it is until something may be, and
// whether there is anything to wait for.
func (q *queue) look(now time.Time) (p *press, wait time.Duration, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		return nil, 0, false
	}
	fresh := q.next < len(q.plan)
	start := now
	if q.gap > 0 {
		start = q.begin.Add(time.Duration(q.next) * q.gap)
	}
	switch {
	case len(q.later) > 0 && (!fresh || !q.later[0].at.After(start)):
		if wait = q.later[0].at.Sub(now); wait > 0 {
			return nil, wait, true
		}
		p = q.later[0].press
		heap.Pop(&q.later)
	case fresh:
		if wait = start.Sub(now); wait > 0 {
			return nil, wait, true
		}
		p = q.plan[q.next]
		q.next++
		if p.start.IsZero() {
			p.start = start
		}
	default:
		return nil, time.Hour, q.open > 0 // a sign comes first
	}
	q.open++
	return p, 0, true
}

// done takes note that p will not be tried any more.
func (q *queue) done() {
	q.mu.Lock()
	q.open--
	last := q.open == 0
	q.mu.Unlock()
	if last {
		q.sign()
	}
}

// again puts p back, to be handed out at the given time.
func (q *queue) again(p *press, at time.Time) {
	q.mu.Lock()
	heap.Push(&q.later, later{at, p})
	q.open--
	q.mu.Unlock()
	q.sign()
}

// stop ends the handing out.
func (q *queue) stop() {
	q.mu.Lock()
	q.stopped = true
	q.mu.Unlock()
	q.sign()
}

func (q *queue) sign() {
	select {
	case q.wake <- struct{}{}:
	default: // one sign is enough
	}
}

// later is a press that is to be tried again.
type later struct {
	at    time.Time
	press *press
}

// delayed is a heap of presses to be tried again, the earliest on top.
type delayed []later

func (d *delayed) Len() int           { return len(*d) }
func (d *delayed) Less(i, j int) bool { return (*d)[i].at.Before((*d)[j].at) }
func (d *delayed) Swap(i, j int)      { (*d)[i], (*d)[j] = (*d)[j], (*d)[i] }

// Push is for container/heap alone.
func (d *delayed) Push(x any) { *d = append(*d, x.(later)) } //nolint:forcetypeassert // again pushes nothing else

// Pop is for container/heap alone.
func (d *delayed) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	*d = (*d)[:last]
	return x
}
