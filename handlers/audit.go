package handlers

import (
	"context"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

type auditStore interface {
	Audit(
		ctx context.Context, actor models.Principal, filter models.AuditFilter, page models.Page,
	) ([]models.AuditEntry, error)
}

// auditView is an entry of the record of changes in an answer.
type auditView struct {
	ID         models.ID      `json:"id"`
	At         stamp          `json:"at"`
	Actor      string         `json:"actor"`
	Role       models.Role    `json:"role"`
	MerchantID string         `json:"merchant_id,omitempty"`
	Action     string         `json:"action"`
	Resource   string         `json:"resource"`
	ResourceID models.ID      `json:"resource_id,omitempty"`
	RequestID  string         `json:"request_id,omitempty"`
	Detail     map[string]any `json:"detail,omitempty"`
}

func viewAudit(e models.AuditEntry) any {
	return auditView{
		e.ID, stamp(e.At), e.Actor, e.Role, e.MerchantID, e.Action, e.Resource, e.ResourceID, e.RequestID, e.Detail,
	}
}

func (a *api) listAudit(c *gin.Context) error {
	q := newQuery(c)
	page := q.page(byID)
	filter := models.AuditFilter{
		Resource:   q.text("resource"),
		ResourceID: q.id("resource_id"),
		Action:     q.text("action"),
	}
	if err := q.err(); err != nil {
		return err
	}
	rows, err := a.Store.Audit(c.Request.Context(), middleware.Principal(c), filter, page.ask())
	if err != nil {
		return err
	}
	return answerPage(c, page, rows, func(e models.AuditEntry) models.ID { return e.ID }, viewAudit)
}
