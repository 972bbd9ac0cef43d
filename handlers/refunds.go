package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

type refundService interface {
	// Refund changes nothing if dry; At is filled in.
	Refund(ctx context.Context, req models.RefundRequest, dry bool) (models.Refund, error)
}

type refundBody struct {
	RefundID string              `json:"refund_id"`
	Lines    []models.RefundLine `json:"lines"`
}

func (b *refundBody) check() error {
	f := models.NewFaults()
	models.CheckForeign(f, "refund_id", b.RefundID)
	switch n := len(b.Lines); {
	case n == 0:
		f.Require(false, "lines")
	case n > models.MaxLines:
		f.Add("lines", models.CodeOutOfRange, "must have 1 to %d elements", models.MaxLines)
	default:
		b.checkLines(f)
	}
	return f.Err()
}

func (b *refundBody) checkLines(f models.Faults) {
	seen := make(map[string]bool, len(b.Lines))
	for i, line := range b.Lines {
		at := f.At("lines", i)
		models.CheckForeign(at, "line_id", line.LineID)
		at.Between("quantity", line.Quantity, 1, models.MaxUnits)
		if seen[line.LineID] && line.LineID != "" {
			at.Add("line_id", models.CodeNotUnique, "%q is named twice", line.LineID)
		}
		seen[line.LineID] = true
	}
}

// request makes the models' request of a body. Its hash is over what is asked
// for, not over how that was written.
func (b *refundBody) request(xid, actor string) (models.RefundRequest, error) {
	text, err := json.Marshal(b.Lines)
	if err != nil {
		return models.RefundRequest{}, fmt.Errorf("hash a refund: %w", err)
	}
	return models.RefundRequest{
		XID: xid, RefundID: b.RefundID, Hash: digest([]byte("refund"), text), Lines: b.Lines, Actor: actor,
	}, nil
}

// refundView is a refund in an answer, under the name that the caller gave it.
type refundView struct {
	RefundID string `json:"refund_id"`
	models.Refund
}

func viewRefund(refundID string) func(models.Refund) any {
	return func(r models.Refund) any {
		r.Lines, r.CouponsReturned, r.BudgetReturned = orEmpty(r.Lines), orEmpty(r.CouponsReturned), orEmpty(r.BudgetReturned)
		return refundView{refundID, r}
	}
}

// refund makes the handler of a refund, or of a dry one.
func (a *api) refund(dry bool) func(*gin.Context) error {
	return func(c *gin.Context) error {
		xid, err := pathXID(c)
		if err != nil {
			return err
		}
		var body refundBody
		raw, err := bind(c, &body)
		if err != nil {
			return err
		}
		if err := body.check(); err != nil {
			return err
		}
		request, err := body.request(xid, middleware.Principal(c).Credential)
		if err != nil {
			return err
		}
		return change(a, c, raw, http.StatusOK, viewRefund(body.RefundID),
			func(ctx context.Context, op models.Op) (models.Refund, error) {
				request.Key = op.Key
				return a.Checkout.Refund(ctx, request, dry)
			})
	}
}
