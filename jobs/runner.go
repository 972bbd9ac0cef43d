// Package jobs does what nobody waits for: settling, reconciling, purging. The
// runner ticks; each job is a loop around a step that a test can call.
package jobs

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"scrip/models"
)

// Job is something done again and again.
type Job struct {
	Name  string
	Every time.Duration
	Alone bool // one instance at a time does it

	// Step does a bounded amount of work and reports how much it changed, and
	// whether there may be more to do at once. It must be safe to repeat: an
	// instance that was frozen may wake up in the middle of one.
	Step func(ctx context.Context) (changed int, more bool, err error)
}

type leaser interface {
	AcquireLease(ctx context.Context, name, owner string, ttl time.Duration) (models.Lease, bool, error)
	ReleaseLease(ctx context.Context, lease models.Lease) error
}

// Runner runs jobs until it is stopped.
type Runner struct {
	leases leaser
	owner  string
	log    *slog.Logger
	cancel context.CancelCauseFunc
	done   sync.WaitGroup
}

// leaseTTL is how long a job stays with an instance that died. Until then nothing
// is settled, which is promised within ten seconds; and whoever is slower than
// that at one step has another beside it, which does no harm.
const leaseTTL = 4 * time.Second

// Start begins to run the jobs. owner names this instance among all.
func Start(leases leaser, owner string, log *slog.Logger, list ...Job) *Runner {
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &Runner{leases: leases, owner: owner, log: log, cancel: cancel}
	for _, job := range list {
		r.done.Go(func() { r.loop(ctx, job) })
	}
	return r
}

// Stop ends every job after its current step.
func (r *Runner) Stop() {
	r.cancel(context.Canceled)
	r.done.Wait()
}

func (r *Runner) loop(ctx context.Context, job Job) {
	var held models.Lease
	for {
		// Jitter keeps instances that started together from ticking together.
		wait := job.Every/2 + rand.N(job.Every) //nolint:gosec // any spread will do
		select {
		case <-time.After(wait):
			held = r.tick(ctx, job)
		case <-ctx.Done():
			r.giveBack(held) //nolint:contextcheck // ours has ended, and the lease must go back all the same
			return
		}
	}
}

// tick does the job if it is ours to do, and returns the lease by which it is.
// A run that takes long keeps its lease on the way, or ends where it has lost it.
func (r *Runner) tick(ctx context.Context, job Job) (lease models.Lease) {
	total, renewed := 0, time.Time{}
	for more := true; more && ctx.Err() == nil; {
		if job.Alone && time.Since(renewed) > leaseTTL/3 {
			var ours bool
			if lease, ours = r.acquire(ctx, job); !ours {
				break
			}
			renewed = time.Now()
		}
		var n int
		var err error
		n, more, err = job.Step(ctx)
		total += n
		if err != nil {
			r.report(ctx, job, total, err)
			return lease
		}
	}
	r.report(ctx, job, total, nil)
	return lease
}

func (r *Runner) acquire(ctx context.Context, job Job) (models.Lease, bool) {
	lease, ours, err := r.leases.AcquireLease(ctx, "job:"+job.Name, r.owner, max(leaseTTL, 3*job.Every))
	if err != nil {
		r.report(ctx, job, 0, err)
	}
	if err != nil || !ours {
		return models.Lease{}, false
	}
	return lease, true
}

func (r *Runner) report(ctx context.Context, job Job, changed int, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.log.WarnContext(ctx, "job failed, and will be tried again", "job", job.Name, "changed", changed, "error", err)
	case changed > 0:
		r.log.InfoContext(ctx, "job done", "job", job.Name, "changed", changed)
	}
}

// giveBack lets another instance go on at once.
func (r *Runner) giveBack(lease models.Lease) {
	if lease.Name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := r.leases.ReleaseLease(ctx, lease); err != nil {
		r.log.DebugContext(ctx, "lease not given back; it will run out", "lease", lease.Name, "error", err)
	}
}
