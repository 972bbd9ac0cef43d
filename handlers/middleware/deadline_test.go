package middleware

import (
	"cmp"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever asks for Done first, and when, makes no difference.
func TestDeadlineIsAContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	for name, c := range map[string]struct {
		outer time.Duration // until the outer one ends; 0: long after
		leave func(d *deadline, goAway context.CancelFunc)
		want  error
	}{
		"its time":      {want: context.DeadlineExceeded, leave: func(*deadline, context.CancelFunc) { <-time.After(time.Second) }},
		"an outer time": {want: context.DeadlineExceeded, outer: time.Millisecond, leave: func(*deadline, context.CancelFunc) { <-time.After(time.Millisecond) }},
		"its end":       {want: context.Canceled, leave: func(d *deadline, _ context.CancelFunc) { d.end() }},
		"the caller":    {want: context.Canceled, leave: func(_ *deadline, goAway context.CancelFunc) { goAway() }},
	} {
		for _, early := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				values := context.WithValue(t.Context(), key{}, "found")
				outer, goAway := context.WithTimeout(values, cmp.Or(c.outer, time.Hour))
				defer goAway()
				d := withDeadline(outer, time.Now().Add(time.Second))
				defer d.end()
				if early {
					_ = d.Done()
				}
				inner, cancel := context.WithCancelCause(d)
				defer cancel(nil)
				if d.Err() != nil || d.Value(key{}) != "found" {
					t.Errorf("%s: %v, %v", name, d.Err(), d.Value(key{}))
				}
				c.leave(d, goAway)
				synctest.Wait()
				if !errors.Is(d.Err(), c.want) {
					t.Errorf("%s: ended by %v", name, d.Err())
				}
				<-d.Done()
				<-inner.Done()
				if !errors.Is(d.Err(), c.want) || !errors.Is(context.Cause(inner), c.want) {
					t.Errorf("%s: after Done %v, and within %v", name, d.Err(), context.Cause(inner))
				}
			})
		}
	}
}

// A deadline that nobody waited for costs neither a timer nor a goroutine; one
// within which others are made costs no goroutine either.
func TestDeadlineIsMadeWhenAskedFor(t *testing.T) {
	t.Parallel()
	d := withDeadline(t.Context(), time.Now().Add(time.Hour))
	if at, bounded := d.Deadline(); !bounded || time.Until(at) > time.Hour || d.Err() != nil || d.made != nil {
		t.Errorf("%v, %v, made: %v", at, d.Err(), d.made)
	}
	d.end()
	if d.made != nil {
		t.Error("made to be ended")
	}
	<-d.Done()
}
