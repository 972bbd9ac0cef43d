package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scrip/models"
	"scrip/store"
)

// lease takes a task that must be there.
func lease(t *testing.T, s *store.Store, job models.Job, owner string) models.Task {
	t.Helper()
	tasks, err := s.LeaseTasks(t.Context(), &job, owner, 1, time.Minute)
	if err != nil || len(tasks) != 1 {
		t.Fatalf("no task for %s: %v", owner, err)
	}
	return tasks[0]
}

func wantNoTask(t *testing.T, s *store.Store, job models.Job) {
	t.Helper()
	if tasks, err := s.LeaseTasks(t.Context(), &job, "nobody", 9, time.Minute); err != nil || len(tasks) > 0 {
		t.Errorf("got %+v, %v", tasks, err)
	}
}

// wantJob demands the state and the counts of a job.
func (f fixture) wantJob(t *testing.T, id models.ID, state models.JobState, done, total, failed int64) models.Job {
	t.Helper()
	j := must(f.Job(t.Context(), platform(), id))(t)
	if j.State != state || j.Done != done || j.Total != total || j.Failed != failed || j.Finished() != (j.FinishedAt != nil) {
		t.Errorf("got %+v, want %s with %d of %d done and %d failed", j, state, done, total, failed)
	}
	return j
}

func TestAJobIsDoneTaskByTask(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		job := must(f.NewJob(ctx, f.op(merchant("m1")), nil, 5, 3))(t)
		f.wantJob(t, job.ID, models.JobQueued, 0, 8, 0)
		_, err := f.Job(ctx, merchant("m2"), job.ID)
		wantCode(t, err, models.CodeNotFound)

		first, second := lease(t, f.Store, job, "a"), lease(t, f.another(t), job, "b")
		wantNoTask(t, f.Store, job)
		f.wantJob(t, job.ID, models.JobRunning, 0, 8, 0)
		if first.Seq == second.Seq || first.Units+second.Units != 8 {
			t.Errorf("got %+v and %+v", first, second)
		}
		if err := f.DoTask(ctx, first, 1, 0); err != nil {
			t.Error(err)
		}
		if err := f.DoTask(ctx, first, 0, 0); !errors.Is(err, models.ErrLeaseLost) {
			t.Errorf("it was done twice: %v", err)
		}
		f.sound(t)
		if err := f.DoTask(ctx, second, 0, 2); err != nil {
			t.Error(err)
		}
		f.wantJob(t, job.ID, models.JobRunning, first.Units, 10, 1)
		for range 3 {
			if err := f.DoTask(ctx, lease(t, f.Store, job, "a"), 0, 0); err != nil {
				t.Error(err)
			}
		}
		f.wantJob(t, job.ID, models.JobDone, 10, 10, 1)
		if open := must(f.OpenJobs(ctx, 9))(t); len(open) != 0 {
			t.Errorf("still open: %+v", open)
		}
		f.sound(t)
	})
}

func TestALostLeaseEndsNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		job := must(f.NewJob(ctx, f.op(platform()), nil, 4))(t)
		leased := must(f.LeaseTasks(ctx, &job, "a", 9, -time.Second))(t)
		if len(leased) != 1 {
			t.Fatalf("leased %+v", leased)
		}
		frozen := leased[0]
		heir := lease(t, f.Store, job, "b")
		if heir.Attempts != 1 {
			t.Errorf("the attempt of the frozen one does not count: %+v", heir)
		}
		for name, err := range map[string]error{
			"done":   f.DoTask(ctx, frozen, 0, 0),
			"buried": f.BuryTask(ctx, &frozen, "late"),
		} {
			if !errors.Is(err, models.ErrLeaseLost) {
				t.Errorf("%s by the frozen one: %v", name, err)
			}
		}
		if err := f.ReturnTask(ctx, &frozen, 0, true); err != nil {
			t.Error(err)
		}
		wantNoTask(t, f.Store, job)
		if err := f.ReturnTask(ctx, &heir, time.Hour, false); err != nil {
			t.Error(err)
		}
		wantNoTask(t, f.Store, job)
		f.wantJob(t, job.ID, models.JobRunning, 0, 4, 0)
		f.sound(t)
	})
}

func TestATaskThatIsGivenUpFailsItsJob(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		job := must(f.NewJob(ctx, f.op(platform()), nil, 4, 4))(t)
		bad := lease(t, f.Store, job, "a")
		if err := f.BuryTask(ctx, &bad, "no good"); err != nil {
			t.Fatal(err)
		}
		if err := f.DoTask(ctx, lease(t, f.Store, job, "a"), 0, 0); err != nil {
			t.Fatal(err)
		}
		if j := f.wantJob(t, job.ID, models.JobFailed, 8, 8, 4); j.Error == "" {
			t.Error("it does not say why")
		}
		f.sound(t)
	})
}

func TestNoTaskCommitsAfterAPauseOrACancel(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		job := must(f.NewJob(ctx, f.op(platform()), nil, 4, 4))(t)
		begun := lease(t, f.Store, job, "a")
		move := func(action models.JobAction) error { return f.MoveJob(ctx, f.op(platform()), job.ID, action) }
		for range 2 {
			if err := move(models.JobPause); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.DoTask(ctx, begun, 0, 0); !errors.Is(err, models.ErrLeaseLost) {
			t.Errorf("done after the pause: %v", err)
		}
		f.wantJob(t, job.ID, models.JobPaused, 0, 8, 0)
		for range 2 {
			if err := move(models.JobResume); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.DoTask(ctx, begun, 0, 0); err != nil {
			t.Errorf("the lease did not outlast the pause: %v", err)
		}
		begun = lease(t, f.Store, job, "a")
		for range 2 {
			if err := move(models.JobCancel); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.DoTask(ctx, begun, 0, 0); !errors.Is(err, models.ErrLeaseLost) {
			t.Errorf("done after the cancel: %v", err)
		}
		f.wantJob(t, job.ID, models.JobCancelled, 4, 8, 0)
		wantCode(t, move(models.JobResume), models.CodeWrongState)
		wantCode(t, move(models.JobPause), models.CodeWrongState)
		f.sound(t)
	})
}

func TestARateHoldsOverAllWorkers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		job := must(f.NewJob(t.Context(), f.op(platform()), new(int64(1)), 3600, 3600))(t)
		lease(t, f.Store, job, "a")
		wantNoTask(t, f.another(t), job) // for an hour
	})
}

func TestWorkersDoEachTaskOnce_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		const tasks, workers = 60, 6
		units := make([]int64, tasks)
		for i := range units {
			units[i] = 1
		}
		job := must(f.NewJob(t.Context(), f.op(platform()), nil, units...))(t)
		var did atomic.Int64
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				for did.Load() < tasks {
					tasks, err := f.LeaseTasks(t.Context(), &job, "w", 3, time.Minute)
					if err != nil {
						t.Error(err)
						return
					}
					for _, task := range tasks {
						if err := f.DoTask(t.Context(), task, 0, 0); err != nil {
							t.Error(err)
						}
						did.Add(1)
					}
				}
			})
		}
		all.Wait()
		f.wantJob(t, job.ID, models.JobDone, tasks, tasks, 0)
		f.sound(t)
	})
}
