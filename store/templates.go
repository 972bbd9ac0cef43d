package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"gorm.io/gorm"

	"scrip/models"
)

type templateRow struct {
	ID               models.ID
	MerchantID       string
	Name             string
	RuleID           models.ID
	RuleVersion      int
	Currency         string
	TimeZone         string
	State            models.TemplateState
	Stock            *int64
	Claimed          int64
	PerUserLimit     int64
	ClaimWindow      *models.Window  `gorm:"serializer:json"`
	Validity         models.Validity `gorm:"serializer:json"`
	Audience         models.Audience `gorm:"serializer:json"`
	Issue            models.Issue
	ReturnPolicy     models.ReturnPolicy `gorm:"serializer:json"`
	RemindBeforeDays []int               `gorm:"serializer:json"`
	Metadata         json.RawMessage     `gorm:"serializer:json"`
	Version          int64
	Epoch            int64
	StockEdits       int64
	Tombstones       int64
	CreatedAt        int64 `gorm:"autoCreateTime:false"`
	UpdatedAt        int64 `gorm:"autoUpdateTime:false"`

	BudgetIDs []models.ID `gorm:"-"` // in a table of their own
}

func (*templateRow) TableName() string { return "templates" }

func (r *templateRow) template() (models.Template, error) {
	return models.Template{
		ID: r.ID, MerchantID: r.MerchantID, State: r.State, RuleVersion: r.RuleVersion,
		Version: r.Version, Claimed: r.Claimed, Epoch: r.Epoch, StockEdits: r.StockEdits,
		CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt),
		TemplateSpec: models.TemplateSpec{
			Name: r.Name, RuleID: r.RuleID, Currency: r.Currency, TimeZone: r.TimeZone,
			Stock: r.Stock, PerUserLimit: r.PerUserLimit, ClaimWindow: r.ClaimWindow,
			Validity: r.Validity, Audience: r.Audience, Issue: r.Issue, BudgetIDs: r.BudgetIDs,
			ReturnPolicy: r.ReturnPolicy, RemindBeforeDays: r.RemindBeforeDays, Metadata: r.Metadata,
		},
	}, nil
}

// setSpec writes the owner's part of a template into its row.
func (r *templateRow) setSpec(spec models.TemplateSpec) {
	r.Name, r.RuleID, r.Currency, r.TimeZone = spec.Name, spec.RuleID, spec.Currency, spec.TimeZone
	r.Stock, r.PerUserLimit, r.ClaimWindow = spec.Stock, spec.PerUserLimit, spec.ClaimWindow
	r.Validity, r.Audience, r.Issue = spec.Validity, spec.Audience, spec.Issue
	r.ReturnPolicy, r.RemindBeforeDays, r.Metadata = spec.ReturnPolicy, spec.RemindBeforeDays, spec.Metadata
	r.BudgetIDs = spec.BudgetIDs
}

// CreateTemplate stores a draft.
func (s *Store) CreateTemplate(ctx context.Context, op models.Op, merchantID string, spec models.TemplateSpec) (models.Template, error) {
	return change(ctx, s, op, func(t tx) (models.Template, note, error) {
		id, err := s.ids.Next()
		if err != nil {
			return models.Template{}, note{}, err
		}
		row := templateRow{
			ID: id, MerchantID: merchantID, State: models.TemplateDraft, Version: 1,
			CreatedAt: millis(op.At), UpdatedAt: millis(op.At),
		}
		row.setSpec(spec)
		if err := row.takeRule(t, op.Actor); err != nil {
			return models.Template{}, note{}, err
		}
		if err := t.orm.Create(&row).Error; err != nil {
			return models.Template{}, note{}, fmt.Errorf("create template: %w", err)
		}
		if err := row.takeBudgets(t, op.Actor, nil); err != nil {
			return models.Template{}, note{}, err
		}
		made, err := row.template()
		return made, row.note("template.create", map[string]any{"name": row.Name, "rule_id": row.RuleID}), err
	})
}

func (r *templateRow) note(action string, detail map[string]any) note {
	return note{action: action, resource: "template", id: r.ID, merchantID: r.MerchantID, detail: detail}
}

// takeRule finds the template's rule, locks it against a new version coming in
// between, and takes its newest one. A merchant's template may use the
// merchant's own rules; the platform may give it one of its own. A template of
// the platform must not hang on a merchant's rule, whose owner could change it.
func (r *templateRow) takeRule(t tx, actor models.Principal) error {
	f := models.NewFaults()
	locked, err := lockRule(t, actor, r.RuleID)
	if models.IsCode(err, models.CodeNotFound) || err == nil && locked.MerchantID != "" && locked.MerchantID != r.MerchantID {
		f.Add("rule_id", models.CodeUnknownRef, "there is no such rule for this template's owner")
		return f.Err()
	}
	if err != nil {
		return err
	}
	rule, err := readRule(t.orm, actor, r.RuleID, locked.Version)
	if err != nil {
		return err
	}
	if c := rule.Effect.Currency; c != "" && c != r.Currency {
		return currencyMismatch("currency", "the rule's effect is in "+c)
	}
	r.RuleVersion = rule.Version
	return nil
}

// Template reads one template.
func (s *Store) Template(ctx context.Context, actor models.Principal, id models.ID) (models.Template, error) {
	return templateBy(s.orm.WithContext(ctx), actor, id)
}

func templateBy(orm *gorm.DB, actor models.Principal, id models.ID) (models.Template, error) {
	var row templateRow
	err := orm.Where("id = ?", id).Take(&row).Error
	if err == nil && !actor.Owns(row.MerchantID) {
		err = gorm.ErrRecordNotFound
	}
	if err != nil {
		return models.Template{}, found(err, "template")
	}
	rows := []templateRow{row}
	if err := addBudgets(orm, rows); err != nil {
		return models.Template{}, err
	}
	return rows[0].template()
}

// addBudgets fills in the rows' budgets.
func addBudgets(orm *gorm.DB, rows []templateRow) error {
	ids := make([]models.ID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	of, err := budgetsOf(orm, ids)
	for i := range rows {
		rows[i].BudgetIDs = of[rows[i].ID]
	}
	return err
}

// Definition reads a template for the claim path, whoever asks.
func (s *Store) Definition(ctx context.Context, id models.ID) (models.Template, error) {
	return templateBy(s.prompt.WithContext(ctx), models.Principal{Role: models.RolePlatform}, id)
}

// Templates lists templates, newest first.
func (s *Store) Templates(ctx context.Context, actor models.Principal, filter models.TemplateFilter, page models.Page) ([]models.Template, error) {
	query := owned(s.orm.WithContext(ctx), actor)
	query = equals(query, "state", filter.State)
	query = equals(query, "merchant_id", filter.MerchantID)
	query = equals(query, "rule_id", filter.RuleID)
	var rows []templateRow
	if err := paged(query, "id", page).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list templates: %w", err)
	}
	if err := addBudgets(s.orm.WithContext(ctx), rows); err != nil {
		return nil, err
	}
	return convert(rows, (*templateRow).template)
}

// editTemplate locks a template, lets act change its row, and stores it as the
// next version. act returns what the audit log says of it, or "" when there is
// nothing to change.
func (s *Store) editTemplate(ctx context.Context, op models.Op, id models.ID, act func(tx, *templateRow) (action string, detail map[string]any, err error)) (models.Template, error) {
	return change(ctx, s, op, func(t tx) (models.Template, note, error) {
		row, err := lockTemplate(t, op.Actor, id)
		if err != nil {
			return models.Template{}, note{}, err
		}
		action, detail, err := act(t, &row)
		if err != nil {
			return models.Template{}, note{}, err
		}
		if action != "" {
			row.Version++
			row.UpdatedAt = millis(op.At)
			// Claimed, epoch and tombstones are not an edit's to write, and the
			// lock keeps them still; all else is stored as it stands.
			if err := t.orm.Model(&row).Where("id = ?", row.ID).Select("*").Updates(&row).Error; err != nil {
				return models.Template{}, note{}, fmt.Errorf("edit template: %w", err)
			}
		}
		edited, err := row.template()
		return edited, row.note(action, detail), err
	})
}

func lockTemplate(t tx, actor models.Principal, id models.ID) (templateRow, error) {
	rows := make([]templateRow, 1)
	err := locking(t).Where("id = ?", id).Take(&rows[0]).Error
	if err == nil && !actor.Owns(rows[0].MerchantID) {
		err = gorm.ErrRecordNotFound
	}
	if err != nil {
		return templateRow{}, found(err, "template")
	}
	err = addBudgets(t.orm, rows)
	return rows[0], err
}

// EditTemplate lets edit change the owner's part of a template that still has
// the given version; otherwise it refuses with version_mismatch.
func (s *Store) EditTemplate(ctx context.Context, op models.Op, id models.ID, ifVersion int64, edit func(*models.Template) error) (models.Template, error) {
	return s.editTemplate(ctx, op, id, func(t tx, row *templateRow) (string, map[string]any, error) {
		if row.Version != ifVersion {
			return "", nil, models.Refuse(models.CodeVersion, "the template's version is %d by now", row.Version)
		}
		current, err := row.template()
		if err != nil {
			return "", nil, err
		}
		before := current.TemplateSpec
		if err := edit(&current); err != nil {
			return "", nil, err
		}
		row.setSpec(current.TemplateSpec)
		if before.Issue == models.IssueCode && row.Issue != models.IssueCode {
			if err := row.hasNoCodes(t); err != nil {
				return "", nil, err
			}
		}
		if before.RuleID != row.RuleID || before.Currency != row.Currency {
			if err := row.takeRule(t, op.Actor); err != nil {
				return "", nil, err
			}
		}
		if before.Currency != row.Currency || !slices.Equal(before.BudgetIDs, row.BudgetIDs) {
			if err := row.takeBudgets(t, op.Actor, before.BudgetIDs); err != nil {
				return "", nil, err
			}
		}
		return "template.edit", differences(before, current.TemplateSpec), nil
	})
}

// differences lists the fields that an edit changed, as they were and as they are.
func differences[T models.TemplateSpec | models.BudgetSpec](before, after T) map[string]any {
	was, is := fields(before), fields(after)
	detail := map[string]any{}
	names := slices.Collect(maps.Keys(was))
	for name := range is {
		names = append(names, name)
	}
	for _, name := range names {
		if string(was[name]) != string(is[name]) {
			detail[name] = map[string]any{"was": was[name], "is": is[name]}
		}
	}
	return detail
}

func fields(spec any) map[string]json.RawMessage {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil
	}
	var out map[string]json.RawMessage
	if err := json.Unmarshal(text, &out); err != nil {
		return nil
	}
	return out
}

// MoveTemplate takes a step between states. A step to the state that the
// template is in changes nothing; a way that does not exist is wrong_state.
func (s *Store) MoveTemplate(ctx context.Context, op models.Op, id models.ID, action models.TemplateAction) (models.Template, error) {
	return s.editTemplate(ctx, op, id, func(_ tx, row *templateRow) (string, map[string]any, error) {
		switch {
		case action.Leaves(row.State):
			detail := map[string]any{"was": row.State, "is": action.Target()}
			row.State = action.Target()
			return "template." + string(action), detail, nil
		case row.State == action.Target():
			return "", nil, nil
		default:
			return "", nil, models.Refuse(models.CodeWrongState, "cannot %s a template that is %s", action, row.State)
		}
	})
}

// AddStock adds to a template's stock, or takes away what is not yet claimed.
func (s *Store) AddStock(ctx context.Context, op models.Op, id models.ID, delta int64) (models.Template, error) {
	return s.editTemplate(ctx, op, id, func(_ tx, row *templateRow) (string, map[string]any, error) {
		switch {
		case row.Stock == nil:
			return "", nil, models.Refuse(models.CodeWrongState, "this template has no stock limit to add to")
		case row.State == models.TemplateEnded:
			return "", nil, models.Refuse(models.CodeWrongState, "this template has ended")
		case *row.Stock+delta < row.Claimed:
			return "", nil, models.Refuse(models.CodeStockBelow, "%d of %d are claimed already", row.Claimed, *row.Stock)
		case *row.Stock+delta > models.MaxStock:
			f := models.NewFaults()
			f.Add("add", models.CodeOutOfRange, "would bring the stock above %d", models.MaxStock)
			return "", nil, f.Err()
		}
		row.Stock = new(*row.Stock + delta)
		row.StockEdits++
		return "template.stock", map[string]any{"add": delta, "stock": *row.Stock}, nil
	})
}

// TemplateStats counts a template's coupons by what they are at the given time.
// One statement reads all of it, so that the counts agree while coupons are sold.
func (s *Store) TemplateStats(ctx context.Context, actor models.Principal, id models.ID, now time.Time) (models.TemplateStats, error) {
	t, err := s.Template(ctx, actor, id)
	if err != nil {
		return models.TemplateStats{}, err
	}
	stats := models.TemplateStats{TemplateID: id}
	err = query(ctx, s.sql, `SELECT t.stock, t.claimed, COALESCE(c.status, ''), COALESCE(c.expires_at <= ?, 0) AS past, COUNT(c.id)
		FROM templates t LEFT JOIN coupons c ON c.template_id = t.id WHERE t.id = ?
		GROUP BY t.stock, t.claimed, c.status, past`, []any{millis(now), id},
		func(scan func(...any) error) error {
			var status models.CouponStatus
			var past bool
			var n int64
			err := scan(&t.Stock, &t.Claimed, &status, &past, &n)
			stats.Add(status, past, n)
			return err
		})
	if err != nil {
		return stats, fmt.Errorf("count coupons: %w", s.dialect.explain(err))
	}
	stats.Stock, stats.Claimed, stats.Remaining = t.Stock, t.Claimed, t.Remaining()
	return stats, nil
}
