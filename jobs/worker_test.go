package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scrip/jobs"
	"scrip/models"
)

// pile is one job with tasks to lease.
type pile struct {
	job      models.Job
	tasks    []models.Task
	returned []models.Task
	pauses   []time.Duration
	counted  []bool
	buried   []string
}

func (p *pile) OpenJobs(context.Context, int) ([]models.Job, error) {
	return []models.Job{{ID: 1, Kind: "of tomorrow"}, p.job}, nil
}

func (p *pile) LeaseTasks(_ context.Context, job *models.Job, _ string, most int, _ time.Duration) ([]models.Task, error) {
	if job.ID != p.job.ID {
		return nil, nil
	}
	n := min(most, len(p.tasks))
	leased := p.tasks[:n]
	p.tasks = p.tasks[n:]
	return leased, nil
}

func (p *pile) ReturnTask(_ context.Context, task *models.Task, pause time.Duration, uncounted bool) error {
	p.returned, p.pauses = append(p.returned, *task), append(p.pauses, pause)
	p.counted = append(p.counted, !uncounted)
	return nil
}

func (p *pile) BuryTask(_ context.Context, _ *models.Task, reason string) error {
	p.buried = append(p.buried, reason)
	return nil
}

func newPile(tasks ...models.Task) *pile {
	return &pile{job: models.Job{ID: 2, Kind: models.JobCodes}, tasks: tasks}
}

func work(p *pile, do func(context.Context, models.Task) error) *jobs.Worker {
	return &jobs.Worker{Store: p, Owner: "w", Kinds: jobs.Kinds{models.JobCodes: do}}
}

func TestAWorkerGoesOnWhileThereAreTasks(t *testing.T) {
	t.Parallel()
	p := newPile(models.Task{Seq: 1}, models.Task{Seq: 2}, models.Task{Seq: 3}, models.Task{Seq: 4}, models.Task{Seq: 5})
	var did []int64
	w := work(p, func(_ context.Context, task models.Task) error { did = append(did, task.Seq); return nil })
	for _, want := range []bool{true, true, false} {
		if _, more, err := w.Step(t.Context()); more != want || err != nil {
			t.Errorf("more is %v, %v", more, err)
		}
	}
	if len(did) != 5 || len(p.returned)+len(p.buried) > 0 {
		t.Errorf("did %v, returned %v, buried %v", did, p.returned, p.buried)
	}
}

func TestAFailedTaskIsTriedAgainAndThenGivenUp(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(context.Context, models.Task) error{
		"error": func(context.Context, models.Task) error { return errors.New("secret") },
		"panic": func(context.Context, models.Task) error { panic("secret") },
	} {
		p := newPile()
		w := work(p, do)
		for _, attempts := range []int64{0, 5, 19} {
			p.tasks = []models.Task{{Attempts: attempts}}
			if n, more, err := w.Step(t.Context()); !more || err == nil {
				t.Errorf("%s: %d, %v, %v", name, n, more, err)
			}
		}
		if len(p.pauses) != 2 || p.pauses[0] >= p.pauses[1] || !p.counted[0] {
			t.Errorf("%s: pauses %v", name, p.pauses)
		}
		if len(p.buried) != 1 || strings.Contains(p.buried[0], "secret") {
			t.Errorf("%s: buried %q", name, p.buried)
		}
	}
}

func TestALostLeaseIsNoFailure(t *testing.T) {
	t.Parallel()
	p := newPile(models.Task{})
	_, more, err := work(p, func(context.Context, models.Task) error { return models.ErrLeaseLost }).Step(t.Context())
	if !more || err != nil || len(p.returned) > 0 {
		t.Errorf("%v, %v, returned %v", more, err, p.returned)
	}
}

func TestAStopHandsTheTaskBack(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	p := newPile(models.Task{Seq: 1}, models.Task{Seq: 2})
	_, more, err := work(p, func(ctx context.Context, _ models.Task) error {
		cancel(nil)
		return ctx.Err()
	}).Step(ctx)
	if more || err != nil || len(p.returned) != 2 || p.pauses[0] != 0 || p.counted[0] || p.counted[1] {
		t.Errorf("%v, %v, returned %v after %v", more, err, p.returned, p.pauses)
	}
}

func TestAFailureHandsBackWhatIsNotBegun(t *testing.T) {
	t.Parallel()
	p := newPile(models.Task{Seq: 1}, models.Task{Seq: 2}, models.Task{Seq: 3})
	_, _, err := work(p, func(context.Context, models.Task) error { return errors.New("away") }).Step(t.Context())
	if err == nil || len(p.returned) != 3 || !p.counted[0] || p.counted[1] || p.counted[2] {
		t.Errorf("%v, returned %v, counted %v", err, p.returned, p.counted)
	}
}

func TestATaskThatHasToWaitIsNoFailure(t *testing.T) {
	t.Parallel()
	p := newPile(models.Task{})
	_, _, err := work(p, func(context.Context, models.Task) error { return models.ErrNotYet }).Step(t.Context())
	if err != nil || len(p.returned) != 1 || p.pauses[0] == 0 || p.counted[0] {
		t.Errorf("%v, returned %v after %v", err, p.returned, p.pauses)
	}
}

func TestNoTaskIsBegunThatMayOutliveItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPile(models.Task{Seq: 1}, models.Task{Seq: 2})
		n, _, err := work(p, func(context.Context, models.Task) error {
			time.Sleep(5 * time.Second) //nolint:forbidigo // in a bubble it only moves the clock
			return nil
		}).Step(t.Context())
		if n != 1 || err != nil || len(p.returned) != 1 || p.returned[0].Seq != 2 {
			t.Errorf("did %d, %v, returned %v", n, err, p.returned)
		}
	})
}
