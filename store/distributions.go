package store

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"gorm.io/gorm"

	"scrip/models"
)

type distributionRow struct {
	ID         models.ID
	TemplateID *models.ID
	PackID     *models.ID
	Audience   models.Audience `gorm:"serializer:json"`
	Notice     *models.Notice  `gorm:"serializer:json"`
	Repeats    int64
}

func (*distributionRow) TableName() string { return "distributions" }

func (r *distributionRow) distribution(job *jobRow) (models.Distribution, error) {
	of, err := job.job()
	d := models.Distribution{Job: of, Audience: r.Audience, Notice: r.Notice}
	if r.TemplateID != nil {
		d.TemplateID = *r.TemplateID
	}
	if r.PackID != nil {
		d.PackID = *r.PackID
	}
	return d, err
}

// distributionArgs is what a task of a distribution is about: some users, or to
// find the users after the last one that was found.
type distributionArgs struct {
	Users []string `json:"users,omitempty"`

	Find  bool   `json:"find,omitempty"`
	After string `json:"after,omitempty"`
	Next  int64  `json:"next,omitempty"` // the number of the next task
}

// Bounds of a distribution's tasks.
const (
	chunkCoupons = 1000 // of one transaction
	chunksFound  = 20   // by one transaction
)

// chunkUsers is how many users one task serves: so many that their coupons are
// worth a transaction, and no more than the rate lets through in a second.
func chunkUsers(couponsEach int64, rate *int64) int {
	n := max(1, chunkCoupons/max(1, couponsEach))
	if rate != nil {
		n = min(n, *rate)
	}
	return int(n)
}

// CreateDistribution stores a distribution, which begins at once. listed are its
// users, if they come as a list; it may be walked more than once. Otherwise they
// are found, and counted, by the first tasks: those of the owner's audience.
func (s *Store) CreateDistribution(ctx context.Context, op models.Op, d models.Distribution, listed iter.Seq2[string, error]) (models.Distribution, error) {
	return change(ctx, s, op, func(t tx) (models.Distribution, note, error) {
		each, err := s.takeWhat(t, op.Actor, &d)
		if err != nil {
			return models.Distribution{}, note{}, err
		}
		if d.ID, err = s.ids.Next(); err != nil {
			return models.Distribution{}, note{}, err
		}
		d.Kind, d.Audience.UserIDs = models.JobDistribution, nil
		if d.Total, err = addChunks(ctx, t, d.ID, chunkUsers(each, d.Rate), listed); err != nil {
			return models.Distribution{}, note{}, err
		}
		row := distributionRow{ID: d.ID, Audience: d.Audience, Notice: d.Notice}
		if row.TemplateID = &d.TemplateID; d.TemplateID == 0 {
			row.TemplateID, row.PackID = nil, &d.PackID
		}
		if err := t.orm.Create(&row).Error; err != nil {
			return models.Distribution{}, note{}, fmt.Errorf("create distribution: %w", err)
		}
		d.Job, err = insertJob(t, op, d.Job)
		return d, noteOf(&d, "create"), err
	})
}

func noteOf(d *models.Distribution, action string) note {
	detail := map[string]any{"audience": d.Audience.Kind}
	if d.TemplateID != 0 {
		detail["template_id"] = d.TemplateID
	} else {
		detail["pack_id"] = d.PackID
	}
	return note{action: "distribution." + action, resource: "distribution", id: d.ID, merchantID: d.MerchantID, detail: detail}
}

// takeWhat sees that there is what is to be given, says whose it is, and how many
// coupons it is for each user.
func (s *Store) takeWhat(t tx, actor models.Principal, d *models.Distribution) (each int64, err error) {
	f := models.NewFaults()
	if d.TemplateID != 0 {
		owner, err := takeTemplate(t, actor, d.TemplateID)
		if models.IsCode(err, models.CodeNotFound) {
			f.Add("template_id", models.CodeUnknownRef, "there is no such template")
			err = f.Err()
		}
		d.MerchantID = owner
		return 1, err
	}
	var row packRow
	err = t.orm.Where("id = ?", d.PackID).Take(&row).Error
	if err == nil && !actor.Owns(row.MerchantID) {
		err = gorm.ErrRecordNotFound
	}
	if models.IsCode(found(err, "pack"), models.CodeNotFound) {
		f.Add("pack_id", models.CodeUnknownRef, "there is no such pack")
		return 0, f.Err()
	}
	if err != nil {
		return 0, err
	}
	d.MerchantID = row.MerchantID
	rows := []packRow{row}
	if err := addItems(t.orm, rows); err != nil {
		return 0, err
	}
	for _, item := range rows[0].Items {
		if _, err := takeTemplate(t, models.Principal{Role: models.RolePlatform}, item.TemplateID); err != nil {
			return 0, err
		}
		each += item.Quantity
	}
	return each, nil
}

// takeTemplate refuses a template of which nothing can be distributed.
func takeTemplate(t tx, actor models.Principal, id models.ID) (owner string, err error) {
	var row templateRow
	err = t.orm.Where("id = ?", id).Take(&row).Error
	if err == nil && !actor.Owns(row.MerchantID) {
		err = gorm.ErrRecordNotFound
	}
	switch {
	case err != nil:
		return "", found(err, "template")
	case row.State == models.TemplateDraft || row.State == models.TemplateEnded:
		return "", models.Refuse(models.CodeWrongState, "template %s is %s: nothing of it can be distributed", id, row.State)
	case row.Issue == models.IssueCode:
		return "", models.Refuse(models.CodeWrongState, "template %s is issued by codes only", id)
	}
	return row.MerchantID, nil
}

// addChunks stores the tasks that serve the listed users, and returns how many
// users that are; without a list, the task that finds them.
func addChunks(ctx context.Context, t tx, id models.ID, size int, listed iter.Seq2[string, error]) (total int64, err error) {
	if listed == nil {
		task, err := newTask(0, distributionArgs{Find: true, Next: 2})
		if err != nil {
			return 0, err
		}
		return 0, addTasks(ctx, t, id, 1, []models.NewTask{task})
	}
	next := int64(1)
	var chunk []string
	var tasks []models.NewTask
	flush := func(all bool) error {
		if len(chunk) == size || all && len(chunk) > 0 {
			task, err := newTask(len(chunk), distributionArgs{Users: chunk})
			if err != nil {
				return err
			}
			tasks, chunk = append(tasks, task), chunk[:0]
		}
		if len(tasks) < chunksFound && !all {
			return nil
		}
		err := addTasks(ctx, t, id, next, tasks)
		next, tasks = next+int64(len(tasks)), tasks[:0]
		return err
	}
	for user, err := range listed {
		if err != nil {
			return 0, err
		}
		chunk = append(chunk, user)
		total++
		if err := flush(false); err != nil {
			return 0, err
		}
	}
	return total, flush(true)
}

func newTask(units int, args distributionArgs) (models.NewTask, error) {
	text, err := json.Marshal(args)
	if err != nil {
		return models.NewTask{}, fmt.Errorf("a task's args: %w", err)
	}
	return models.NewTask{Units: int64(units), Args: text}, nil
}

// Distribution reads one distribution.
func (s *Store) Distribution(ctx context.Context, actor models.Principal, id models.ID) (models.Distribution, error) {
	return readDistribution(s.orm.WithContext(ctx), actor, id)
}

func readDistribution(orm *gorm.DB, actor models.Principal, id models.ID) (models.Distribution, error) {
	var row distributionRow
	if err := orm.Session(&gorm.Session{}).Where("id = ?", id).Take(&row).Error; err != nil {
		return models.Distribution{}, found(err, "distribution")
	}
	job, err := ownJob(orm.Session(&gorm.Session{}), actor, id)
	if models.IsCode(err, models.CodeNotFound) {
		err = models.NotFound("distribution")
	}
	if err != nil {
		return models.Distribution{}, err
	}
	return row.distribution(&job)
}

// Distributions lists distributions, newest first.
func (s *Store) Distributions(ctx context.Context, actor models.Principal, page models.Page) ([]models.Distribution, error) {
	var list []jobRow
	query := owned(s.orm.WithContext(ctx), actor).Where("kind = ?", models.JobDistribution)
	if err := paged(query, "id", page).Find(&list).Error; err != nil {
		return nil, fmt.Errorf("list distributions: %w", err)
	}
	ids := make([]models.ID, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	var rows []distributionRow
	if len(ids) > 0 {
		if err := s.orm.WithContext(ctx).Where("id IN ?", ids).Find(&rows).Error; err != nil {
			return nil, fmt.Errorf("list distributions: %w", err)
		}
	}
	return convert(list, func(job *jobRow) (models.Distribution, error) {
		at := slices.IndexFunc(rows, func(r distributionRow) bool { return r.ID == job.ID })
		if at < 0 {
			return models.Distribution{}, fmt.Errorf("job %s has no distribution", job.ID)
		}
		return rows[at].distribution(job)
	})
}

// MoveDistribution takes a step between a distribution's states; see moveJob.
func (s *Store) MoveDistribution(ctx context.Context, op models.Op, id models.ID, action models.JobAction) (models.Distribution, error) {
	return change(ctx, s, op, func(t tx) (models.Distribution, note, error) {
		if _, err := readDistribution(t.orm, op.Actor, id); err != nil {
			return models.Distribution{}, note{}, err
		}
		moved, err := s.moveJob(t, op, id, action)
		if err != nil {
			return models.Distribution{}, note{}, err
		}
		d, err := readDistribution(t.orm, op.Actor, id)
		if !moved {
			return d, note{}, err
		}
		return d, noteOf(&d, string(action)), err
	})
}

// failuresPage is how many failures are read at once.
const failuresPage = 1000

// Failures tells who got nothing of a distribution, and why: first those that were
// refused, by user, then those of tasks that were given up. An error ends it.
func (s *Store) Failures(ctx context.Context, id models.ID) iter.Seq2[models.DeliveryFailure, error] {
	return func(yield func(models.DeliveryFailure, error) bool) {
		for after := ""; ; {
			var page []models.DeliveryFailure
			err := query(ctx, s.sql, `SELECT user_id, code, detail FROM distribution_failures
				WHERE distribution_id = ? AND user_id > ? ORDER BY user_id LIMIT ?`, []any{id, after, failuresPage},
				func(scan func(...any) error) error {
					var one models.DeliveryFailure
					err := scan(&one.UserID, &one.Code, &one.Detail)
					page = append(page, one)
					return err
				})
			if err != nil {
				yield(models.DeliveryFailure{}, fmt.Errorf("read failures: %w", err))
				return
			}
			for _, one := range page {
				if !yield(one, nil) {
					return
				}
			}
			if len(page) < failuresPage {
				break
			}
			after = page[len(page)-1].UserID
		}
		s.deadFailures(ctx, id, yield)
	}
}

// deadFailures tells of the users of tasks that were given up.
func (s *Store) deadFailures(ctx context.Context, id models.ID, yield func(models.DeliveryFailure, error) bool) {
	for after, more := int64(0), true; more; {
		more = false
		var args []byte
		err := query(ctx, s.sql, "SELECT seq, args FROM tasks WHERE job_id = ? AND state = 'dead' AND seq > ? ORDER BY seq LIMIT 1",
			[]any{id, after}, func(scan func(...any) error) error { more = true; return scan(&after, &args) })
		var of distributionArgs
		if err == nil && more {
			err = json.Unmarshal(args, &of)
		}
		if err != nil {
			yield(models.DeliveryFailure{}, fmt.Errorf("read tasks that were given up: %w", err))
			return
		}
		for _, user := range of.Users {
			if !yield(models.DeliveryFailure{UserID: user, Code: models.CodeInternal, Detail: "the task was given up"}, nil) {
				return
			}
		}
	}
}
