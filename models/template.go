package models

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// TemplateState says where a template is in its life.
//
//	draft  → active            publish
//	active ⇄ paused            pause, resume
//	draft, active, paused → ended   end; for ever
type TemplateState string

// The four states.
const (
	TemplateDraft  TemplateState = "draft"
	TemplateActive TemplateState = "active"
	TemplatePaused TemplateState = "paused"
	TemplateEnded  TemplateState = "ended"
)

// TemplateAction is a step between states.
type TemplateAction string

// The four steps.
const (
	ActionPublish TemplateAction = "publish"
	ActionPause   TemplateAction = "pause"
	ActionResume  TemplateAction = "resume"
	ActionEnd     TemplateAction = "end"
)

// Target returns the state that the step leads to.
func (a TemplateAction) Target() TemplateState {
	switch a {
	case ActionPublish, ActionResume:
		return TemplateActive
	case ActionPause:
		return TemplatePaused
	case ActionEnd:
		return TemplateEnded
	}
	return ""
}

// Leaves reports whether the step leads out of the given state.
func (a TemplateAction) Leaves(s TemplateState) bool {
	switch a {
	case ActionPublish:
		return s == TemplateDraft
	case ActionPause:
		return s == TemplateActive
	case ActionResume:
		return s == TemplatePaused
	case ActionEnd:
		return s != TemplateEnded
	}
	return false
}

// Issue says how a template's coupons reach users.
type Issue string

// The three ways.
const (
	IssueClaim        Issue = "claim"
	IssueCode         Issue = "code"
	IssueDistribution Issue = "distribution"
)

// Bounds of a template's numbers.
const (
	MaxStock        = 1_000_000_000
	MaxPerUser      = 10_000
	MaxDays         = 3650
	MaxMetadataSize = 16 << 10
)

// Template is what coupons are issued from: a rule, so many, to whom, when.
// Version counts its edits; claims do not change it.
type Template struct {
	ID          ID            `json:"id"`
	MerchantID  string        `json:"merchant_id,omitempty"`
	State       TemplateState `json:"state"`
	RuleVersion int           `json:"rule_version"`
	Version     int64         `json:"version"`
	Claimed     int64         `json:"claimed"`
	CreatedAt   time.Time     `json:"created_at"`
	UpdatedAt   time.Time     `json:"updated_at"`
	TemplateSpec

	// Epoch and StockEdits tie the gate's copy of the counters to this row: a
	// copy holds for one epoch only, and counts the stock edits it has seen.
	Epoch      int64 `json:"-"`
	StockEdits int64 `json:"-"`
}

// TemplateSpec is the part of a template that its owner writes.
type TemplateSpec struct {
	Name             string          `json:"name"`
	RuleID           ID              `json:"rule_id"`
	Currency         string          `json:"currency"`
	TimeZone         string          `json:"time_zone"`
	Stock            *int64          `json:"stock"` // nil: no limit
	PerUserLimit     int64           `json:"per_user_limit"`
	ClaimWindow      *Window         `json:"claim_window,omitempty"`
	Validity         Validity        `json:"validity"`
	Audience         Audience        `json:"audience"`
	Issue            Issue           `json:"issue"`
	BudgetIDs        []ID            `json:"budget_ids,omitempty"`
	ReturnPolicy     ReturnPolicy    `json:"return_policy"`
	RemindBeforeDays []int           `json:"remind_before_days,omitempty"`
	Metadata         json.RawMessage `json:"metadata,omitempty"`
}

// Remaining is what can still be claimed; nil without a stock.
func (t *Template) Remaining() *int64 {
	if t.Stock == nil {
		return nil
	}
	left := *t.Stock - t.Claimed
	return &left
}

// SoldOut reports whether every coupon of a limited stock is claimed.
func (t *Template) SoldOut() bool { return t.Stock != nil && t.Claimed >= *t.Stock }

// Validity says when a claimed coupon can be used: in a fixed window, or for
// so many local days from the claim on.
type Validity struct {
	From           *time.Time `json:"from,omitempty"`
	Until          *time.Time `json:"until,omitempty"`
	DaysAfterClaim *int       `json:"days_after_claim,omitempty"`
	DelayDays      int        `json:"delay_days,omitempty"`
}

// AudienceKind says who may have a template's coupons.
type AudienceKind string

// The three kinds of audience.
const (
	AudienceAll   AudienceKind = "all"
	AudienceUsers AudienceKind = "users"
	AudienceTags  AudienceKind = "tags"
)

// Audience names the users who may have a template's coupons: all, a list, or
// whoever has at least one of the tags.
type Audience struct {
	Kind    AudienceKind `json:"kind"`
	UserIDs []string     `json:"user_ids,omitempty"`
	Tags    []string     `json:"tags,omitempty"`
}

// Admits reports whether a user with these tags belongs to the audience.
func (a *Audience) Admits(userID string, tags []string) bool {
	switch a.Kind {
	case AudienceAll:
		return true
	case AudienceUsers:
		_, found := slices.BinarySearch(a.UserIDs, userID)
		return found
	case AudienceTags:
		return slices.ContainsFunc(tags, func(tag string) bool { return slices.Contains(a.Tags, tag) })
	}
	return false
}

// BelowMinimum says what a partial refund does to a coupon whose minimum the
// rest of the order no longer meets.
type BelowMinimum string

// The two ways.
const (
	BelowKeep      BelowMinimum = "keep"
	BelowRecompute BelowMinimum = "recompute"
)

// ReturnPolicy says what becomes of a coupon whose order is refunded.
type ReturnPolicy struct {
	OnCancel          bool         `json:"on_cancel"`
	ExtendExpiredDays int          `json:"extend_expired_days"`
	BelowMinimum      BelowMinimum `json:"below_minimum"`
}

// DefaultReturnPolicy is what a template has that says nothing about it.
func DefaultReturnPolicy() ReturnPolicy {
	return ReturnPolicy{OnCancel: true, BelowMinimum: BelowKeep}
}

// Normalize fills in the defaults and brings lists into the order in which
// they are searched. Call it once, before Check.
func (s *TemplateSpec) Normalize() {
	if s.TimeZone == "" {
		s.TimeZone = "UTC"
	}
	if s.Audience.Kind == "" {
		s.Audience.Kind = AudienceAll
	}
	if s.Issue == "" {
		s.Issue = IssueClaim
	}
	slices.Sort(s.Audience.UserIDs)
	for _, t := range []*time.Time{s.Validity.From, s.Validity.Until, s.windowFrom(), s.windowUntil()} {
		if t != nil {
			*t = Instant(*t)
		}
	}
}

func (s *TemplateSpec) windowFrom() *time.Time {
	if s.ClaimWindow == nil {
		return nil
	}
	return s.ClaimWindow.From
}

func (s *TemplateSpec) windowUntil() *time.Time {
	if s.ClaimWindow == nil {
		return nil
	}
	return s.ClaimWindow.Until
}

// Check notes every fault of the fields themselves; whether the rule exists
// and goes with the currency is for the store to see.
func (s *TemplateSpec) Check(f Faults) {
	CheckName(f, "name", s.Name)
	f.Require(s.RuleID != 0, "rule_id")
	CheckCurrency(f, "currency", s.Currency)
	if _, err := LoadZone(s.TimeZone); err != nil {
		f.Add("time_zone", CodeInvalid, "must be an IANA time zone such as Asia/Tokyo")
	}
	if s.Stock != nil {
		f.Between("stock", *s.Stock, 0, MaxStock)
	}
	f.Between("per_user_limit", s.PerUserLimit, 1, MaxPerUser)
	if s.ClaimWindow != nil {
		checkWindow(f.In("claim_window"), s.ClaimWindow.From, s.ClaimWindow.Until)
	}
	s.Validity.check(f.In("validity"))
	s.Audience.check(f.In("audience"))
	s.ReturnPolicy.check(f.In("return_policy"))
	s.checkIssue(f)
	s.checkReminders(f)
	s.checkMetadata(f)
}

func checkWindow(f Faults, from, until *time.Time) {
	if from != nil && until != nil && !from.Before(*until) {
		f.Add("until", CodeOutOfRange, "must be after from")
	}
	checkYear(f, "from", from)
	checkYear(f, "until", until)
}

// checkYear keeps times within what every store can hold.
func checkYear(f Faults, field string, t *time.Time) {
	if t != nil && (t.Year() < 1970 || t.Year() > 9999) {
		f.Add(field, CodeOutOfRange, "must lie in the years 1970 to 9999")
	}
}

func (v *Validity) check(f Faults) {
	fixed := v.From != nil || v.Until != nil
	switch {
	case fixed && v.DaysAfterClaim != nil:
		f.Add("days_after_claim", CodeInvalid, "excludes from and until")
	case fixed:
		f.Require(v.From != nil, "from")
		f.Require(v.Until != nil, "until")
		checkWindow(f, v.From, v.Until)
		if v.DelayDays != 0 {
			f.Add("delay_days", CodeInvalid, "goes with days_after_claim only")
		}
	case v.DaysAfterClaim == nil:
		f.Add("until", CodeRequired, "either from and until, or days_after_claim, is required")
	default:
		f.Between("days_after_claim", int64(*v.DaysAfterClaim), 0, MaxDays)
		f.Between("delay_days", int64(v.DelayDays), 0, int64(max(0, *v.DaysAfterClaim)))
	}
}

func (a *Audience) check(f Faults) {
	switch a.Kind {
	case AudienceAll:
	case AudienceUsers:
		f.Require(len(a.UserIDs) > 0, "user_ids")
	case AudienceTags:
		f.Require(len(a.Tags) > 0, "tags")
	default:
		f.Add("kind", CodeInvalid, "must be all, users or tags")
	}
	if a.Kind != AudienceUsers && len(a.UserIDs) > 0 {
		f.Add("user_ids", CodeInvalid, "goes with kind users only")
	}
	if a.Kind != AudienceTags && len(a.Tags) > 0 {
		f.Add("tags", CodeInvalid, "goes with kind tags only")
	}
	checkForeignList(f, "user_ids", a.UserIDs, MaxAudienceLen)
	checkForeignList(f, "tags", a.Tags, MaxListLen)
}

func (p *ReturnPolicy) check(f Faults) {
	f.Between("extend_expired_days", int64(p.ExtendExpiredDays), 0, MaxDays)
	if p.BelowMinimum != BelowKeep && p.BelowMinimum != BelowRecompute {
		f.Add("below_minimum", CodeInvalid, "must be keep or recompute")
	}
}

func (s *TemplateSpec) checkIssue(f Faults) {
	if s.Issue != IssueClaim && s.Issue != IssueCode && s.Issue != IssueDistribution {
		f.Add("issue", CodeInvalid, "must be claim, code or distribution")
	}
}

func (s *TemplateSpec) checkReminders(f Faults) {
	const most = 10
	if len(s.RemindBeforeDays) > most {
		f.Add("remind_before_days", CodeOutOfRange, "must have at most %d elements", most)
		return
	}
	seen := map[int]bool{}
	for i, days := range s.RemindBeforeDays {
		f.Between(fmt.Sprintf("remind_before_days[%d]", i), int64(days), 1, MaxDays)
		if seen[days] {
			f.Add("remind_before_days", CodeNotUnique, "names %d twice", days)
		}
		seen[days] = true
	}
}

func (s *TemplateSpec) checkMetadata(f Faults) {
	if len(s.Metadata) > MaxMetadataSize {
		f.Add("metadata", CodeOutOfRange, "must be at most %d bytes", MaxMetadataSize)
	}
	if len(s.Metadata) > 0 && s.Metadata[0] != '{' {
		f.Add("metadata", CodeInvalid, "must be an object")
	}
}
