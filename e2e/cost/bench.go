package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"

	"scrip/enginetest"
)

// bench is one run of the program, and to enginetest a test: engines end with
// it. What goes wrong is a panic with a failure until measure turns it into an
// error, so that a scenario reads as what it does.
type bench struct {
	options

	ctx      context.Context //nolint:containedctx // as that of a test
	out      io.Writer
	cleanups []func()
	errs     []error

	engines      enginetest.TB // the run itself, but in tests
	maria, redis *enginetest.Server
	ways         map[string]*way

	// Of the scenario that is being run.
	text   strings.Builder // its part of the page
	values map[string]float64

	measured Measured
}

var _ enginetest.TB = (*bench)(nil)

// failure ends a run.
type failure struct{ err error }

// measure runs what the options ask for.
func measure(ctx context.Context, o options, out io.Writer) error {
	return newBench(ctx, o, out).run()
}

func newBench(ctx context.Context, o options, out io.Writer) *bench {
	b := &bench{options: o, ctx: ctx, out: out, ways: map[string]*way{}, values: map[string]float64{}}
	b.engines = b
	return b
}

// run runs the scenarios, and leaves nothing behind.
func (b *bench) run() (err error) {
	defer func() { err = errors.Join(append([]error{err}, b.errs...)...) }()
	defer b.end()
	defer func() {
		switch failed := recover().(type) {
		case nil:
		case failure:
			err = failed.err
		default:
			err = fmt.Errorf("panic: %v\n%s", failed, debug.Stack())
		}
	}()
	b.measured, err = readMeasured(b.docs)
	b.must(err)
	if b.render {
		return b.measured.render(b.docs)
	}
	for _, s := range scenarios() {
		if b.list {
			b.sayf("%-10s %s\n", s.key, s.about)
		} else if b.wanted(s.key) {
			b.sayf("%s  %s: %s\n", time.Now().Format(time.TimeOnly), s.key, s.about)
			s.run(b)
			b.must(context.Cause(b.ctx)) // what was cut off is not published
			b.publish(s)
		}
	}
	b.sayf("\n%s", b.measured.aims())
	return nil
}

// end undoes what was begun, the latest first.
func (b *bench) end() {
	for i := len(b.cleanups) - 1; i >= 0; i-- {
		b.cleanups[i]()
	}
}

// sayf writes to whoever waits. That it cannot be written is no reason to stop.
func (b *bench) sayf(format string, args ...any) { _, _ = fmt.Fprintf(b.out, format, args...) }

// show puts a table on the page, and its figures under the key.
func (b *bench) show(key string, t Table) {
	fmt.Fprintf(&b.text, "%s; %d rounds of %g s each, %d connections:\n\n%s\n", t.Title, t.Rounds, t.Turn, t.Conns, t.markdown())
	for _, r := range t.Rows {
		r.figures(func(name string, x float64) { b.values[key+r.Name+"/"+name] = x })
	}
}

// must ends the run if there is an error.
func (b *bench) must(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// runToEnd runs a program, and ends the run if that fails.
func (b *bench) runToEnd(program string, args ...string) []byte {
	said, err := exec.CommandContext(b.ctx, program, args...).CombinedOutput() //nolint:gosec // the callers' own
	if err != nil {
		b.must(fmt.Errorf("%s %v: %w\n%s", program, args, err, said))
	}
	return said
}

// What enginetest asks of a test.

// Helper does nothing.
func (b *bench) Helper() {}

// Context ends with the run.
func (b *bench) Context() context.Context { return b.ctx }

// Cleanup has end called at the end of the run.
func (b *bench) Cleanup(end func()) { b.cleanups = append(b.cleanups, end) }

// Error notes an error; the run goes on, and fails.
func (b *bench) Error(args ...any) { b.errs = append(b.errs, errors.New(fmt.Sprint(args...))) }

// Errorf notes an error; the run goes on, and fails.
func (b *bench) Errorf(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf(format, args...))
}

// Fatal ends the run.
func (b *bench) Fatal(args ...any) { b.must(errors.New(fmt.Sprint(args...))) }

// Fatalf ends the run.
func (b *bench) Fatalf(format string, args ...any) { b.must(fmt.Errorf(format, args...)) }

// Skipf ends the run as well: without its engines there is nothing to measure.
func (b *bench) Skipf(format string, args ...any) { b.Fatalf(format, args...) }
