package handlers

import (
	"context"
	"time"

	"scrip/models"
)

func newJob(at time.Time) models.Job {
	return models.Job{
		ID: 91, Kind: models.JobDistribution, MerchantID: "m1", State: models.JobRunning, Total: 1000, Done: 400, Failed: 1,
		CreatedAt: at, UpdatedAt: at.Add(time.Minute),
	}
}

func (f *fake) Job(context.Context, models.Principal, models.ID) (models.Job, error) {
	return f.job, f.refusal
}
