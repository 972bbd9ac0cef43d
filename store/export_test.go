package store

import (
	"context"
	"time"

	"scrip/models"
)

// Exec runs a statement past all that the store takes care of.
func (s *Store) Exec(ctx context.Context, statement string, args ...any) error {
	_, err := s.sql.ExecContext(ctx, statement, args...)
	return err
}

// HoldReaders takes all turns of those who only read.
func (s *Store) HoldReaders(ctx context.Context) (release func(), err error) {
	all := int64(s.sql.Stats().MaxOpenConnections)
	return func() { s.sql.turns.Release(all) }, s.sql.turns.Acquire(ctx, all)
}

// Texts reads the rows of one column.
func (s *Store) Texts(ctx context.Context, statement string, args ...any) ([]string, error) {
	var texts []string
	err := query(ctx, s.sql, statement, args, func(scan func(...any) error) error {
		var text string
		err := scan(&text)
		texts = append(texts, text)
		return err
	})
	return texts, err
}

// NewJob makes a job of tasks without arguments.
func (s *Store) NewJob(ctx context.Context, op models.Op, rate *int64, units ...int64) (models.Job, error) {
	return change(ctx, s, op, func(t tx) (models.Job, note, error) {
		id, err := s.ids.Next()
		if err != nil {
			return models.Job{}, note{}, err
		}
		tasks := make([]models.NewTask, len(units))
		for i, n := range units {
			tasks[i] = models.NewTask{Units: n, Args: []byte("{}")}
		}
		job, err := s.createJob(ctx, t, op, models.Job{ID: id, Kind: models.JobCodes, MerchantID: op.Actor.MerchantID, Rate: rate}, tasks)
		return job, note{}, err
	})
}

// DoTask ends a task. With more it leaves the task to be done again, and adds as
// many tasks of a unit each beside it.
func (s *Store) DoTask(ctx context.Context, task models.Task, failed int64, more int) error {
	return s.inTask(ctx, &task, func(tx) (outcome, error) {
		came := outcome{failed: failed, first: 100}
		for range more {
			came.args = []byte("rest")
			came.more = append(came.more, models.NewTask{Units: 1, Args: []byte("{}")})
		}
		return came, nil
	})
}

// MoveJob takes a step.
func (s *Store) MoveJob(ctx context.Context, op models.Op, id models.ID, action models.JobAction) error {
	return s.inTx(ctx, func(t tx) error {
		_, err := s.moveJob(t, op, id, action)
		return err
	})
}

// LeaseIDs lets ids be made until the given time, for a clock that jumps.
func (s *Store) LeaseIDs(until time.Time) { s.ids.Lease(models.MaxWorker, until) }

// LookTwice reads a number twice in one transaction, and does something in
// between.
func (s *Store) LookTwice(ctx context.Context, ask string, meanwhile func() error) (first, second int64, err error) {
	err = s.inTx(ctx, func(t tx) error {
		if err := t.sql.QueryRowContext(ctx, ask).Scan(&first); err != nil {
			return err
		}
		if err := meanwhile(); err != nil {
			return err
		}
		return t.sql.QueryRowContext(ctx, ask).Scan(&second)
	})
	return first, second, err
}

// Notify tells users something, in a transaction of its own.
func (s *Store) Notify(ctx context.Context, c models.Content, occasion int64, to ...models.Recipient) (told int, err error) {
	err = s.inTx(ctx, func(t tx) error {
		c.CreatedAt = s.Now()
		told, err = s.notify(ctx, t, c, occasion, to)
		return err
	})
	return told, err
}

// OutOfTime runs a transaction whose time is over before its last statement, or
// where that is empty, before its commit.
func (s *Store) OutOfTime(ctx context.Context, last string) error {
	ctx, end := context.WithTimeout(ctx, time.Minute)
	defer end()
	return s.inTx(ctx, func(t tx) error {
		end()
		for { // until the driver's own goroutine has noticed
			if _, err := t.sql.ExecContext(context.WithoutCancel(ctx), "SELECT 1"); err != nil {
				break
			}
		}
		if last == "" {
			return nil
		}
		_, err := t.sql.ExecContext(context.WithoutCancel(ctx), last)
		return err
	})
}
