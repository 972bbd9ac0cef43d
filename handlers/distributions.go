package handlers

import (
	"context"
	"encoding/csv"
	"io"
	"iter"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"scrip/handlers/middleware"
	"scrip/issuing"
	"scrip/models"
)

type distributionStore interface {
	// CreateDistribution may walk listed more than once; nil: the audience is found.
	CreateDistribution(
		ctx context.Context, op models.Op, d models.Distribution, listed iter.Seq2[string, error],
	) (models.Distribution, error)
	Distribution(ctx context.Context, actor models.Principal, id models.ID) (models.Distribution, error)
	Distributions(ctx context.Context, actor models.Principal, page models.Page) ([]models.Distribution, error)
	MoveDistribution(ctx context.Context, op models.Op, id models.ID, action models.JobAction) (models.Distribution, error)
	Failures(ctx context.Context, id models.ID) iter.Seq2[models.DeliveryFailure, error]
}

type newDistributionBody struct {
	TemplateID models.ID       `json:"template_id"`
	PackID     models.ID       `json:"pack_id"`
	Audience   models.Audience `json:"audience"`
	Rate       *int64          `json:"rate"`
	Notify     notifyBody      `json:"notify"`
}

// notifyBody is a notice, or true for one in our own words, or false for none.
type notifyBody struct {
	own    bool
	notice *models.Notice
}

// UnmarshalJSONFrom takes any of them.
func (n *notifyBody) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if kind := dec.PeekKind(); kind == 't' || kind == 'f' {
		return json.UnmarshalDecode(dec, &n.own)
	}
	return json.UnmarshalDecode(dec, &n.notice)
}

// noticeFor is what a distribution's users are to be told, nil for nothing. Who
// names no channel means the inbox.
func (n *notifyBody) noticeFor(pack bool) *models.Notice {
	if n.own {
		return new(models.GiftNotice(pack))
	}
	if n.notice != nil && n.notice.Channels == nil {
		n.notice.Channels = []models.Channel{models.ChannelInbox}
	}
	return n.notice
}

// distributionView is a distribution in an answer: its job, and what it is about.
type distributionView struct {
	jobView

	TemplateID *models.ID      `json:"template_id,omitempty"`
	PackID     *models.ID      `json:"pack_id,omitempty"`
	Audience   models.Audience `json:"audience"`
	Rate       *int64          `json:"rate,omitempty"`
	Notify     *models.Notice  `json:"notify,omitempty"`
}

func viewDistribution(d models.Distribution) any {
	return distributionView{
		jobViewOf(d.Job), idOrNil(d.TemplateID), idOrNil(d.PackID), d.Audience, d.Rate, d.Notice,
	}
}

func idOrNil(id models.ID) *models.ID {
	if id == 0 {
		return nil
	}
	return &id
}

func (a *api) createDistribution(c *gin.Context) error {
	var body newDistributionBody
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	d := models.Distribution{
		Job: models.Job{Rate: body.Rate}, TemplateID: body.TemplateID, PackID: body.PackID, Audience: body.Audience,
		Notice: body.Notify.noticeFor(body.PackID != 0),
	}
	f := models.NewFaults()
	d.Check(f, false)
	d.CheckNotice(f, a.Channels)
	if err := f.Err(); err != nil {
		return err
	}
	var listed iter.Seq2[string, error]
	if d.Audience.Kind == models.AudienceUsers {
		listed = each(d.Audience.UserIDs)
	}
	return a.distribute(c, raw, d, listed)
}

func each(users []string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, user := range users {
			if !yield(user, nil) {
				return
			}
		}
	}
}

// importDistribution takes the users from a file, and all else from the query.
func (a *api) importDistribution(c *gin.Context) error {
	d, err := a.importedDistribution(newQuery(c))
	if err != nil {
		return err
	}
	taken, err := a.takeIn(c, issuing.CSV)
	if err != nil {
		return err
	}
	defer func() { _ = taken.Close() }()
	listed, err := issuing.UserList(taken)
	if err != nil {
		return err
	}
	return a.distribute(c, append(taken.digest[:], c.Request.URL.RawQuery...), d, listed)
}

func (a *api) importedDistribution(q query) (models.Distribution, error) {
	var in newDistributionBody
	if err := q.inJSON("notify", &in); err != nil {
		return models.Distribution{}, err
	}
	d := models.Distribution{
		TemplateID: q.id("template_id"), PackID: q.id("pack_id"), Audience: models.Audience{Kind: models.AudienceUsers},
	}
	d.Notice = in.Notify.noticeFor(d.PackID != 0)
	if q.c.Query("rate") != "" {
		d.Rate = new(int64(q.number("rate", 1, 1, models.MaxRate)))
	}
	d.Check(q.faults, true)
	d.CheckNotice(q.faults, a.Channels)
	return d, q.err()
}

func (a *api) distribute(c *gin.Context, raw []byte, d models.Distribution, listed iter.Seq2[string, error]) error {
	return change(a, c, raw, http.StatusAccepted, viewDistribution,
		func(ctx context.Context, op models.Op) (models.Distribution, error) {
			return a.Store.CreateDistribution(ctx, op, d, listed)
		})
}

func (a *api) getDistribution(c *gin.Context) error {
	return getOne(c, "distribution", a.Store.Distribution, viewDistribution)
}

func (a *api) listDistributions(c *gin.Context) error {
	return listOwn(c, a.Store.Distributions, func(d models.Distribution) models.ID { return d.ID }, viewDistribution)
}

// moveDistribution makes the handler of one of the three steps.
func (a *api) moveDistribution(action models.JobAction) func(*gin.Context) error {
	return func(c *gin.Context) error {
		id, err := pathID(c, "distribution")
		if err != nil {
			return err
		}
		raw, err := bindNone(c)
		if err != nil {
			return err
		}
		return change(a, c, raw, http.StatusOK, viewDistribution,
			func(ctx context.Context, op models.Op) (models.Distribution, error) {
				return a.Store.MoveDistribution(ctx, op, id, action)
			})
	}
}

// distributionFailures sends who got nothing, and why, as CSV; it is never in
// memory as a whole.
func (a *api) distributionFailures(c *gin.Context) error {
	id, err := pathID(c, "distribution")
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if _, err := a.Store.Distribution(ctx, middleware.Principal(c), id); err != nil {
		return err
	}
	c.Header("Content-Type", "text/csv; charset=utf-8")
	c.Header("Content-Disposition", `attachment; filename="failures-`+strconv.FormatInt(int64(id), 10)+`.csv"`)
	err = writeFailures(c.Writer, a.Store.Failures(ctx, id))
	if err != nil && c.Writer.Written() {
		panic(http.ErrAbortHandler) // a part of it must not pass for the whole
	}
	return err
}

func writeFailures(to io.Writer, failures iter.Seq2[models.DeliveryFailure, error]) error {
	out := csv.NewWriter(to)
	if err := out.Write([]string{"user_id", "code", "detail"}); err != nil {
		return err
	}
	for one, err := range failures {
		if err != nil {
			return err
		}
		if err := out.Write([]string{one.UserID, string(one.Code), one.Detail}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
