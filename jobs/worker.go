package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"scrip/failpoint"
	"scrip/models"
)

type taskStore interface {
	OpenJobs(ctx context.Context, limit int) ([]models.Job, error)
	LeaseTasks(ctx context.Context, job *models.Job, owner string, most int, ttl time.Duration) ([]models.Task, error)
	ReturnTask(ctx context.Context, task *models.Task, pause time.Duration, uncounted bool) error
	BuryTask(ctx context.Context, task *models.Task, reason string) error
}

// Kinds tells how to do a task of each kind of job: all of it in one transaction
// that also ends the task under its lease, or nothing of it.
type Kinds map[models.JobKind]func(ctx context.Context, task models.Task) error

// Worker does the tasks of jobs, one after the other. Any number of workers may be at
// it, in any number of instances: each task is leased to one.
type Worker struct {
	Store taskStore
	Owner string // names the instance
	Kinds Kinds
}

const (
	openJobs = 100

	// leaseTasks are leased in one transaction, which is worth it where a task
	// takes little more than that.
	leaseTasks = 4

	// taskLease is how long a task stays with a worker that died; taskTimeout
	// what a worker may take for it. A worker that took longer all the same, for
	// it was frozen, finds its lease lost when it tries to commit.
	taskLease   = 10 * time.Second
	taskTimeout = 8 * time.Second

	// maxAttempts are what a task gets before it is given up, crashes in the
	// middle of it included; the pauses between them grow up to longestPause.
	maxAttempts  = 20
	firstPause   = 100 * time.Millisecond
	longestPause = 30 * time.Second

	// waitingPause is how often a task that has to wait for something is asked.
	waitingPause = time.Second
)

// Step does a few tasks of one job, if there are any to do.
func (w *Worker) Step(ctx context.Context) (changed int, more bool, err error) {
	open, err := w.Store.OpenJobs(ctx, openJobs)
	if err != nil {
		return 0, false, err
	}
	start := rand.IntN(max(1, len(open))) //nolint:gosec // each job gets its turn, whichever is first
	for i := range open {
		job := &open[(start+i)%len(open)]
		do := w.Kinds[job.Kind]
		if do == nil {
			continue // a newer version's kind
		}
		leased := time.Now()
		tasks, err := w.Store.LeaseTasks(ctx, job, w.Owner, leaseTasks, taskLease)
		if err != nil {
			return 0, false, err
		}
		if len(tasks) > 0 {
			failpoint.Reach(failpoint.TaskLeased)
			return w.doAll(ctx, do, tasks, leased.Add(taskLease-taskTimeout))
		}
	}
	return 0, false, nil
}

// doAll does tasks, but begins none after the given time, or it might not be
// through before its lease is over.
func (w *Worker) doAll(ctx context.Context, do func(context.Context, models.Task) error, tasks []models.Task, until time.Time) (
	changed int, more bool, err error,
) {
	for i := range tasks {
		if i > 0 && (ctx.Err() != nil || time.Now().After(until)) {
			return changed, ctx.Err() == nil, w.handAll(ctx, tasks[i:])
		}
		var n int
		n, more, err = w.do(ctx, do, &tasks[i])
		changed += n
		if err != nil {
			return changed, more, errors.Join(err, w.handAll(ctx, tasks[i+1:]))
		}
	}
	return changed, more, nil
}

// handAll gives tasks back that were not begun.
func (w *Worker) handAll(ctx context.Context, tasks []models.Task) error {
	var faults []error
	for i := range tasks {
		faults = append(faults, w.hand(ctx, func(ctx context.Context) error { return w.Store.ReturnTask(ctx, &tasks[i], 0, true) }))
	}
	return errors.Join(faults...)
}

func (w *Worker) do(ctx context.Context, do func(context.Context, models.Task) error, task *models.Task) (changed int, more bool, err error) {
	err = attempt(ctx, do, *task)
	switch {
	case err == nil:
		return 1, true, nil
	case errors.Is(err, models.ErrLeaseLost):
		return 0, true, nil // another has it, or its owner wants no more of it
	case errors.Is(err, models.ErrNotYet):
		return 0, true, w.Store.ReturnTask(ctx, task, waitingPause, true)
	case ctx.Err() != nil:
		return 0, false, w.hand(ctx, func(ctx context.Context) error { return w.Store.ReturnTask(ctx, task, 0, true) })
	case task.Attempts+1 >= maxAttempts:
		buried := w.Store.BuryTask(ctx, task, reason(err))
		return 1, true, errors.Join(fmt.Errorf("job %s: task %d is given up: %w", task.JobID, task.Seq, err), buried)
	}
	pause := min(longestPause, firstPause<<min(task.Attempts, maxAttempts))
	returned := w.Store.ReturnTask(ctx, task, pause, false)
	return 0, true, errors.Join(fmt.Errorf("job %s: task %d: %w", task.JobID, task.Seq, err), returned)
}

// attempt does a task; a panic in it is its failure and nobody else's.
func attempt(ctx context.Context, do func(context.Context, models.Task) error, task models.Task) (err error) {
	ctx, cancel := context.WithTimeout(ctx, taskTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do(ctx, task)
}

// reason is what the job's owner is told of a failure: a refusal in full, of a
// fault of ours nothing but that it was one.
func reason(err error) string {
	var refusal *models.Error
	if errors.As(err, &refusal) {
		return refusal.Error()
	}
	return string(models.CodeInternal) + ": a fault of the server's; its log tells more"
}

// hand gives a task back at a stop, when the worker's own context has ended.
func (w *Worker) hand(ctx context.Context, back func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return back(ctx)
}
