package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"

	"scrip/models"
)

// ledger is some budgets as one transaction finds and moves them. Where it
// writes, the rows of budgets are locked, and with them their counters.
type ledger struct {
	budgets map[models.ID]*budget
	entries []entry
}

// budget is a budget with the counters that were asked for.
type budget struct {
	budgetRow
	zone    *time.Location
	periods map[int64]*period
}

// period is the counters of one budget in one period.
type period struct {
	counter
	total     *int64 // nil: not limited
	alertedBP int
	users     map[string]*counter
}

// counter is one row's numbers, as they are and as they were read.
type counter struct {
	used, held       int64
	wasUsed, wasHeld int64
	stored           bool
}

// entry is one row of the ledger.
type entry struct {
	budget, lock, coupon models.ID
	user, refund         string
	step                 models.BudgetStep
	amount               int64
	period               int64 // its start in milliseconds; 0 without periods
	at                   time.Time
}

// place names counters: those of a budget's period, and of a user's part in it
// unless user is empty.
type place struct {
	budget models.ID
	period int64
	user   string
}

const budgetColumns = "id, merchant_id, name, kind, currency, is_limited, total, period, per_user_total, time_zone, alert_at_bp"

// openLedger reads budgets, without their counters. With lock it locks their
// rows, in id order, until the end of the transaction q.
func (s *Store) openLedger(ctx context.Context, q querier, ids []models.ID, lock bool) (*ledger, error) {
	l := &ledger{budgets: make(map[models.ID]*budget, len(ids))}
	ids = unique(ids)
	if len(ids) == 0 {
		return l, nil
	}
	forUpdate := ""
	if lock {
		forUpdate = s.dialect.forUpdate
	}
	err := query(ctx, q, "SELECT "+budgetColumns+" FROM budgets"+s.dialect.force("PRIMARY")+
		" WHERE id IN ("+marks(len(ids))+") ORDER BY id"+forUpdate, anys(ids),
		func(scan func(...any) error) error {
			var row budgetRow
			var alerts []byte
			err := scan(&row.ID, &row.MerchantID, &row.Name, &row.Kind, &row.Currency, &row.IsLimited, &row.Total,
				&row.Period, &row.PerUserTotal, &row.TimeZone, &alerts)
			if err != nil {
				return err
			}
			if err := json.Unmarshal(alerts, &row.AlertAtBP); err != nil {
				return err
			}
			return l.add(s, row)
		})
	if err != nil {
		return nil, fmt.Errorf("read budgets: %w", err)
	}
	return l, nil
}

func (l *ledger) add(s *Store, row budgetRow) error {
	zone, err := s.zone(row.TimeZone)
	if err != nil {
		return fmt.Errorf("budget %s: %w", row.ID, err)
	}
	l.budgets[row.ID] = &budget{budgetRow: row, zone: zone, periods: map[int64]*period{}}
	return nil
}

// zone loads a time zone once: its file is read and parsed each time otherwise.
func (s *Store) zone(name string) (*time.Location, error) {
	if known, ok := s.zones.Load(name); ok {
		return known.(*time.Location), nil //nolint:forcetypeassert // nothing else is stored in it
	}
	zone, err := models.LoadZone(name)
	if err == nil {
		s.zones.Store(name, zone)
	}
	return zone, err
}

// start is the period that t lies in; 0 without periods.
func (b *budget) start(t time.Time) int64 {
	start := b.spec().PeriodStartIn(b.zone, t)
	if start.IsZero() {
		return 0
	}
	return millis(start)
}

// at returns a period's counters; those that were not found are all zero.
func (b *budget) at(start int64) *period {
	p := b.periods[start]
	if p == nil {
		p = &period{users: map[string]*counter{}}
		if b.IsLimited {
			p.total = &b.Total
		}
		b.periods[start] = p
	}
	return p
}

func (p *period) user(id string) *counter {
	c := p.users[id]
	if c == nil {
		c = &counter{}
		p.users[id] = c
	}
	return c
}

// read reads counters.
func (l *ledger) read(ctx context.Context, q querier, places []place) error {
	users := map[place][]any{} // by place without user
	for _, at := range places {
		whole := place{budget: at.budget, period: at.period}
		if at.user != "" {
			users[whole] = append(users[whole], at.user)
		} else if users[whole] == nil {
			users[whole] = []any{}
		}
	}
	if len(users) == 0 {
		return nil
	}
	if err := l.readPeriods(ctx, q, users); err != nil {
		return fmt.Errorf("read budget counters: %w", err)
	}
	if err := l.readUsers(ctx, q, users); err != nil {
		return fmt.Errorf("read users' parts of budgets: %w", err)
	}
	return nil
}

func (l *ledger) readPeriods(ctx context.Context, q querier, users map[place][]any) error {
	var args []any
	for at := range users {
		args = append(args, at.budget, at.period)
	}
	// Spelt out with OR: so every server finds the rows by their key.
	either := strings.Repeat(" OR budget_id = ? AND period_start = ?", len(users))[len(" OR "):]
	return query(ctx, q, "SELECT budget_id, period_start, used, held, total, alerted_bp FROM budget_periods WHERE "+either, args,
		func(scan func(...any) error) error {
			var at place
			found := period{users: map[string]*counter{}}
			if err := scan(&at.budget, &at.period, &found.used, &found.held, &found.total, &found.alertedBP); err != nil {
				return err
			}
			found.settle()
			l.budgets[at.budget].periods[at.period] = &found
			return nil
		})
}

func (l *ledger) readUsers(ctx context.Context, q querier, users map[place][]any) error {
	var either []string
	var args []any
	for at, names := range users {
		if len(names) > 0 {
			either = append(either, "budget_id = ? AND period_start = ? AND user_id IN ("+marks(len(names))+")")
			args = append(append(args, at.budget, at.period), names...)
		}
	}
	if len(either) == 0 {
		return nil
	}
	return query(ctx, q, "SELECT budget_id, period_start, user_id, used, held FROM budget_users WHERE "+
		strings.Join(either, " OR "), args,
		func(scan func(...any) error) error {
			var at place
			var found counter
			if err := scan(&at.budget, &at.period, &at.user, &found.used, &found.held); err != nil {
				return err
			}
			found.settle()
			l.budgets[at.budget].at(at.period).users[at.user] = &found
			return nil
		})
}

// settle takes the numbers for those that are stored.
func (c *counter) settle() { c.wasUsed, c.wasHeld, c.stored = c.used, c.held, true }

func (c *counter) moved() bool { return c.used != c.wasUsed || c.held != c.wasHeld }

func (c *counter) apply(step models.BudgetStep, amount int64) {
	switch step {
	case models.StepHold:
		c.held += amount
	case models.StepUse:
		c.held, c.used = c.held-amount, c.used+amount
	case models.StepRelease:
		c.held -= amount
	case models.StepReturn:
		c.used -= amount
	}
}

// left is what a user may still take of the budget in a period, and whether
// anything limits it. Even what is only tracked must not count past int64.
func (b *budget) left(start int64, user string) (left int64, limited bool) {
	p := b.at(start)
	left = math.MaxInt64 - p.used - p.held
	if p.total != nil {
		left, limited = *p.total-p.used-p.held, true
	}
	if b.PerUserTotal != nil {
		part := p.user(user)
		left, limited = min(left, *b.PerUserTotal-part.used-part.held), true
	}
	return max(0, left), limited
}

// view is the budget as one user's coupon meets it at the given time.
func (l *ledger) view(id models.ID, user string, at time.Time) (models.BudgetView, bool) {
	b := l.budgets[id]
	if b == nil {
		return models.BudgetView{}, false
	}
	left, limited := b.left(b.start(at), user)
	return models.BudgetView{ID: id, Kind: b.Kind, Limited: limited, Left: left}, true
}

// exhausted reports whether a limited budget is used up at the given time.
func (l *ledger) exhausted(id models.ID, at time.Time) bool {
	b := l.budgets[id]
	if b == nil {
		return false
	}
	p := b.at(b.start(at))
	return p.total != nil && p.used >= *p.total
}

// hold puts all entries on hold, or none if one of them does not fit.
func (l *ledger) hold(entries []entry) bool {
	for i, e := range entries {
		if left, _ := l.budgets[e.budget].left(e.period, e.user); e.amount > left {
			for _, done := range entries[:i] {
				l.move(done, models.StepRelease)
			}
			return false
		}
		l.move(e, models.StepHold)
	}
	l.entries = append(l.entries, entries...)
	return true
}

// post adds an entry that cannot fail to fit: a step away from a hold.
func (l *ledger) post(e entry) {
	l.move(e, e.step)
	l.entries = append(l.entries, e)
}

func (l *ledger) move(e entry, step models.BudgetStep) {
	p := l.budgets[e.budget].at(e.period)
	p.apply(step, e.amount)
	p.user(e.user).apply(step, e.amount)
}

// write stores the new entries and every counter that they moved.
func (l *ledger) write(ctx context.Context, s *Store, t tx) error {
	if len(l.entries) == 0 {
		return nil
	}
	if err := l.writeEntries(ctx, s, t); err != nil {
		return err
	}
	now := l.entries[len(l.entries)-1].at
	for _, id := range slices.Sorted(maps.Keys(l.budgets)) {
		b := l.budgets[id]
		for _, start := range slices.Sorted(maps.Keys(b.periods)) {
			if err := b.writePeriod(ctx, s, t, start, now); err != nil {
				return err
			}
		}
	}
	return l.writeUsers(ctx, s, t)
}

func (l *ledger) writeEntries(ctx context.Context, s *Store, t tx) error {
	const columns = 10
	args := make([]any, 0, columns*len(l.entries))
	for _, e := range l.entries {
		id, err := s.ids.Next()
		if err != nil {
			return err
		}
		args = append(args, id, e.budget, e.period, e.lock, e.coupon, e.user, e.step, e.refund, e.amount, millis(e.at))
	}
	return insert(ctx, t, "budget_usages (id, budget_id, period_start, lock_id, coupon_id, user_id, step, refund_id, "+
		"amount, created_at)", columns, args, "")
}

// writePeriod moves one period's counters, guarded by their old values: should
// the budget's row not have been locked after all, nothing is done.
func (b *budget) writePeriod(ctx context.Context, s *Store, t tx, start int64, now time.Time) error {
	p := b.periods[start]
	if !p.moved() {
		return nil
	}
	if p.used+p.held > p.wasUsed+p.wasHeld {
		if err := b.alert(ctx, s, t, start, now); err != nil {
			return err
		}
	}
	if !p.stored {
		return insert(ctx, t, "budget_periods (budget_id, period_start, used, held, total, alerted_bp)", 6,
			[]any{b.ID, start, p.used, p.held, p.total, p.alertedBP}, "")
	}
	err := update(ctx, t, 1, `UPDATE budget_periods SET used = ?, held = ?, alerted_bp = ?
		WHERE budget_id = ? AND period_start = ? AND used = ? AND held = ? AND (total IS NULL OR total >= ?)`,
		p.used, p.held, p.alertedBP, b.ID, start, p.wasUsed, p.wasHeld, p.used+p.held)
	if err != nil {
		return fmt.Errorf("move counters of budget %s: %w", b.ID, err)
	}
	return nil
}

func (l *ledger) writeUsers(ctx context.Context, s *Store, t tx) error {
	var args []any
	for _, id := range slices.Sorted(maps.Keys(l.budgets)) {
		for start, p := range l.budgets[id].periods {
			for _, user := range slices.Sorted(maps.Keys(p.users)) {
				if c := p.users[user]; c.moved() {
					args = append(args, id, start, user, c.used, c.held)
				}
			}
		}
	}
	return insert(ctx, t, "budget_users (budget_id, period_start, user_id, used, held)", 5, args,
		s.dialect.overwrite("budget_id, period_start, user_id", "used", "held"))
}

// alert tells of each threshold that a period reached for the first time.
func (b *budget) alert(ctx context.Context, s *Store, t tx, start int64, now time.Time) error {
	p, spec := b.periods[start], b.spec()
	for _, bp := range slices.SortedFunc(slices.Values(b.AlertAtBP), cmp.Compare[int]) {
		if bp <= p.alertedBP || !reaches(p.used+p.held, bp, b.Total) {
			continue
		}
		p.alertedBP = bp
		event := models.BudgetAlert{
			BudgetID: b.ID, Name: b.Name, Kind: b.Kind, Currency: spec.Currency, AlertAtBP: bp,
			Total: b.Total, Used: p.used, Held: p.held, ReachedAt: models.Stamp(now),
		}
		if start != 0 {
			event.PeriodStart = new(models.Stamp(instant(start)))
		}
		if err := s.tell(ctx, t, models.EventBudgetAlert, b.MerchantID, event, now); err != nil {
			return err
		}
	}
	return nil
}

// reaches reports whether n ≥ bp of the total, in 128 bits. Of nothing no part
// is reached.
func reaches(n int64, bp int, total int64) bool {
	if total <= 0 {
		return false
	}
	nHi, nLo := bits.Mul64(uint64(n), models.MaxBP) //nolint:gosec // counters are not negative
	wantHi, wantLo := bits.Mul64(uint64(total), uint64(max(0, bp)))
	return nHi > wantHi || nHi == wantHi && nLo >= wantLo
}

// periodStart is a stored start as the domain has it: nil without periods.
func periodStart(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	return new(instant(ms))
}
