package issuing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"scrip/failpoint"
	"scrip/models"
)

type distributionStore interface {
	Now() time.Time
	NextID() (models.ID, error)
	Distribution(ctx context.Context, actor models.Principal, id models.ID) (models.Distribution, error)
	Pack(ctx context.Context, actor models.Principal, id models.ID) (models.Pack, error)
	Definition(ctx context.Context, id models.ID) (models.Template, error)
	TaskUsers(task *models.Task) ([]string, error)
	FindAudience(ctx context.Context, task *models.Task, d *models.Distribution, couponsEach int64) error
	Deliver(ctx context.Context, task *models.Task, batch []models.Claim) ([]models.Verdict, error)
}

type distributionGate interface {
	Finish(ctx context.Context, outcomes []models.GateOutcome) error
}

// Distributions does the tasks of distributions.
type Distributions struct {
	Store distributionStore
	Gate  distributionGate
	Log   *slog.Logger
}

// share is what each user of a distribution gets of one template.
type share struct {
	template             *models.Template
	quantity             int64
	validFrom, expiresAt time.Time
}

// maxReads bounds how often a task reads templates anew that are being edited.
const maxReads = 5

// Do does one task: it finds users, or gives some theirs. What is given goes past
// the gate, which is told afterwards: there is nobody to be turned away.
func (d *Distributions) Do(ctx context.Context, task models.Task) error {
	of, err := d.Store.Distribution(ctx, models.Principal{Role: models.RolePlatform}, task.JobID)
	if err != nil {
		return err
	}
	users, err := d.Store.TaskUsers(&task)
	if err != nil {
		return err
	}
	for range maxReads {
		now := d.Store.Now()
		shares, err := d.shares(ctx, &of, now)
		if err != nil {
			return err
		}
		if users == nil {
			return d.Store.FindAudience(ctx, &task, &of, couponsEach(shares))
		}
		if err := d.deliver(ctx, &task, &of, shares, users, now); !errors.Is(err, models.ErrStale) {
			return err
		}
	}
	return fmt.Errorf("%w: it is edited again and again", models.ErrStale)
}

// shares reads what each user is to get.
func (d *Distributions) shares(ctx context.Context, of *models.Distribution, now time.Time) ([]share, error) {
	items := []models.PackItem{{TemplateID: of.TemplateID, Quantity: 1}}
	if of.PackID != 0 {
		pack, err := d.Store.Pack(ctx, models.Principal{Role: models.RolePlatform}, of.PackID)
		if err != nil {
			return nil, err
		}
		items = pack.Items
	}
	shares := make([]share, len(items))
	for i, item := range items {
		def, err := d.Store.Definition(ctx, item.TemplateID)
		if err != nil {
			return nil, err
		}
		shares[i] = share{template: &def, quantity: item.Quantity}
		if shares[i].validFrom, shares[i].expiresAt, err = def.Span(now); err != nil {
			return nil, err
		}
	}
	return shares, nil
}

func couponsEach(shares []share) (n int64) {
	for _, one := range shares {
		n += one.quantity
	}
	return n
}

// deliver gives users their shares. Where nobody can have any, each of them is
// refused by the reason; what only is not to be had yet is waited for.
func (d *Distributions) deliver(
	ctx context.Context, task *models.Task, of *models.Distribution, shares []share, users []string, now time.Time,
) error {
	refusal := closed(shares, now)
	if refusal != nil && (refusal.Code == models.CodePaused || refusal.Code == models.CodeNotStarted) {
		return models.ErrNotYet
	}
	batch := make([]models.Claim, 0, int64(len(users))*couponsEach(shares))
	seen := make(map[string]bool, len(users))
	for _, user := range users {
		if seen[user] {
			continue
		}
		seen[user] = true
		var err error
		if batch, err = d.claims(batch, of, shares, user, now, refusal); err != nil {
			return err
		}
	}
	verdicts, err := d.Store.Deliver(ctx, task, batch)
	if err != nil {
		return err
	}
	failpoint.Reach(failpoint.TaskCommitted)
	d.record(ctx, batch, verdicts)
	failpoint.Reach(failpoint.TaskTold)
	return nil
}

// closed is why none of the shares can be had by anybody, if so.
func closed(shares []share, now time.Time) *models.Error {
	for _, one := range shares {
		if refusal := one.template.Open(now); refusal != nil {
			return refusal
		}
	}
	return nil
}

// claims adds what one user is to get.
func (d *Distributions) claims(
	batch []models.Claim, of *models.Distribution, shares []share, user string, now time.Time, refusal *models.Error,
) ([]models.Claim, error) {
	var together *models.PackClaim
	for _, one := range shares {
		for range one.quantity {
			id, err := d.Store.NextID()
			if err != nil {
				return nil, err
			}
			if of.PackID != 0 && together == nil {
				together = &models.PackClaim{ID: id, PackID: of.PackID}
			}
			batch = append(batch, models.Claim{
				ID: id, UserID: user, Code: models.NewCode(), Template: one.template, Pack: together,
				At: now, ValidFrom: one.validFrom, ExpiresAt: one.expiresAt,
				New: true, Refused: refusal,
			})
		}
	}
	return batch, nil
}

// record tells the gate what was given. Should it not hear of it, the reconciler
// finds the difference.
func (d *Distributions) record(ctx context.Context, batch []models.Claim, verdicts []models.Verdict) {
	outcomes := make([]models.GateOutcome, 0, len(batch))
	for i := range batch {
		if verdicts[i].Coupon != nil {
			outcomes = append(outcomes, models.GateOutcome{
				TemplateID: batch[i].Template.ID, ClaimID: batch[i].ID, UserID: batch[i].UserID,
				Epoch: verdicts[i].Epoch, Step: models.GateRecord,
			})
		}
	}
	if err := d.Gate.Finish(ctx, outcomes); err != nil {
		d.Log.DebugContext(ctx, "gate not told of a distribution; it will be reconciled", "coupons", len(outcomes), "error", err)
	}
}
