package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Run holds a sale, reads back what came of it, and writes both to out. Report.OK
// says whether the proof holds. An error means that there is no proof: the sale
// could not be opened, its lists could not be read, or ctx ended; the report
// then holds as much as there is.
//
// A server that goes away and comes back within Options.Patience is waited for:
// requests without an answer are sent again with the same Idempotency-Key.
func Run(ctx context.Context, o Options, out io.Writer) (Report, error) {
	s, err := newSale(o)
	if err != nil {
		return Report{}, err
	}
	if err := s.open(ctx); err != nil {
		return Report{}, err
	}
	pace := count(o.Concurrency) + " at a time"
	if o.Rate > 0 {
		pace = fmt.Sprintf("%g a second", o.Rate)
	}
	if err := write(out, fmt.Sprintf("%s contenders for %s coupons of template %s: %s presses, %s\n",
		count(o.Users), count(o.Stock), s.template, count(len(s.presses)), pace)); err != nil {
		return Report{}, err
	}
	stop := s.watch(out)
	s.hold(ctx)
	stop()
	return s.conclude(ctx, out)
}

// conclude reports on a sale that has been held.
func (s *sale) conclude(ctx context.Context, out io.Writer) (Report, error) {
	r := s.report()
	if err := write(out, r.load()); err != nil {
		return r, err
	}
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	found, err := s.gather(ctx)
	if err != nil {
		return r, fmt.Errorf("no proof: %w", err)
	}
	r.Proof = s.judge(found)
	r.OK = r.Holds()
	return r, write(out, r.verdict(s.options.Stock))
}

func write(out io.Writer, text string) error {
	_, err := io.WriteString(out, text)
	return err
}

// watch shows how the sale goes until the returned function is called: a bar
// on a terminal, elsewhere a line now and then.
func (s *sale) watch(out io.Writer) (stop func()) {
	show, every := s.lines(out), 2*time.Second
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		show, every = s.bar(out), 100*time.Millisecond
	}
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				show(false)
			case <-quit:
				show(true)
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-gone
	}
}

// lines shows progress in lines. What cannot be written is no harm here: the
// report will fail on the same writer.
func (s *sale) lines(out io.Writer) func(last bool) {
	return func(last bool) {
		if last {
			return // the report follows at once
		}
		decided, granted := s.tally.progress()
		_ = write(out, fmt.Sprintf("%s of %s presses, %s granted\n",
			count(int(decided)), count(len(s.presses)), count(int(granted))))
	}
}

func (s *sale) bar(out io.Writer) func(last bool) {
	bar := progressbar.NewOptions(len(s.presses), progressbar.OptionSetWriter(out), progressbar.OptionSetWidth(30),
		progressbar.OptionShowCount(), progressbar.OptionUseANSICodes(true), progressbar.OptionClearOnFinish())
	return func(last bool) {
		decided, granted := s.tally.progress()
		bar.Describe(count(int(granted)) + " granted")
		_ = bar.Set(int(decided))
		if last {
			_ = bar.Clear()
		}
	}
}
