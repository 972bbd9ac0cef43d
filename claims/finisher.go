package claims

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"scrip/failpoint"
	"scrip/models"
)

// finisher tells the gate what became of claims, behind the callers' backs:
// nobody waits for it. What it cannot deliver is found by the settle job, so it
// may drop.
type finisher struct {
	gate  gate
	log   *slog.Logger
	queue chan []models.GateOutcome
	stop  chan struct{}
	done  sync.WaitGroup
}

const (
	finisherQueue   = 1024
	finisherTimeout = time.Second
)

func newFinisher(g gate, log *slog.Logger) *finisher {
	f := &finisher{gate: g, log: log, queue: make(chan []models.GateOutcome, finisherQueue), stop: make(chan struct{})}
	f.done.Go(f.deliver)
	return f
}

func (f *finisher) tell(outcomes ...models.GateOutcome) {
	if len(outcomes) == 0 {
		return
	}
	select {
	case f.queue <- outcomes:
	default:
	}
}

func (f *finisher) deliver() {
	for {
		select {
		case outcomes := <-f.queue:
			f.send(f.gather(outcomes))
		case <-f.stop:
			if last := f.gather(nil); len(last) > 0 {
				f.send(last)
			}
			return
		}
	}
}

// gather adds what else is queued, to be sent in one go.
func (f *finisher) gather(outcomes []models.GateOutcome) []models.GateOutcome {
	for {
		select {
		case next := <-f.queue:
			outcomes = append(outcomes, next...)
		default:
			return outcomes
		}
	}
}

func (f *finisher) send(outcomes []models.GateOutcome) {
	ctx, cancel := context.WithTimeout(context.Background(), finisherTimeout)
	defer cancel()
	if err := f.gate.Finish(ctx, outcomes); err != nil {
		f.log.DebugContext(ctx, "gate not told of claims; they will be settled", "claims", len(outcomes), "error", err)
		return
	}
	failpoint.Reach(failpoint.ClaimTold)
}

// close delivers what is queued.
func (f *finisher) close() {
	close(f.stop)
	f.done.Wait()
}
