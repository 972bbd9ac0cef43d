package handlers

import (
	"context"

	"github.com/gin-gonic/gin"

	"scrip/models"
)

type jobStore interface {
	Job(ctx context.Context, actor models.Principal, id models.ID) (models.Job, error)
}

// jobView is a job in an answer.
type jobView struct {
	ID         models.ID       `json:"id"`
	Kind       models.JobKind  `json:"kind"`
	MerchantID string          `json:"merchant_id,omitempty"`
	State      models.JobState `json:"state"`
	Done       int64           `json:"done"`
	Total      int64           `json:"total"`
	Failed     int64           `json:"failed"`
	Error      string          `json:"error,omitempty"`
	CreatedAt  stamp           `json:"created_at"`
	UpdatedAt  stamp           `json:"updated_at"`
	FinishedAt *stamp          `json:"finished_at,omitempty"`
}

func viewJob(j models.Job) any { return jobViewOf(j) }

func jobViewOf(j models.Job) jobView {
	return jobView{
		j.ID, j.Kind, j.MerchantID, j.State, j.Done, j.Total, j.Failed, j.Error,
		stamp(j.CreatedAt), stamp(j.UpdatedAt), stampOf(j.FinishedAt),
	}
}

func (a *api) getJob(c *gin.Context) error {
	return getOne(c, "job", a.Store.Job, viewJob)
}
