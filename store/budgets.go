package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"scrip/models"
)

type budgetRow struct {
	ID           models.ID
	MerchantID   string
	Version      int64
	Name         string
	Kind         models.BudgetKind
	Currency     *string
	IsLimited    bool
	Total        int64
	Period       models.Period
	PerUserTotal *int64
	TimeZone     string
	AlertAtBP    []int `gorm:"column:alert_at_bp;serializer:json"`
	CreatedAt    int64 `gorm:"autoCreateTime:false"`
	UpdatedAt    int64 `gorm:"autoUpdateTime:false"`
}

func (*budgetRow) TableName() string { return "budgets" }

func (r *budgetRow) spec() *models.BudgetSpec {
	spec := &models.BudgetSpec{
		Name: r.Name, Kind: r.Kind, IsLimited: r.IsLimited, Total: r.Total, Period: r.Period,
		PerUserTotal: r.PerUserTotal, TimeZone: r.TimeZone, AlertAtBP: r.AlertAtBP,
	}
	if r.Currency != nil {
		spec.Currency = *r.Currency
	}
	return spec
}

// setSpec writes the owner's part of a budget into its row.
func (r *budgetRow) setSpec(spec *models.BudgetSpec) {
	r.Name, r.Kind, r.IsLimited, r.Total = spec.Name, spec.Kind, spec.IsLimited, spec.Total
	r.Period, r.PerUserTotal, r.TimeZone = spec.Period, spec.PerUserTotal, spec.TimeZone
	r.AlertAtBP, r.Currency = spec.AlertAtBP, nil
	if spec.Currency != "" {
		r.Currency = &spec.Currency
	}
}

func (r *budgetRow) note(action string, detail map[string]any) note {
	return note{action: action, resource: "budget", id: r.ID, merchantID: r.MerchantID, detail: detail}
}

// budget is the domain's budget, with the counters of the period that now lies in.
func (b *budget) budget(now time.Time) models.Budget {
	p := b.at(b.start(now))
	return models.Budget{
		ID: b.ID, MerchantID: b.MerchantID, Version: b.Version, Used: p.used, Held: p.held,
		CreatedAt: instant(b.CreatedAt), UpdatedAt: instant(b.UpdatedAt), BudgetSpec: *b.spec(),
	}
}

// counted finds the counters of budgets in the period that now lies in.
func (s *Store) counted(ctx context.Context, q querier, rows []budgetRow, now time.Time) (*ledger, error) {
	l := &ledger{budgets: make(map[models.ID]*budget, len(rows))}
	places := make([]place, len(rows))
	for i, row := range rows {
		if err := l.add(s, row); err != nil {
			return nil, err
		}
		places[i] = place{budget: row.ID, period: l.budgets[row.ID].start(now)}
	}
	return l, l.read(ctx, q, places)
}

// CreateBudget stores a budget of a merchant, or with "" of the platform.
func (s *Store) CreateBudget(ctx context.Context, op models.Op, merchantID string, spec models.BudgetSpec) (models.Budget, error) {
	return change(ctx, s, op, func(t tx) (models.Budget, note, error) {
		id, err := s.ids.Next()
		if err != nil {
			return models.Budget{}, note{}, err
		}
		row := budgetRow{
			ID: id, MerchantID: merchantID, Version: 1, CreatedAt: millis(op.At), UpdatedAt: millis(op.At),
		}
		row.setSpec(&spec)
		if err := t.orm.Create(&row).Error; err != nil {
			return models.Budget{}, note{}, fmt.Errorf("create budget: %w", err)
		}
		l, err := s.counted(ctx, t, []budgetRow{row}, op.At)
		if err != nil {
			return models.Budget{}, note{}, err
		}
		detail := map[string]any{"name": row.Name, "kind": row.Kind, "total": row.Total, "is_limited": row.IsLimited}
		return l.budgets[id].budget(op.At), row.note("budget.create", detail), nil
	})
}

// Budget reads one budget, with the counters of the period that now lies in.
func (s *Store) Budget(ctx context.Context, actor models.Principal, id models.ID, now time.Time) (models.Budget, error) {
	row, err := ownBudget(s.orm.WithContext(ctx), actor, id)
	if err != nil {
		return models.Budget{}, err
	}
	l, err := s.counted(ctx, s.sql, []budgetRow{row}, now)
	if err != nil {
		return models.Budget{}, err
	}
	return l.budgets[id].budget(now), nil
}

func ownBudget(orm *gorm.DB, actor models.Principal, id models.ID) (budgetRow, error) {
	var row budgetRow
	err := orm.Where("id = ?", id).Take(&row).Error
	if err == nil && !actor.Owns(row.MerchantID) {
		err = gorm.ErrRecordNotFound
	}
	return row, found(err, "budget")
}

// Budgets lists budgets, newest first, with the counters of the period that now
// lies in.
func (s *Store) Budgets(ctx context.Context, actor models.Principal, page models.Page, now time.Time) ([]models.Budget, error) {
	var rows []budgetRow
	if err := paged(owned(s.orm.WithContext(ctx), actor), "id", page).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list budgets: %w", err)
	}
	l, err := s.counted(ctx, s.sql, rows, now)
	if err != nil {
		return nil, err
	}
	return convert(rows, func(r *budgetRow) (models.Budget, error) { return l.budgets[r.ID].budget(now), nil })
}

// EditBudget lets edit change the owner's part of a budget that still has the
// given version; otherwise it refuses with version_mismatch. What the budget
// counts by cannot change. A new total is for the period of the edit and later
// ones, and wrong_state if more than that is used or held already.
func (s *Store) EditBudget(ctx context.Context, op models.Op, id models.ID, ifVersion int64, edit func(*models.Budget) error) (models.Budget, error) {
	return change(ctx, s, op, func(t tx) (models.Budget, note, error) {
		row, err := ownBudget(locking(t), op.Actor, id)
		if err != nil {
			return models.Budget{}, note{}, err
		}
		if row.Version != ifVersion {
			return models.Budget{}, note{}, models.Refuse(models.CodeVersion, "the budget's version is %d by now", row.Version)
		}
		l, err := s.counted(ctx, t, []budgetRow{row}, op.At)
		if err != nil {
			return models.Budget{}, note{}, err
		}
		b := l.budgets[id]
		before, err := b.edit(op.At, edit)
		if err != nil {
			return models.Budget{}, note{}, err
		}
		if err := b.store(ctx, s, t, op.At); err != nil {
			return models.Budget{}, note{}, err
		}
		return b.budget(op.At), b.note("budget.edit", differences(before, *b.spec())), nil
	})
}

// edit applies an edit to the row, and returns the spec as it was.
func (b *budget) edit(now time.Time, edit func(*models.Budget) error) (models.BudgetSpec, error) {
	before, edited := *b.spec(), b.budget(now)
	edited.AlertAtBP = slices.Clone(before.AlertAtBP)
	if before.PerUserTotal != nil {
		edited.PerUserTotal = new(*before.PerUserTotal)
	}
	if err := edit(&edited); err != nil {
		return before, err
	}
	f := models.NewFaults()
	edited.CheckChange(f, &before)
	if err := f.Err(); err != nil {
		return before, err
	}
	b.setSpec(&edited.BudgetSpec)
	b.Version++
	b.UpdatedAt = millis(now)
	return before, nil
}

// store writes an edited budget, whose row is locked, and brings the total to
// the counters from its current period on.
func (b *budget) store(ctx context.Context, s *Store, t tx, now time.Time) error {
	if err := t.orm.Model(&b.budgetRow).Where("id = ?", b.ID).Select("*").Updates(&b.budgetRow).Error; err != nil {
		return fmt.Errorf("edit budget: %w", err)
	}
	start := b.start(now)
	const periods = " FROM budget_periods WHERE budget_id = ? AND period_start >= ?"
	var most int64
	err := t.sql.QueryRowContext(ctx, "SELECT COALESCE(MAX(used + held), 0)"+periods, b.ID, start).Scan(&most)
	if err != nil {
		return fmt.Errorf("read budget counters: %w", err)
	}
	p := b.at(start)
	p.total = nil
	if b.IsLimited {
		if most > b.Total {
			return models.Refuse(models.CodeWrongState, "%d are used or held already", most)
		}
		p.total = &b.Total
	}
	if !p.stored {
		return nil
	}
	if err := b.alert(ctx, s, t, start, now); err != nil {
		return err
	}
	_, err = t.sql.ExecContext(ctx, "UPDATE budget_periods SET total = ? WHERE budget_id = ? AND period_start >= ?",
		p.total, b.ID, start)
	if err == nil {
		_, err = t.sql.ExecContext(ctx, "UPDATE budget_periods SET alerted_bp = ? WHERE budget_id = ? AND period_start = ?",
			p.alertedBP, b.ID, start)
	}
	if err != nil {
		return fmt.Errorf("bring the total to the counters: %w", err)
	}
	return nil
}

type usageRow struct {
	ID          models.ID
	BudgetID    models.ID
	PeriodStart int64
	LockID      models.ID
	CouponID    models.ID
	UserID      string
	Step        models.BudgetStep
	RefundID    string
	Amount      int64
	CreatedAt   int64 `gorm:"autoCreateTime:false"`
}

func (*usageRow) TableName() string { return "budget_usages" }

func (r *usageRow) usage() (models.BudgetUsage, error) {
	return models.BudgetUsage{
		ID: r.ID, BudgetID: r.BudgetID, LockID: r.LockID, CouponID: r.CouponID, UserID: r.UserID,
		RefundID: r.RefundID, Step: r.Step, Amount: r.Amount, PeriodStart: periodStart(r.PeriodStart),
		At: instant(r.CreatedAt),
	}, nil
}

// BudgetUsages lists a budget's ledger, newest first.
func (s *Store) BudgetUsages(ctx context.Context, actor models.Principal, id models.ID, page models.Page) ([]models.BudgetUsage, error) {
	if _, err := ownBudget(s.orm.WithContext(ctx), actor, id); err != nil {
		return nil, err
	}
	var rows []usageRow
	if err := paged(s.orm.WithContext(ctx).Where("budget_id = ?", id), "id", page).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list budget usages: %w", err)
	}
	return convert(rows, (*usageRow).usage)
}

// budgetsOf finds the budgets of templates, each in its owner's order.
func budgetsOf(orm *gorm.DB, templates []models.ID) (map[models.ID][]models.ID, error) {
	if len(templates) == 0 {
		return nil, nil
	}
	var rows []templateBudgetRow
	err := orm.Where("template_id IN ?", templates).Order("template_id, position").Find(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("read the templates' budgets: %w", err)
	}
	of := make(map[models.ID][]models.ID, len(rows))
	for _, row := range rows {
		of[row.TemplateID] = append(of[row.TemplateID], row.BudgetID)
	}
	return of, nil
}

type templateBudgetRow struct {
	TemplateID models.ID
	BudgetID   models.ID
	Position   int
}

func (*templateBudgetRow) TableName() string { return "template_budgets" }

// takeBudgets sees that the template may count against its budgets, and stores
// that it does. A merchant's template may use the merchant's own budgets; the
// platform may give it one of its own. had are those that it has already.
func (r *templateRow) takeBudgets(t tx, actor models.Principal, had []models.ID) error {
	const field = "budget_ids"
	if len(r.BudgetIDs)+len(had) == 0 {
		return nil
	}
	f := models.NewFaults()
	models.CheckBudgetIDs(f, field, r.BudgetIDs)
	if err := f.Err(); err != nil {
		return err
	}
	var budgets []budgetRow
	if err := t.orm.Where("id IN ?", r.BudgetIDs).Find(&budgets).Error; err != nil {
		return fmt.Errorf("read the template's budgets: %w", err)
	}
	for _, id := range r.BudgetIDs {
		i := slices.IndexFunc(budgets, func(b budgetRow) bool { return b.ID == id })
		switch {
		case i < 0, !slices.Contains(had, id) && !r.mayUse(actor, budgets[i].MerchantID):
			f.Add(field, models.CodeUnknownRef, "there is no budget %s for this template's owner", id)
		case budgets[i].Kind == models.BudgetAmount && *budgets[i].Currency != r.Currency:
			f.Add(field, models.CodeCurrencyDiffer, "budget %s is in %s", id, *budgets[i].Currency)
		}
	}
	if err := f.Err(); err != nil {
		return err
	}
	return r.storeBudgets(t)
}

// mayUse reports whether the actor may let the template use what belongs to the
// given owner. What is the platform's must not hang on a merchant's.
func (r *templateRow) mayUse(actor models.Principal, owner string) bool {
	return actor.Owns(owner) && (owner == "" || owner == r.MerchantID)
}

func (r *templateRow) storeBudgets(t tx) error {
	if err := t.orm.Where("template_id = ?", r.ID).Delete(&templateBudgetRow{}).Error; err != nil {
		return fmt.Errorf("replace the template's budgets: %w", err)
	}
	if len(r.BudgetIDs) == 0 {
		return nil
	}
	rows := make([]templateBudgetRow, len(r.BudgetIDs))
	for i, id := range r.BudgetIDs {
		rows[i] = templateBudgetRow{TemplateID: r.ID, BudgetID: id, Position: i}
	}
	if err := t.orm.Create(&rows).Error; err != nil {
		return fmt.Errorf("store the template's budgets: %w", err)
	}
	return nil
}
