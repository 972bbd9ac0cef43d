package store

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"scrip/models"
)

type ruleRow struct {
	ID         models.ID
	MerchantID string
	Version    int
	CreatedAt  int64
}

func (*ruleRow) TableName() string { return "rules" }

type ruleVersionRow struct {
	RuleID     models.ID
	Version    int
	Name       string
	Kind       models.Kind
	Effect     models.Effect     `gorm:"serializer:json"`
	Scope      models.Scope      `gorm:"serializer:json"`
	Conditions models.Conditions `gorm:"serializer:json"`
	Stacking   models.Stacking   `gorm:"serializer:json"`
	CreatedAt  int64
	MerchantID string `gorm:"->"` // of the rule, where a query joins it
}

func (*ruleVersionRow) TableName() string { return "rule_versions" }

func (r *ruleVersionRow) rule() (models.Rule, error) {
	return models.Rule{
		ID: r.RuleID, MerchantID: r.MerchantID, Version: r.Version,
		Name: r.Name, Kind: r.Kind, Effect: r.Effect, Scope: r.Scope,
		Conditions: r.Conditions, Stacking: r.Stacking, CreatedAt: instant(r.CreatedAt),
	}, nil
}

func insertVersion(t tx, r models.Rule) error {
	return t.orm.Omit("MerchantID").Create(&ruleVersionRow{
		RuleID: r.ID, Version: r.Version, Name: r.Name, Kind: r.Kind,
		Effect: r.Effect, Scope: r.Scope, Conditions: r.Conditions, Stacking: r.Stacking,
		CreatedAt: millis(r.CreatedAt),
	}).Error
}

// CreateRule stores a rule as its first version.
func (s *Store) CreateRule(ctx context.Context, op models.Op, r models.Rule) (models.Rule, error) {
	return change(ctx, s, op, func(t tx) (models.Rule, note, error) {
		id, err := s.ids.Next()
		if err != nil {
			return r, note{}, err
		}
		r.ID, r.Version, r.CreatedAt = id, 1, op.At
		row := ruleRow{ID: r.ID, MerchantID: r.MerchantID, Version: r.Version, CreatedAt: millis(r.CreatedAt)}
		if err := t.orm.Create(&row).Error; err != nil {
			return r, note{}, fmt.Errorf("create rule: %w", err)
		}
		return r, ruleNote("rule.create", r), insertVersion(t, r)
	})
}

func ruleNote(action string, r models.Rule) note {
	return note{
		action: action, resource: "rule", id: r.ID, merchantID: r.MerchantID,
		detail: map[string]any{"version": r.Version, "name": r.Name, "kind": r.Kind},
	}
}

// AddRuleVersion stores the next version of a rule. The templates that use the
// rule follow it: what is claimed from then on is judged by the new version,
// what was issued before keeps its own.
func (s *Store) AddRuleVersion(ctx context.Context, op models.Op, id models.ID, r models.Rule) (models.Rule, error) {
	return change(ctx, s, op, func(t tx) (models.Rule, note, error) {
		row, err := lockRule(t, op.Actor, id)
		if err != nil {
			return r, note{}, err
		}
		r.ID, r.MerchantID, r.Version, r.CreatedAt = id, row.MerchantID, row.Version+1, op.At
		if err := insertVersion(t, r); err != nil {
			return r, note{}, fmt.Errorf("add rule version: %w", err)
		}
		if err := t.orm.Model(&ruleRow{}).Where("id = ?", id).Update("version", r.Version).Error; err != nil {
			return r, note{}, fmt.Errorf("add rule version: %w", err)
		}
		return r, ruleNote("rule.version", r), followRule(t, r)
	})
}

// followRule moves the templates of a rule to its newest version. Their own
// version grows too: claims under way were judged by what is no longer so.
func followRule(t tx, r models.Rule) error {
	if r.Effect.Currency != "" {
		var other templateRow
		err := t.orm.Where("rule_id = ? AND currency <> ? AND state <> ?", r.ID, r.Effect.Currency, models.TemplateEnded).
			Take(&other).Error
		if err == nil {
			return currencyMismatch("effect.currency", fmt.Sprintf("template %s of this rule is in %s", other.ID, other.Currency))
		}
		if !errors.Is(err, gorm.ErrRecordNotFound) {
			return err
		}
	}
	return t.orm.Model(&templateRow{}).
		Where("rule_id = ? AND state <> ?", r.ID, models.TemplateEnded).
		Updates(map[string]any{
			"rule_version": r.Version,
			"version":      gorm.Expr("version + 1"),
			"updated_at":   millis(r.CreatedAt),
		}).Error
}

func currencyMismatch(field, detail string) error {
	f := models.NewFaults()
	f.Add(field, models.CodeCurrencyDiffer, "%s", detail)
	return f.Err()
}

func lockRule(t tx, actor models.Principal, id models.ID) (ruleRow, error) {
	var row ruleRow
	err := locking(t).Where("id = ?", id).Take(&row).Error
	if err == nil && !actor.Owns(row.MerchantID) {
		err = gorm.ErrRecordNotFound
	}
	return row, found(err, "rule")
}

// locking makes the query take its rows' locks; SQLite holds the one lock there
// is from the beginning of the transaction.
func locking(t tx) *gorm.DB {
	if t.orm.Name() == "sqlite" {
		return t.orm
	}
	return t.orm.Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate})
}

// versions reads rule versions beside their owner.
func versions(orm *gorm.DB) *gorm.DB {
	return orm.Table("rule_versions").
		Select("rule_versions.*, rules.merchant_id").
		Joins("JOIN rules ON rules.id = rule_versions.rule_id")
}

// Rule reads one version of a rule; version 0 is the newest.
func (s *Store) Rule(ctx context.Context, actor models.Principal, id models.ID, version int) (models.Rule, error) {
	return readRule(s.orm.WithContext(ctx), actor, id, version)
}

func readRule(orm *gorm.DB, actor models.Principal, id models.ID, version int) (models.Rule, error) {
	query := versions(orm).Where("rule_versions.rule_id = ?", id)
	if version == 0 {
		query = query.Where("rule_versions.version = rules.version")
	} else {
		query = query.Where("rule_versions.version = ?", version)
	}
	var row ruleVersionRow
	err := query.Take(&row).Error
	if err == nil && !actor.Owns(row.MerchantID) {
		err = gorm.ErrRecordNotFound
	}
	if err != nil {
		return models.Rule{}, found(err, "rule")
	}
	return row.rule()
}

// Rules lists the newest version of each rule, newest rule first.
func (s *Store) Rules(ctx context.Context, actor models.Principal, page models.Page) ([]models.Rule, error) {
	query := owned(versions(s.orm.WithContext(ctx)), actor).Where("rule_versions.version = rules.version")
	var rows []ruleVersionRow
	if err := paged(query, "rule_versions.rule_id", page).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	return convert(rows, (*ruleVersionRow).rule)
}
