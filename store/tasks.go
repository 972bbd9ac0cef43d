package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"scrip/failpoint"
	"scrip/models"
)

const (
	taskReady = "ready" // to be done; being done, while its lease lasts
	taskDone  = "done"
	taskDead  = "dead" // given up; its args stay, to tell what was not done
)

// addTasks stores tasks of a job, numbered from first on.
func addTasks(ctx context.Context, t tx, job models.ID, first int64, tasks []models.NewTask) error {
	args := make([]any, 0, 5*len(tasks))
	for i, task := range tasks {
		args = append(args, job, first+int64(i), taskReady, task.Units, string(task.Args))
	}
	return insert(ctx, t, "tasks (job_id, seq, state, units, args)", 5, args, "")
}

// OpenJobs lists the jobs that may have tasks to do, oldest first.
func (s *Store) OpenJobs(ctx context.Context, limit int) ([]models.Job, error) {
	var rows []jobRow
	err := s.orm.WithContext(ctx).Where("state IN ?", []models.JobState{models.JobQueued, models.JobRunning}).
		Order("id").Limit(limit).Find(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("list open jobs: %w", err)
	}
	return convert(rows, (*jobRow).job)
}

// leaseChoice is among how many tasks a worker picks its own: more than there are
// workers, or they would all want the same.
const leaseChoice = 32

// errNotYet says that a job lets no task begin now.
var errNotYet = errors.New("the job lets no task begin now")

// LeaseTasks gives the worker called owner up to most of the job's tasks that
// nobody has, until ttl has passed; of a job with a rate one at most. It gives
// none while there are none, or while the job's state or rate lets none begin. The
// attempt counts from here on, so that a task that kills its workers is given up
// one day.
func (s *Store) LeaseTasks(ctx context.Context, job *models.Job, owner string, most int, ttl time.Duration) ([]models.Task, error) {
	now := s.Now()
	free, err := s.freeTasks(ctx, job, now)
	if err != nil || len(free) == 0 {
		return nil, err
	}
	if job.Rate != nil {
		most = 1
	}
	// Each worker begins somewhere else, and all lock in the same direction.
	start := rand.IntN(max(1, len(free)-most+1)) //nolint:gosec // any place spreads the workers
	var leased []models.Task
	err = s.inTx(ctx, func(t tx) error {
		leased, err = leaseFrom(ctx, t, free[start:], owner, most, now, ttl)
		if err == nil && len(leased) == 0 {
			leased, err = leaseFrom(ctx, t, free[:start], owner, most, now, ttl)
		}
		if err != nil || len(leased) == 0 {
			return err
		}
		return s.pace(ctx, t, job, leased[0].Units, now)
	})
	if errors.Is(err, errNotYet) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lease tasks: %w", err)
	}
	return leased, nil
}

func (s *Store) freeTasks(ctx context.Context, job *models.Job, now time.Time) (free []models.Task, err error) {
	err = query(ctx, s.sql, `SELECT seq, units, token, attempts FROM tasks
		WHERE job_id = ? AND state = 'ready' AND lease_until <= ? AND not_before <= ? ORDER BY seq LIMIT ?`,
		[]any{job.ID, millis(now), millis(now), leaseChoice},
		func(scan func(...any) error) error {
			task := models.Task{JobID: job.ID, Kind: job.Kind, MerchantID: job.MerchantID}
			err := scan(&task.Seq, &task.Units, &task.Token, &task.Attempts)
			free = append(free, task)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("look for tasks: %w", err)
	}
	return free, nil
}

func leaseFrom(ctx context.Context, t tx, free []models.Task, owner string, most int, now time.Time, ttl time.Duration) (leased []models.Task, err error) {
	for _, task := range free {
		if len(leased) == most {
			break
		}
		ours, err := lease(ctx, t, &task, owner, now, ttl)
		if err != nil {
			return nil, err
		}
		if ours {
			leased = append(leased, task)
		}
	}
	return leased, nil
}

// lease tries to take one task; the conditional update decides.
func lease(ctx context.Context, t tx, task *models.Task, owner string, now time.Time, ttl time.Duration) (ours bool, err error) {
	done, err := t.sql.ExecContext(ctx, `UPDATE tasks SET owner = ?, token = token + 1, lease_until = ?, attempts = attempts + 1
		WHERE job_id = ? AND seq = ? AND state = 'ready' AND token = ? AND lease_until <= ?`,
		owner, millis(now.Add(ttl)), task.JobID, task.Seq, task.Token, millis(now))
	if err != nil {
		return false, err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	task.Token++
	err = t.sql.QueryRowContext(ctx, "SELECT args FROM tasks WHERE job_id = ? AND seq = ?", task.JobID, task.Seq).Scan(&task.Args)
	return err == nil, err
}

// pace has the job run. Where it has a rate, its next task may begin once so
// long has passed as this one's units take.
func (s *Store) pace(ctx context.Context, t tx, job *models.Job, units int64, now time.Time) error {
	if job.Rate == nil {
		_, err := t.sql.ExecContext(ctx, "UPDATE jobs SET state = 'running' WHERE id = ? AND state = 'queued'", job.ID)
		return err
	}
	rest := units*time.Second.Milliseconds() / *job.Rate + 1
	done, err := t.sql.ExecContext(ctx, `UPDATE jobs SET state = 'running', next_at = ?
		WHERE id = ? AND state IN ('queued', 'running') AND next_at <= ?`, millis(now)+rest, job.ID, millis(now))
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(errNotYet, err)
	}
	return nil
}

// outcome is what a task's transaction comes to.
type outcome struct {
	failed int64            // of the task's units, in vain
	args   []byte           // what is left to do of it; nil: nothing, it is done
	more   []models.NewTask // of the same job, to be done beside it …
	first  int64            // … numbered from here on
}

// inTask runs fn in the one transaction that ends its task, so that what it
// does is done once, however often the task is begun. models.ErrLeaseLost if the
// task is not the worker's to end.
func (s *Store) inTask(ctx context.Context, task *models.Task, fn func(tx) (outcome, error)) error {
	return s.inTx(ctx, func(t tx) error { return s.carryOut(ctx, t, task, fn) })
}

func (s *Store) carryOut(ctx context.Context, t tx, task *models.Task, fn func(tx) (outcome, error)) error {
	if err := end(ctx, t, task, taskDone); err != nil {
		return err
	}
	came, err := fn(t)
	if err != nil {
		return err
	}
	progress := models.Job{Done: task.Units, Failed: came.failed}
	if came.args != nil {
		progress.Done = 0
		_, err := t.sql.ExecContext(ctx, "UPDATE tasks SET state = 'ready', attempts = 0, args = ? WHERE job_id = ? AND seq = ?",
			string(came.args), task.JobID, task.Seq)
		if err != nil {
			return fmt.Errorf("leave the rest of the task: %w", err)
		}
	}
	for _, added := range came.more {
		progress.Total += added.Units
	}
	if err := addTasks(ctx, t, task.JobID, came.first, came.more); err != nil {
		return err
	}
	if err := s.advance(ctx, t, task.JobID, progress); err != nil {
		return err
	}
	failpoint.Reach(failpoint.TaskWritten)
	return nil
}

// end ends a task under its lease. One that is done needs its args no more.
func end(ctx context.Context, t tx, task *models.Task, state string) error {
	done, err := t.sql.ExecContext(ctx, `UPDATE tasks SET state = ?, lease_until = 0, args = CASE WHEN ? = 'done' THEN NULL ELSE args END
		WHERE job_id = ? AND seq = ? AND state = 'ready' AND token = ?`, state, state, task.JobID, task.Seq, task.Token)
	if err != nil {
		return fmt.Errorf("end the task: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(models.ErrLeaseLost, err)
	}
	return nil
}

// advance adds a task's part to its job, and ends the job with its last task.
// The job's row, locked last, has the ends of its tasks come one by one: whoever
// is the last sees all others.
func (s *Store) advance(ctx context.Context, t tx, id models.ID, by models.Job) error {
	var row jobRow
	if err := locking(t).Where("id = ?", id).Take(&row).Error; err != nil {
		return found(err, "job")
	}
	if row.State != models.JobQueued && row.State != models.JobRunning {
		return models.ErrLeaseLost
	}
	row.Total, row.Done, row.Failed = row.Total+by.Total, row.Done+by.Done, row.Failed+by.Failed
	if by.Error != "" {
		row.Error = &by.Error
	}
	row.UpdatedAt = millis(s.Now())
	left, err := hasTasks(ctx, t, id, taskReady)
	if err != nil {
		return err
	}
	if row.State = models.JobRunning; !left {
		gaveUp, err := hasTasks(ctx, t, id, taskDead)
		if err != nil {
			return err
		}
		if row.State, row.FinishedAt = models.JobDone, &row.UpdatedAt; gaveUp {
			row.State = models.JobFailed
		}
	}
	err = t.orm.Model(&row).Where("id = ?", id).Select("state", "total", "done", "failed", "error", "updated_at", "finished_at").
		Updates(&row).Error
	if err != nil {
		return fmt.Errorf("advance the job: %w", err)
	}
	return s.tellOfJob(ctx, t, &row)
}

func hasTasks(ctx context.Context, t tx, job models.ID, state string) (has bool, err error) {
	err = query(ctx, t, "SELECT 1 FROM tasks WHERE job_id = ? AND state = ? LIMIT 1", []any{job, state},
		func(func(...any) error) error { has = true; return nil })
	if err != nil {
		return false, fmt.Errorf("look for tasks of the job: %w", err)
	}
	return has, nil
}

// ReturnTask gives a task back that was begun in vain: it can be leased again
// after a pause. With uncounted the attempt was none, as at a stop.
func (s *Store) ReturnTask(ctx context.Context, task *models.Task, pause time.Duration, uncounted bool) error {
	attempts := task.Attempts + 1
	if uncounted {
		attempts = task.Attempts
	}
	return s.inTx(ctx, func(t tx) error {
		_, err := t.sql.ExecContext(ctx, `UPDATE tasks SET lease_until = 0, not_before = ?, attempts = ?
			WHERE job_id = ? AND seq = ? AND state = 'ready' AND token = ?`,
			millis(s.Now().Add(pause)), attempts, task.JobID, task.Seq, task.Token)
		return err
	})
}

// maxReason bounds what of a task's failure its job tells, in bytes.
const maxReason = 900

// BuryTask gives a task up: its units have failed, and its job ends as failed.
func (s *Store) BuryTask(ctx context.Context, task *models.Task, reason string) error {
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	return s.inTx(ctx, func(t tx) error {
		if err := end(ctx, t, task, taskDead); err != nil {
			return err
		}
		return s.advance(ctx, t, task.JobID, models.Job{
			Done: task.Units, Failed: task.Units, Error: fmt.Sprintf("task %d was given up: %s", task.Seq, reason),
		})
	})
}
