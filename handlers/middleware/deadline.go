package middleware

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that ends at its time, or with the one that it is in. Its
// timer, and what ties it to the outer context, are made when somebody asks for
// Done: most refusals wait for nothing, and need none of it.
type deadline struct {
	context.Context

	at   time.Time
	mu   sync.Mutex
	over bool            // end was called
	made context.Context // nil until somebody asks
	stop context.CancelFunc
}

// withDeadline returns a context of which end must be called.
func withDeadline(outer context.Context, at time.Time) *deadline {
	if sooner, bounded := outer.Deadline(); bounded && sooner.Before(at) {
		at = sooner
	}
	return &deadline{Context: outer, at: at}
}

func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.made != nil {
		d.stop()
	}
}

// Deadline returns when it ends.
func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

// Done is closed when it ends.
func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made == nil {
		d.made, d.stop = context.WithDeadline(d.Context, d.at)
		if d.over {
			d.stop()
		}
	}
	return d.made.Done()
}

// Err says why it has ended, or nil.
func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.made != nil:
		return d.made.Err()
	case d.over:
		return context.Canceled
	case !time.Now().Before(d.at):
		return context.DeadlineExceeded
	}
	return d.Context.Err()
}

// Value finds what the outer context has. What the context package looks for, by a
// key of its own, belongs to where Done comes from.
func (d *deadline) Value(key any) any {
	d.mu.Lock()
	made := d.made
	d.mu.Unlock()
	if made != nil {
		return made.Value(key)
	}
	return d.Context.Value(key)
}
