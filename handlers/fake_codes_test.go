package handlers

import (
	"context"
	"time"

	"scrip/models"
)

func newCodeBatch(at time.Time) models.CodeBatch {
	return models.CodeBatch{
		ID: 95, TemplateID: 21, Count: 1000, UsageLimit: 1, Used: 3, CreatedAt: at,
		Pattern: &models.CodePattern{Prefix: "VIP-", Length: 14, Charset: "0123456789"},
	}
}

// codeMaker is the fake's part that makes codes.
type codeMaker struct{ *fake }

func (f codeMaker) Create(
	_ context.Context, op models.Op, template models.ID, count int64, pattern models.CodePattern,
) (models.Job, error) {
	return commit(f.fake, op, func() (models.Job, error) {
		f.args["pattern"] = pattern
		return models.Job{ID: 95, Kind: models.JobCodes, State: models.JobQueued, Total: count, CreatedAt: op.At, UpdatedAt: op.At}, nil
	})
}

func (f codeMaker) Share(
	_ context.Context, op models.Op, template models.ID, text string, limit int64,
) (models.CodeBatch, error) {
	return commit(f.fake, op, func() (models.CodeBatch, error) {
		f.args["shared"] = text
		return models.CodeBatch{ID: 96, TemplateID: template, Count: 1, UsageLimit: limit, CreatedAt: op.At}, nil
	})
}

func (f codeMaker) Export(_ context.Context, op models.Op, _ models.ID, write func([]byte) error) error {
	f.note("op", op)
	for _, piece := range f.pieces {
		if err := write([]byte(piece)); err != nil {
			return err
		}
	}
	return f.refusal
}

func (f *fake) CodeBatches(_ context.Context, _ models.Principal, _ models.ID, page models.Page) ([]models.CodeBatch, error) {
	return list(f, page, func(id models.ID) models.CodeBatch { b := newCodeBatch(f.template.CreatedAt); b.ID = id; return b })
}

func (f *fake) ClaimCode(_ context.Context, op models.Op, ask models.CodeClaim) (models.Coupon, error) {
	return commit(f, op, func() (models.Coupon, error) {
		f.args["ask"] = ask
		f.args["tags"] = ask.Tags
		c := f.coupon
		c.UserID = ask.UserID
		return c, nil
	})
}
