package models

import (
	"slices"
	"time"
)

// Period says how often a budget begins anew, in its time zone.
type Period string

// The four periods. A week begins on Monday.
const (
	PeriodNone  Period = "none"
	PeriodDay   Period = "day"
	PeriodWeek  Period = "week"
	PeriodMonth Period = "month"
)

// Budget bounds, or only tracks, what coupons give away. Used and Held are of
// the period that the time of the question lies in; Used + Held ≤ Total always,
// when limited.
type Budget struct {
	ID         ID        `json:"id"`
	MerchantID string    `json:"merchant_id,omitempty"`
	Version    int64     `json:"version"`
	Used       int64     `json:"used"`
	Held       int64     `json:"held"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	BudgetSpec
}

// BudgetSpec is the part of a budget that its owner writes. An amount budget
// counts the discount given, shipping included, in minor units of Currency; a
// count budget (quota) counts applications and has no currency.
type BudgetSpec struct {
	Name         string     `json:"name"`
	Kind         BudgetKind `json:"kind"`
	Currency     string     `json:"currency,omitempty"`
	IsLimited    bool       `json:"is_limited"`
	Total        int64      `json:"total"`
	Period       Period     `json:"period"`
	PerUserTotal *int64     `json:"per_user_total,omitempty"` // nil: no limit of one user's part
	TimeZone     string     `json:"time_zone"`
	AlertAtBP    []int      `json:"alert_at_bp"` // of Total, in basis points
}

// Remaining is what can still be held; nil when the budget is only tracked.
func (b *Budget) Remaining() *int64 {
	if !b.IsLimited {
		return nil
	}
	left := b.Total - b.Used - b.Held
	return &left
}

// MaxTemplateBudgets bounds how many budgets one template counts against.
const MaxTemplateBudgets = 10

// DefaultBudgetSpec is what a budget has that says nothing about it.
func DefaultBudgetSpec() BudgetSpec {
	return BudgetSpec{IsLimited: true, Period: PeriodNone, TimeZone: "UTC", AlertAtBP: []int{8_000, 10_000}}
}

// Normalize fills in the defaults, but for IsLimited, whose absence it cannot
// see, and sorts the alerts. Call it once, before Check.
func (s *BudgetSpec) Normalize() {
	defaults := DefaultBudgetSpec()
	if s.Period == "" {
		s.Period = defaults.Period
	}
	if s.TimeZone == "" {
		s.TimeZone = defaults.TimeZone
	}
	if s.AlertAtBP == nil {
		s.AlertAtBP = defaults.AlertAtBP
	}
	slices.Sort(s.AlertAtBP)
}

// Check notes every fault of the fields themselves.
func (s *BudgetSpec) Check(f Faults) {
	CheckName(f, "name", s.Name)
	s.checkKind(f)
	f.Between("total", s.Total, 0, MaxAmount)
	switch s.Period {
	case PeriodNone, PeriodDay, PeriodWeek, PeriodMonth:
	default:
		f.Add("period", CodeInvalid, "must be none, day, week or month")
	}
	if s.PerUserTotal != nil {
		f.Between("per_user_total", *s.PerUserTotal, 1, MaxAmount)
	}
	if _, err := LoadZone(s.TimeZone); err != nil {
		f.Add("time_zone", CodeInvalid, "must be an IANA time zone such as Asia/Tokyo")
	}
	s.checkAlerts(f)
}

func (s *BudgetSpec) checkKind(f Faults) {
	switch s.Kind {
	case BudgetAmount:
		CheckCurrency(f, "currency", s.Currency)
	case BudgetCount:
		if s.Currency != "" {
			f.Add("currency", CodeInvalid, "goes with kind amount only")
		}
	case "":
		f.Require(false, "kind")
	default:
		f.Add("kind", CodeInvalid, "must be amount or count")
	}
}

func (s *BudgetSpec) checkAlerts(f Faults) {
	const most = 20
	if len(s.AlertAtBP) > most {
		f.Add("alert_at_bp", CodeOutOfRange, "must have at most %d elements", most)
		return
	}
	for i, bp := range s.AlertAtBP {
		f.Between("alert_at_bp", int64(bp), 1, MaxBP)
		if i > 0 && bp == s.AlertAtBP[i-1] {
			f.Add("alert_at_bp", CodeNotUnique, "names %d twice", bp)
		}
	}
}

// CheckChange notes every field that differs and must not: what a budget
// counted so far was counted by these.
func (s *BudgetSpec) CheckChange(f Faults, before *BudgetSpec) {
	for _, field := range []struct {
		name string
		same bool
	}{
		{"kind", s.Kind == before.Kind},
		{"currency", s.Currency == before.Currency},
		{"period", s.Period == before.Period},
		{"time_zone", s.TimeZone == before.TimeZone},
	} {
		if !field.same {
			f.Add(field.name, CodeInvalid, "cannot be changed: make another budget")
		}
	}
}

// CheckBudgetIDs notes a list of budgets that is too long or names one twice.
func CheckBudgetIDs(f Faults, field string, ids []ID) {
	if len(ids) > MaxTemplateBudgets {
		f.Add(field, CodeOutOfRange, "must have at most %d elements", MaxTemplateBudgets)
		return
	}
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			f.Add(field, CodeNotUnique, "names %s twice", id)
		}
	}
}

// PeriodStart is the first instant of the period that t lies in; the zero time
// for a budget without periods.
func (s *BudgetSpec) PeriodStart(t time.Time) (time.Time, error) {
	if s.Period == PeriodNone {
		return time.Time{}, nil
	}
	zone, err := LoadZone(s.TimeZone)
	if err != nil {
		return time.Time{}, err
	}
	return s.PeriodStartIn(zone, t), nil
}

// PeriodStartIn is PeriodStart for a caller that has the budget's zone at hand.
func (s *BudgetSpec) PeriodStartIn(zone *time.Location, t time.Time) time.Time {
	local := t.In(zone)
	back := 0 // days since the period began
	switch s.Period {
	case PeriodNone:
		return time.Time{}
	case PeriodWeek:
		back = (int(local.Weekday()) + 6) % 7
	case PeriodMonth:
		back = local.Day() - 1
	case PeriodDay:
	}
	return FirstInstant(t, zone, -back)
}

// BudgetStep is what an entry of a budget's ledger did.
type BudgetStep string

// The four steps: a lock holds; confirm uses what is held; cancel and expiry
// release it; a refund returns what was used.
const (
	StepHold    BudgetStep = "hold"
	StepUse     BudgetStep = "use"
	StepRelease BudgetStep = "release"
	StepReturn  BudgetStep = "return"
)

// BudgetUsage is one entry of a budget's ledger. The ledger is only added to;
// its sums are the budget's counters.
type BudgetUsage struct {
	ID          ID         `json:"id"`
	BudgetID    ID         `json:"budget_id"`
	LockID      ID         `json:"lock_id"`
	CouponID    ID         `json:"coupon_id"`
	UserID      string     `json:"user_id"`
	RefundID    string     `json:"refund_id,omitempty"` // of StepReturn
	Step        BudgetStep `json:"step"`
	Amount      int64      `json:"amount"`       // > 0: minor units, or applications
	PeriodStart *time.Time `json:"period_start"` // nil without periods
	At          time.Time  `json:"at"`
}
