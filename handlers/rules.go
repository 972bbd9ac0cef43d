package handlers

import (
	"context"
	"math"
	"net/http"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

type ruleStore interface {
	CreateRule(ctx context.Context, op models.Op, r models.Rule) (models.Rule, error)
	AddRuleVersion(ctx context.Context, op models.Op, id models.ID, r models.Rule) (models.Rule, error)
	Rule(ctx context.Context, actor models.Principal, id models.ID, version int) (models.Rule, error)
	Rules(ctx context.Context, actor models.Principal, page models.Page) ([]models.Rule, error)
}

// ruleBody is what a rule is made from. Fields that must be there although the
// models' zero value could not tell are pointers here.
type ruleBody struct {
	Name       string         `json:"name"`
	Kind       models.Kind    `json:"kind"`
	Effect     effectBody     `json:"effect"`
	Scope      scopeBody      `json:"scope"`
	Conditions conditionsBody `json:"conditions"`
	Stacking   stackingBody   `json:"stacking"`
}

type newRuleBody struct {
	MerchantID string `json:"merchant_id"`
	ruleBody
}

type effectBody struct {
	models.Effect
	Every *everyBody `json:"every"`
	Get   *scopeBody `json:"get"`
}

type everyBody struct {
	Spend    *int64 `json:"spend"`
	MaxTimes *int64 `json:"max_times"`
}

type scopeBody struct {
	models.Scope
	Storewide *bool `json:"storewide"`
}

type conditionsBody struct {
	models.Conditions
	TimeOfDay *timeOfDayBody `json:"time_of_day"`
}

type timeOfDayBody struct {
	From  *string `json:"from"`
	Until *string `json:"until"`
}

// stackingBody has only pointers: what is absent is as DefaultStacking has it.
type stackingBody struct {
	Group        *string      `json:"group"`
	ExclusiveAll *bool        `json:"exclusive_all"`
	Priority     *int         `json:"priority"`
	MaxPerOrder  *int64       `json:"max_per_order"`
	Base         *models.Base `json:"base"`
}

// rule makes the models' rule of a body, or says all that is wrong with it.
func (a *api) rule(body *ruleBody) (models.Rule, error) {
	f := models.NewFaults()
	r := models.Rule{
		Name:       body.Name,
		Kind:       body.Kind,
		Effect:     body.Effect.effect(f.In("effect")),
		Scope:      body.Scope.scope(f.In("scope")),
		Conditions: body.Conditions.conditions(f.In("conditions")),
		Stacking:   body.Stacking.stacking(),
	}
	r.Check(f)
	if text := r.Conditions.Expression; text != "" {
		if err := a.CompileExpression(text); err != nil {
			f.Add("conditions.expression", models.CodeInvalid, "%s", err)
		}
	}
	return r, f.Err()
}

// scope says outright what one without inclusions means.
func (b *scopeBody) scope(f models.Faults) models.Scope {
	s := b.Scope
	chosen := len(s.SKUs) > 0 || len(s.CategoryIDs) > 0
	s.Storewide = or(b.Storewide, !chosen)
	if !s.Storewide && !chosen {
		f.Add("storewide", models.CodeInvalid, "false goes with skus or category_ids only")
	}
	return s
}

func (b *effectBody) effect(f models.Faults) models.Effect {
	e := b.Effect
	if b.Every != nil {
		f.Require(b.Every.Spend != nil, "every.spend")
		e.Every = &models.Every{Spend: or(b.Every.Spend, 1), MaxTimes: b.Every.MaxTimes}
	}
	if b.Get != nil {
		e.Get = new(b.Get.scope(f.In("get")))
	}
	return e
}

func (b *conditionsBody) conditions(f models.Faults) models.Conditions {
	c := b.Conditions
	if b.TimeOfDay != nil {
		f.Require(b.TimeOfDay.From != nil, "time_of_day.from")
		f.Require(b.TimeOfDay.Until != nil, "time_of_day.until")
		// What is missing is noted above; a valid stand-in keeps it from being
		// noted a second time as something else.
		c.TimeOfDay = &models.TimeOfDay{From: or(b.TimeOfDay.From, "00:00"), Until: or(b.TimeOfDay.Until, "23:59")}
	}
	return c
}

func (b *stackingBody) stacking() models.Stacking {
	s := models.DefaultStacking()
	return models.Stacking{
		Group:        or(b.Group, s.Group),
		ExclusiveAll: or(b.ExclusiveAll, s.ExclusiveAll),
		Priority:     or(b.Priority, s.Priority),
		MaxPerOrder:  or(b.MaxPerOrder, s.MaxPerOrder),
		Base:         or(b.Base, s.Base),
	}
}

// or is what p points to, or the default where it points nowhere.
func or[T any](p *T, absent T) T {
	if p == nil {
		return absent
	}
	return *p
}

// ruleView is a rule version in an answer.
type ruleView struct {
	ID         models.ID         `json:"id"`
	MerchantID string            `json:"merchant_id,omitempty"`
	Version    int               `json:"version"`
	Name       string            `json:"name"`
	Kind       models.Kind       `json:"kind"`
	Effect     models.Effect     `json:"effect"`
	Scope      models.Scope      `json:"scope"`
	Conditions models.Conditions `json:"conditions"`
	Stacking   models.Stacking   `json:"stacking"`
	CreatedAt  stamp             `json:"created_at"`
}

func viewRule(r models.Rule) any {
	return ruleView{
		r.ID, r.MerchantID, r.Version, r.Name, r.Kind, r.Effect, r.Scope, r.Conditions, r.Stacking, stamp(r.CreatedAt),
	}
}

func (a *api) createRule(c *gin.Context) error {
	var body newRuleBody
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	merchantID, err := ownerOf(middleware.Principal(c), body.MerchantID)
	if err != nil {
		return err
	}
	rule, err := a.rule(&body.ruleBody)
	if err != nil {
		return err
	}
	rule.MerchantID = merchantID
	return change(a, c, raw, http.StatusCreated, viewRule, func(ctx context.Context, op models.Op) (models.Rule, error) {
		return a.Store.CreateRule(ctx, op, rule)
	})
}

func (a *api) addRuleVersion(c *gin.Context) error {
	id, err := pathID(c, "rule")
	if err != nil {
		return err
	}
	var body ruleBody
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	rule, err := a.rule(&body)
	if err != nil {
		return err
	}
	return change(a, c, raw, http.StatusCreated, viewRule, func(ctx context.Context, op models.Op) (models.Rule, error) {
		return a.Store.AddRuleVersion(ctx, op, id, rule)
	})
}

func (a *api) getRule(c *gin.Context) error {
	id, err := pathID(c, "rule")
	if err != nil {
		return err
	}
	q := newQuery(c)
	const latest = 0
	version := q.number("version", latest, 1, math.MaxInt32)
	if err := q.err(); err != nil {
		return err
	}
	rule, err := a.Store.Rule(c.Request.Context(), middleware.Principal(c), id, version)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, viewRule(rule))
}

func (a *api) listRules(c *gin.Context) error {
	return listOwn(c, a.Store.Rules, func(r models.Rule) models.ID { return r.ID }, viewRule)
}
