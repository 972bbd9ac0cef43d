package handlers

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json/jsontext"

	"scrip/handlers/middleware"
	"scrip/models"
)

type templateStore interface {
	CreateTemplate(ctx context.Context, op models.Op, merchantID string, spec models.TemplateSpec) (models.Template, error)
	Template(ctx context.Context, actor models.Principal, id models.ID) (models.Template, error)
	Templates(
		ctx context.Context, actor models.Principal, filter models.TemplateFilter, page models.Page,
	) ([]models.Template, error)
	// EditTemplate may call edit more than once, on fresh copies.
	EditTemplate(
		ctx context.Context, op models.Op, id models.ID, ifVersion int64, edit func(*models.Template) error,
	) (models.Template, error)
	MoveTemplate(ctx context.Context, op models.Op, id models.ID, action models.TemplateAction) (models.Template, error)
	AddStock(ctx context.Context, op models.Op, id models.ID, delta int64) (models.Template, error)
	TemplateStats(ctx context.Context, actor models.Principal, id models.ID, now time.Time) (models.TemplateStats, error)
	// TemplateCoupons goes by issue number: page.Before is the last one shown.
	TemplateCoupons(
		ctx context.Context, actor models.Principal, id models.ID, page models.Page,
	) ([]models.Coupon, error)
}

// templateBody is what a template is made from, and what a PATCH may name.
type templateBody struct {
	Name             string           `json:"name"`
	RuleID           models.ID        `json:"rule_id"`
	Currency         string           `json:"currency"`
	TimeZone         string           `json:"time_zone"`
	Stock            *int64           `json:"stock"`
	PerUserLimit     *int64           `json:"per_user_limit"`
	ClaimWindow      *models.Window   `json:"claim_window"`
	Validity         models.Validity  `json:"validity"`
	Audience         models.Audience  `json:"audience"`
	Issue            models.Issue     `json:"issue"`
	BudgetIDs        []models.ID      `json:"budget_ids"`
	ReturnPolicy     returnPolicyBody `json:"return_policy"`
	RemindBeforeDays []int            `json:"remind_before_days"`
	Metadata         jsontext.Value   `json:"metadata"`
}

type newTemplateBody struct {
	MerchantID string `json:"merchant_id"`
	templateBody
}

// returnPolicyBody has only pointers: what is absent is as DefaultReturnPolicy
// has it.
type returnPolicyBody struct {
	OnCancel          *bool                `json:"on_cancel"`
	ExtendExpiredDays *int                 `json:"extend_expired_days"`
	BelowMinimum      *models.BelowMinimum `json:"below_minimum"`
}

func (b *returnPolicyBody) policy() models.ReturnPolicy {
	p := models.DefaultReturnPolicy()
	return models.ReturnPolicy{
		OnCancel:          or(b.OnCancel, p.OnCancel),
		ExtendExpiredDays: or(b.ExtendExpiredDays, p.ExtendExpiredDays),
		BelowMinimum:      or(b.BelowMinimum, p.BelowMinimum),
	}
}

// spec makes the models' template of a body, or says all that is wrong with it.
func (b *templateBody) spec() (models.TemplateSpec, error) {
	f := models.NewFaults()
	spec := models.TemplateSpec{
		Name:             b.Name,
		RuleID:           b.RuleID,
		Currency:         b.Currency,
		TimeZone:         b.TimeZone,
		Stock:            b.Stock,
		PerUserLimit:     or(b.PerUserLimit, 1),
		ClaimWindow:      b.ClaimWindow,
		Validity:         b.Validity,
		Audience:         b.Audience,
		Issue:            b.Issue,
		BudgetIDs:        b.BudgetIDs,
		ReturnPolicy:     b.ReturnPolicy.policy(),
		RemindBeforeDays: b.RemindBeforeDays,
		Metadata:         metadata(f, b.Metadata),
	}
	spec.Normalize()
	spec.Check(f)
	return spec, f.Err()
}

// maxMetadataDepth keeps metadata well within what a JSON column nests.
const maxMetadataDepth = 32

// metadata drops null and the spaces, and notes what is nested too deep.
func metadata(f models.Faults, v jsontext.Value) json.RawMessage {
	if v.Kind() == jsontext.KindNull || len(v) == 0 {
		return nil
	}
	if depth(v) > maxMetadataDepth {
		f.Add("metadata", models.CodeOutOfRange, "must be nested at most %d deep", maxMetadataDepth)
		return nil
	}
	if err := v.Compact(); err != nil {
		f.Add("metadata", models.CodeInvalid, "must be JSON")
	}
	return json.RawMessage(v)
}

// depth counts how deep arrays and objects are nested in valid JSON.
func depth(v jsontext.Value) (deepest int) {
	open, inString := 0, false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			open++
			deepest = max(deepest, open)
		case c == '}' || c == ']':
			open--
		}
	}
	return deepest
}

// windowView is a window in an answer.
type windowView struct {
	From  *stamp `json:"from,omitempty"`
	Until *stamp `json:"until,omitempty"`
}

func viewWindow(w *models.Window) *windowView {
	if w == nil {
		return nil
	}
	return &windowView{stampOf(w.From), stampOf(w.Until)}
}

type validityView struct {
	From           *stamp `json:"from,omitempty"`
	Until          *stamp `json:"until,omitempty"`
	DaysAfterClaim *int   `json:"days_after_claim,omitempty"`
	DelayDays      int    `json:"delay_days,omitempty"`
}

// templateView is a template in an answer. Audience and BudgetIDs are nil where
// the caller is not to learn who else is invited, and who pays.
type templateView struct {
	ID               models.ID            `json:"id"`
	MerchantID       string               `json:"merchant_id,omitempty"`
	Name             string               `json:"name"`
	State            models.TemplateState `json:"state"`
	RuleID           models.ID            `json:"rule_id"`
	RuleVersion      int                  `json:"rule_version"`
	Currency         string               `json:"currency"`
	TimeZone         string               `json:"time_zone"`
	Stock            *int64               `json:"stock"`
	Claimed          int64                `json:"claimed"`
	Remaining        *int64               `json:"remaining"`
	PerUserLimit     int64                `json:"per_user_limit"`
	ClaimWindow      *windowView          `json:"claim_window,omitempty"`
	Validity         validityView         `json:"validity"`
	Audience         *models.Audience     `json:"audience,omitempty"`
	Issue            models.Issue         `json:"issue"`
	BudgetIDs        []models.ID          `json:"budget_ids,omitempty"`
	ReturnPolicy     models.ReturnPolicy  `json:"return_policy"`
	RemindBeforeDays []int                `json:"remind_before_days,omitempty"`
	Metadata         json.RawMessage      `json:"metadata,omitempty"`
	Version          int64                `json:"version"`
	CreatedAt        stamp                `json:"created_at"`
	UpdatedAt        stamp                `json:"updated_at"`
}

func (v templateView) version() int64 { return v.Version }

func viewTemplate(t models.Template) any { return templateViewOf(&t) }

// viewClaimable shows a template to those who may claim from it.
func viewClaimable(t models.Template) any {
	view := templateViewOf(&t)
	view.Audience, view.BudgetIDs = nil, nil
	return view
}

func templateViewOf(t *models.Template) templateView {
	validity := validityView{
		stampOf(t.Validity.From), stampOf(t.Validity.Until), t.Validity.DaysAfterClaim, t.Validity.DelayDays,
	}
	return templateView{
		ID:               t.ID,
		MerchantID:       t.MerchantID,
		Name:             t.Name,
		State:            t.State,
		RuleID:           t.RuleID,
		RuleVersion:      t.RuleVersion,
		Currency:         t.Currency,
		TimeZone:         t.TimeZone,
		Stock:            t.Stock,
		Claimed:          t.Claimed,
		Remaining:        t.Remaining(),
		PerUserLimit:     t.PerUserLimit,
		ClaimWindow:      viewWindow(t.ClaimWindow),
		Validity:         validity,
		Audience:         &t.Audience,
		Issue:            t.Issue,
		BudgetIDs:        t.BudgetIDs,
		ReturnPolicy:     t.ReturnPolicy,
		RemindBeforeDays: t.RemindBeforeDays,
		Metadata:         t.Metadata,
		Version:          t.Version,
		CreatedAt:        stamp(t.CreatedAt),
		UpdatedAt:        stamp(t.UpdatedAt),
	}
}

func (a *api) createTemplate(c *gin.Context) error {
	var body newTemplateBody
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	merchantID, err := ownerOf(middleware.Principal(c), body.MerchantID)
	if err != nil {
		return err
	}
	spec, err := body.spec()
	if err != nil {
		return err
	}
	return change(a, c, raw, http.StatusCreated, viewTemplate,
		func(ctx context.Context, op models.Op) (models.Template, error) {
			return a.Store.CreateTemplate(ctx, op, merchantID, spec)
		})
}

func (a *api) getTemplate(c *gin.Context) error {
	return getOne(c, "template", a.Store.Template, viewTemplate)
}

func (a *api) listTemplates(c *gin.Context) error {
	actor := middleware.Principal(c)
	q := newQuery(c)
	page := q.page(byID)
	filter := models.TemplateFilter{
		State: oneOf(q, "state",
			models.TemplateDraft, models.TemplateActive, models.TemplatePaused, models.TemplateEnded),
		MerchantID: q.text("merchant_id"),
		RuleID:     q.id("rule_id"),
	}
	if err := q.err(); err != nil {
		return err
	}
	if _, err := ownerOf(actor, filter.MerchantID); err != nil {
		return err
	}
	rows, err := a.Store.Templates(c.Request.Context(), actor, filter, page.ask())
	if err != nil {
		return err
	}
	return answerPage(c, page, rows, func(t models.Template) models.ID { return t.ID }, viewTemplate)
}

// moveTemplate makes the handler of one of the four steps.
func (a *api) moveTemplate(action models.TemplateAction) func(*gin.Context) error {
	return func(c *gin.Context) error {
		id, err := pathID(c, "template")
		if err != nil {
			return err
		}
		raw, err := bindNone(c)
		if err != nil {
			return err
		}
		return change(a, c, raw, http.StatusOK, viewTemplate, a.announced(
			func(ctx context.Context, op models.Op) (models.Template, error) {
				return a.Store.MoveTemplate(ctx, op, id, action)
			}))
	}
}

func (a *api) addStock(c *gin.Context) error {
	id, err := pathID(c, "template")
	if err != nil {
		return err
	}
	var body struct {
		Add *int64 `json:"add"`
	}
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	f := models.NewFaults()
	f.Require(body.Add != nil, "add")
	delta := or(body.Add, 1)
	if delta == 0 {
		f.Add("add", models.CodeOutOfRange, "must not be 0")
	}
	f.Between("add", delta, -models.MaxStock, models.MaxStock)
	if err := f.Err(); err != nil {
		return err
	}
	return change(a, c, raw, http.StatusOK, viewTemplate, a.announced(
		func(ctx context.Context, op models.Op) (models.Template, error) {
			return a.Store.AddStock(ctx, op, id, delta)
		}))
}

// announced tells the claim service of a change to a template before anybody
// is told that it is made. By then it is committed: that the caller has gone
// meanwhile is no reason not to.
func (a *api) announced(
	do func(context.Context, models.Op) (models.Template, error),
) func(context.Context, models.Op) (models.Template, error) {
	return func(ctx context.Context, op models.Op) (models.Template, error) {
		t, err := do(ctx, op)
		if err == nil {
			a.Claims.TemplateChanged(context.WithoutCancel(ctx), t)
		}
		return t, err
	}
}

func (a *api) templateStats(c *gin.Context) error {
	id, err := pathID(c, "template")
	if err != nil {
		return err
	}
	stats, err := a.Store.TemplateStats(c.Request.Context(), middleware.Principal(c), id, models.Instant(a.Now()))
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, stats)
}

func (a *api) templateCoupons(c *gin.Context) error {
	id, err := pathID(c, "template")
	if err != nil {
		return err
	}
	q := newQuery(c)
	page := q.page(byIssueNo)
	if err := q.err(); err != nil {
		return err
	}
	rows, err := a.Store.TemplateCoupons(c.Request.Context(), middleware.Principal(c), id, page.ask())
	if err != nil {
		return err
	}
	issueNo := func(coupon models.Coupon) models.ID { return models.ID(coupon.IssueNo) }
	return answerPage(c, page, rows, issueNo, couponAt(models.Instant(a.Now())))
}
