package handlers

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"scrip/models"
)

// codeService makes claim codes, and shows them to their owner.
type codeService interface {
	Create(ctx context.Context, op models.Op, template models.ID, count int64, pattern models.CodePattern) (models.Job, error)
	Share(ctx context.Context, op models.Op, template models.ID, text string, limit int64) (models.CodeBatch, error)
	// Export hands over some lines at a time, a code in each. An error of write
	// ends it.
	Export(ctx context.Context, op models.Op, template models.ID, write func(lines []byte) error) error
}

type codeStore interface {
	CodeBatches(ctx context.Context, actor models.Principal, template models.ID, page models.Page) ([]models.CodeBatch, error)
}

// codesBody asks for a batch of single-use codes, or for one shared code.
type codesBody struct {
	Count   *int64 `json:"count"`
	Prefix  string `json:"prefix"`
	Length  int    `json:"length"`
	Charset string `json:"charset"`

	Code       *string `json:"code"`
	UsageLimit *int64  `json:"usage_limit"`
}

func (b *codesBody) pattern() models.CodePattern {
	p := models.CodePattern{Prefix: b.Prefix, Length: b.Length, Charset: b.Charset}
	p.Normalize()
	return p
}

func (b *codesBody) check(f models.Faults) {
	if b.Code == nil {
		f.Require(b.Count != nil, "count")
		f.Between("count", or(b.Count, 1), 1, models.MaxCodes)
		p := b.pattern()
		p.Check(f)
		if b.UsageLimit != nil {
			f.Add("usage_limit", models.CodeInvalid, "goes with code only: one of many is good for one coupon")
		}
		return
	}
	models.CheckSharedCode(f, "code", *b.Code)
	f.Require(b.UsageLimit != nil, "usage_limit")
	f.Between("usage_limit", or(b.UsageLimit, 1), 1, models.MaxUsageLimit)
	if b.Count != nil || b.Prefix != "" || b.Length != 0 || b.Charset != "" {
		f.Add("count", models.CodeInvalid, "and the pattern do not go with code")
	}
}

// codeBatchView is a batch of codes in an answer; its id is that of its job. Of a
// shared code there is the text in the answer to its making only.
type codeBatchView struct {
	ID         models.ID `json:"id"`
	TemplateID models.ID `json:"template_id"`
	Kind       string    `json:"kind"`
	Code       string    `json:"code,omitempty"`
	Count      int64     `json:"count"`
	Prefix     string    `json:"prefix,omitempty"`
	Length     int       `json:"length,omitempty"`
	Charset    string    `json:"charset,omitempty"`
	UsageLimit int64     `json:"usage_limit"`
	Used       int64     `json:"used"`
	CreatedAt  stamp     `json:"created_at"`
}

func codeBatchViewOf(b models.CodeBatch) codeBatchView {
	view := codeBatchView{
		ID: b.ID, TemplateID: b.TemplateID, Kind: "shared", Count: b.Count,
		UsageLimit: b.UsageLimit, Used: b.Used, CreatedAt: stamp(b.CreatedAt),
	}
	if p := b.Pattern; p != nil {
		view.Kind, view.Prefix, view.Length, view.Charset = "single_use", p.Prefix, p.Length, p.Charset
	}
	return view
}

func viewCodeBatch(b models.CodeBatch) any { return codeBatchViewOf(b) }

func viewSharedCode(text string) func(models.CodeBatch) any {
	return func(b models.CodeBatch) any {
		view := codeBatchViewOf(b)
		view.Code = text
		return view
	}
}

func (a *api) createCodes(c *gin.Context) error {
	id, err := pathID(c, "template")
	if err != nil {
		return err
	}
	var body codesBody
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	f := models.NewFaults()
	body.check(f)
	if err := f.Err(); err != nil {
		return err
	}
	if body.Code != nil {
		return change(a, c, raw, http.StatusCreated, viewSharedCode(*body.Code),
			func(ctx context.Context, op models.Op) (models.CodeBatch, error) {
				return a.Codes.Share(ctx, op, id, *body.Code, *body.UsageLimit)
			})
	}
	return change(a, c, raw, http.StatusAccepted, viewJob, func(ctx context.Context, op models.Op) (models.Job, error) {
		return a.Codes.Create(ctx, op, id, *body.Count, body.pattern())
	})
}

func (a *api) listCodes(c *gin.Context) error {
	return listUnder(c, "template", a.Store.CodeBatches, func(b models.CodeBatch) models.ID { return b.ID }, viewCodeBatch)
}

// exportCodes streams. Codes are letters, digits, spaces and hyphens, none of
// which needs quotes in CSV.
func (a *api) exportCodes(c *gin.Context) error {
	id, err := pathID(c, "template")
	if err != nil {
		return err
	}
	out := newStream(c, "text/csv; charset=utf-8", "codes-"+id.String()+".csv", "code\n")
	if err := a.Codes.Export(c.Request.Context(), a.operation(c), id, out.write); err != nil {
		return err
	}
	return out.end()
}
