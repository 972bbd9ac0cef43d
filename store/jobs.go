package store

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"scrip/models"
)

type jobRow struct {
	ID         models.ID
	Kind       models.JobKind
	MerchantID string
	State      models.JobState
	Total      int64
	Done       int64
	Failed     int64
	Rate       *int64
	NextAt     int64
	Error      *string
	CreatedAt  int64 `gorm:"autoCreateTime:false"`
	UpdatedAt  int64 `gorm:"autoUpdateTime:false"`
	FinishedAt *int64
}

func (*jobRow) TableName() string { return "jobs" }

func (r *jobRow) job() (models.Job, error) {
	j := models.Job{
		ID: r.ID, Kind: r.Kind, MerchantID: r.MerchantID, State: r.State,
		Total: r.Total, Done: r.Done, Failed: r.Failed, Rate: r.Rate,
		CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt),
	}
	if r.Error != nil {
		j.Error = *r.Error
	}
	if r.FinishedAt != nil {
		j.FinishedAt = new(instant(*r.FinishedAt))
	}
	return j, nil
}

// createJob stores a job with its tasks, in their order, and returns it. Its
// total is the sum of its tasks' units; that of an empty one is 0, and its first
// look by a worker ends it.
func (s *Store) createJob(ctx context.Context, t tx, op models.Op, job models.Job, tasks []models.NewTask) (models.Job, error) {
	for _, task := range tasks {
		job.Total += task.Units
	}
	if err := addTasks(ctx, t, job.ID, 1, tasks); err != nil {
		return models.Job{}, err
	}
	return insertJob(t, op, job)
}

// insertJob stores a job whose tasks are stored already, and its total known.
func insertJob(t tx, op models.Op, job models.Job) (models.Job, error) {
	row := jobRow{
		ID: job.ID, Kind: job.Kind, MerchantID: job.MerchantID, State: models.JobQueued, Total: job.Total, Rate: job.Rate,
		CreatedAt: millis(op.At), UpdatedAt: millis(op.At),
	}
	if err := t.orm.Create(&row).Error; err != nil {
		return models.Job{}, fmt.Errorf("create job: %w", err)
	}
	return row.job()
}

// Job reads one job.
func (s *Store) Job(ctx context.Context, actor models.Principal, id models.ID) (models.Job, error) {
	row, err := ownJob(s.orm.WithContext(ctx), actor, id)
	if err != nil {
		return models.Job{}, err
	}
	return row.job()
}

func ownJob(orm *gorm.DB, actor models.Principal, id models.ID) (jobRow, error) {
	var row jobRow
	err := orm.Where("id = ?", id).Take(&row).Error
	if err == nil && !actor.Owns(row.MerchantID) {
		err = gorm.ErrRecordNotFound
	}
	return row, found(err, "job")
}

// moveJob takes a step between a job's states. A step to the state that the job
// is in changes nothing; a way that does not exist is wrong_state. Once it is
// committed no task of a job that was paused or cancelled commits any more.
func (s *Store) moveJob(t tx, op models.Op, id models.ID, action models.JobAction) (moved bool, err error) {
	row, err := ownJob(locking(t), op.Actor, id)
	if err != nil {
		return false, err
	}
	switch {
	case slices.Contains(action.Arrived(), row.State):
		return false, nil
	case !action.Leaves(row.State):
		return false, models.Refuse(models.CodeWrongState, "cannot %s a job that is %s", action, row.State)
	}
	row.State, row.UpdatedAt = action.Arrived()[0], millis(op.At)
	if row.State == models.JobCancelled {
		row.FinishedAt = &row.UpdatedAt
	}
	err = t.orm.Model(&row).Where("id = ?", id).Select("state", "updated_at", "finished_at").Updates(&row).Error
	if err != nil {
		return false, fmt.Errorf("%s job: %w", action, err)
	}
	return true, s.tellOfJob(t.orm.Statement.Context, t, &row)
}
