package models_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func TestTemplateActions(t *testing.T) {
	t.Parallel()
	states := []models.TemplateState{models.TemplateDraft, models.TemplateActive, models.TemplatePaused, models.TemplateEnded}
	tests := map[models.TemplateAction]struct {
		target models.TemplateState
		leaves []bool // from draft, active, paused, ended
	}{
		models.ActionPublish: {models.TemplateActive, []bool{true, false, false, false}},
		models.ActionPause:   {models.TemplatePaused, []bool{false, true, false, false}},
		models.ActionResume:  {models.TemplateActive, []bool{false, false, true, false}},
		models.ActionEnd:     {models.TemplateEnded, []bool{true, true, true, false}},
		"reopen":             {"", []bool{false, false, false, false}},
	}
	for action, tc := range tests {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			if got := action.Target(); got != tc.target {
				t.Errorf("leads to %q, want %q", got, tc.target)
			}
			for i, state := range states {
				if got := action.Leaves(state); got != tc.leaves[i] {
					t.Errorf("leaves %s: %v", state, got)
				}
			}
		})
	}
}

// specInOrder is the least template that is in order.
func specInOrder() *models.TemplateSpec {
	s := &models.TemplateSpec{
		Name: "a template", RuleID: 5, Currency: "USD", PerUserLimit: 1,
		Validity: models.Validity{DaysAfterClaim: ptr(7)}, ReturnPolicy: models.DefaultReturnPolicy(),
	}
	s.Normalize()
	return s
}

type specTest struct {
	edit func(*models.TemplateSpec)
	want []fault
}

func runSpecTests(t *testing.T, tests map[string]specTest) {
	t.Helper()
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := specInOrder()
			tc.edit(s)
			wantFaults(t, faultsOf(t, s.Check), tc.want...)
		})
	}
}

// one is the fault of one field.
func one(field string, code models.Code) []fault { return []fault{{field, code}} }

func TestTemplateNumbers(t *testing.T) {
	t.Parallel()
	type spec = models.TemplateSpec
	tests := map[string]struct {
		lo, hi int64
		set    func(*spec, int64)
	}{
		"stock":                             {0, models.MaxStock, func(s *spec, n int64) { s.Stock = &n }},
		"per_user_limit":                    {1, models.MaxPerUser, func(s *spec, n int64) { s.PerUserLimit = n }},
		"validity.days_after_claim":         {0, models.MaxDays, func(s *spec, n int64) { s.Validity.DaysAfterClaim = ptr(int(n)) }},
		"validity.delay_days":               {0, 7, func(s *spec, n int64) { s.Validity.DelayDays = int(n) }},
		"return_policy.extend_expired_days": {0, models.MaxDays, func(s *spec, n int64) { s.ReturnPolicy.ExtendExpiredDays = int(n) }},
		"remind_before_days[0]":             {1, models.MaxDays, func(s *spec, n int64) { s.RemindBeforeDays = []int{int(n)} }},
	}
	for field, tc := range tests {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			for n, ok := range map[int64]bool{tc.lo - 1: false, tc.lo: true, tc.hi: true, tc.hi + 1: false, -1 << 40: false, 1 << 40: false} {
				s := specInOrder()
				tc.set(s, n)
				if got := faultsOf(t, s.Check); ok {
					wantFaults(t, got)
				} else {
					wantFaults(t, got, fault{field, models.CodeOutOfRange})
				}
			}
		})
	}
}

func TestTemplateFields(t *testing.T) {
	t.Parallel()
	type spec = models.TemplateSpec
	runSpecTests(t, map[string]specTest{
		"in order":             {func(*spec) {}, nil},
		"no stock limit":       {func(s *spec) { s.Stock = nil }, nil},
		"no name":              {func(s *spec) { s.Name = " " }, one("name", models.CodeRequired)},
		"a name too long":      {func(s *spec) { s.Name = strings.Repeat("券", 201) }, one("name", models.CodeOutOfRange)},
		"no rule":              {func(s *spec) { s.RuleID = 0 }, one("rule_id", models.CodeRequired)},
		"no currency":          {func(s *spec) { s.Currency = "" }, one("currency", models.CodeRequired)},
		"no such currency":     {func(s *spec) { s.Currency = "usd" }, one("currency", models.CodeInvalid)},
		"a time zone":          {func(s *spec) { s.TimeZone = "Asia/Tokyo" }, nil},
		"no such time zone":    {func(s *spec) { s.TimeZone = "Asia/Edo" }, one("time_zone", models.CodeInvalid)},
		"the machine's zone":   {func(s *spec) { s.TimeZone = "Local" }, one("time_zone", models.CodeInvalid)},
		"by code":              {func(s *spec) { s.Issue = models.IssueCode }, nil},
		"by distribution":      {func(s *spec) { s.Issue = models.IssueDistribution }, nil},
		"by no such way":       {func(s *spec) { s.Issue = "post" }, one("issue", models.CodeInvalid)},
		"recompute":            {func(s *spec) { s.ReturnPolicy = models.ReturnPolicy{BelowMinimum: models.BelowRecompute} }, nil},
		"below without a word": {func(s *spec) { s.ReturnPolicy.BelowMinimum = "" }, one("return_policy.below_minimum", models.CodeInvalid)},
		"below in other words": {func(s *spec) { s.ReturnPolicy.BelowMinimum = "drop" }, one("return_policy.below_minimum", models.CodeInvalid)},
	})
}

func TestTemplateReminders(t *testing.T) {
	t.Parallel()
	type spec = models.TemplateSpec
	remind := func(days ...int) func(*spec) { return func(s *spec) { s.RemindBeforeDays = days } }
	runSpecTests(t, map[string]specTest{
		"as the contract has it": {remind(3, 1), nil},
		"ten":                    {remind(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), nil},
		"eleven":                 {remind(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), one("remind_before_days", models.CodeOutOfRange)},
		"eleven that are wrong":  {remind(make([]int, 11)...), one("remind_before_days", models.CodeOutOfRange)},
		"a day twice":            {remind(3, 1, 3), one("remind_before_days", models.CodeNotUnique)},
		"the second is wrong":    {remind(3, 0), one("remind_before_days[1]", models.CodeOutOfRange)},
	})
}

func TestTemplateMetadata(t *testing.T) {
	t.Parallel()
	of := func(size int) json.RawMessage {
		return json.RawMessage(`{"a":"` + strings.Repeat("x", size-len(`{"a":""}`)) + `"}`)
	}
	type spec = models.TemplateSpec
	metadata := func(m json.RawMessage) func(*spec) { return func(s *spec) { s.Metadata = m } }
	runSpecTests(t, map[string]specTest{
		"an object":       {metadata(json.RawMessage(`{"a":1}`)), nil},
		"an empty object": {metadata(json.RawMessage(`{}`)), nil},
		"a list":          {metadata(json.RawMessage(`[1]`)), one("metadata", models.CodeInvalid)},
		"a string":        {metadata(json.RawMessage(`"{}"`)), one("metadata", models.CodeInvalid)},
		"null":            {metadata(json.RawMessage(`null`)), one("metadata", models.CodeInvalid)},
		"16 KiB":          {metadata(of(16 << 10)), nil},
		"a byte more":     {metadata(of(16<<10 + 1)), one("metadata", models.CodeOutOfRange)},
	})
}

func TestTemplateWindows(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { return ptr(from.Add(d)) }
	year := func(y int) *time.Time { return ptr(time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)) }
	ends := map[string]struct {
		from, until *time.Time
		want        []fault // below the window's name
	}{
		"a millisecond long": {at(0), at(time.Millisecond), nil},
		"empty":              {at(0), at(0), one("until", models.CodeOutOfRange)},
		"the wrong way":      {at(time.Millisecond), at(0), one("until", models.CodeOutOfRange)},
		"as early as can be": {year(1970), at(0), nil},
		"too early":          {ptr(year(1970).Add(-1)), at(0), one("from", models.CodeOutOfRange)},
		"as late as can be":  {at(0), ptr(year(10000).Add(-time.Millisecond)), nil},
		"too late":           {at(0), year(10000), one("until", models.CodeOutOfRange)},
		"all of it wrong": {year(10000), year(1969), []fault{
			{"until", models.CodeOutOfRange}, {"from", models.CodeOutOfRange}, {"until", models.CodeOutOfRange},
		}},
	}
	tests := map[string]specTest{}
	for name, tc := range ends {
		tests["claim_window, "+name] = specTest{
			func(s *models.TemplateSpec) { s.ClaimWindow = &models.Window{From: tc.from, Until: tc.until} },
			below("claim_window", tc.want),
		}
		tests["validity, "+name] = specTest{
			func(s *models.TemplateSpec) { s.Validity = models.Validity{From: tc.from, Until: tc.until} },
			below("validity", tc.want),
		}
	}
	tests["claim_window, no start"] = specTest{func(s *models.TemplateSpec) { s.ClaimWindow = &models.Window{Until: at(0)} }, nil}
	tests["claim_window, no end"] = specTest{func(s *models.TemplateSpec) { s.ClaimWindow = &models.Window{From: at(0)} }, nil}
	tests["claim_window, open"] = specTest{func(s *models.TemplateSpec) { s.ClaimWindow = &models.Window{} }, nil}
	runSpecTests(t, tests)
}

// below puts the faults of a part under its name.
func below(name string, faults []fault) []fault {
	var out []fault
	for _, f := range faults {
		out = append(out, fault{name + "." + f.Field, f.Code})
	}
	return out
}

func TestTemplateValidity(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	until := from.AddDate(0, 0, 1)
	type validity = models.Validity
	tests := map[string]struct {
		validity validity
		want     []fault
	}{
		"a window":              {validity{From: &from, Until: &until}, nil},
		"today":                 {validity{DaysAfterClaim: ptr(0)}, nil},
		"from the last day on":  {validity{DaysAfterClaim: ptr(3), DelayDays: 3}, nil},
		"from the day after on": {validity{DaysAfterClaim: ptr(3), DelayDays: 4}, one("validity.delay_days", models.CodeOutOfRange)},
		"today, from tomorrow":  {validity{DaysAfterClaim: ptr(0), DelayDays: 1}, one("validity.delay_days", models.CodeOutOfRange)},
		"until yesterday":       {validity{DaysAfterClaim: ptr(-1)}, one("validity.days_after_claim", models.CodeOutOfRange)},
		"neither":               {validity{}, one("validity.until", models.CodeRequired)},
		"a delay of nothing":    {validity{DelayDays: 1}, one("validity.until", models.CodeRequired)},
		"no end":                {validity{From: &from}, one("validity.until", models.CodeRequired)},
		"no start":              {validity{Until: &until}, one("validity.from", models.CodeRequired)},
		"both":                  {validity{From: &from, Until: &until, DaysAfterClaim: ptr(1)}, one("validity.days_after_claim", models.CodeInvalid)},
		"half and half":         {validity{Until: &until, DaysAfterClaim: ptr(1)}, one("validity.days_after_claim", models.CodeInvalid)},
		"a window with a delay": {validity{From: &from, Until: &until, DelayDays: 1}, one("validity.delay_days", models.CodeInvalid)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := specInOrder()
			s.Validity = tc.validity
			wantFaults(t, faultsOf(t, s.Check), tc.want...)
		})
	}
}

func TestTemplateAudience(t *testing.T) {
	t.Parallel()
	users, tags := models.AudienceUsers, models.AudienceTags
	tests := map[string]struct {
		audience models.Audience
		want     []fault
	}{
		"all":                   {models.Audience{Kind: models.AudienceAll}, nil},
		"users":                 {models.Audience{Kind: users, UserIDs: []string{"u1", "u2"}}, nil},
		"tags":                  {models.Audience{Kind: tags, Tags: []string{"vip"}}, nil},
		"no kind":               {models.Audience{}, one("audience.kind", models.CodeInvalid)},
		"no such kind":          {models.Audience{Kind: "some"}, one("audience.kind", models.CodeInvalid)},
		"no users":              {models.Audience{Kind: users}, one("audience.user_ids", models.CodeRequired)},
		"no tags":               {models.Audience{Kind: tags, Tags: []string{}}, one("audience.tags", models.CodeRequired)},
		"all, and users":        {models.Audience{Kind: models.AudienceAll, UserIDs: []string{"u1"}}, one("audience.user_ids", models.CodeInvalid)},
		"all, and tags":         {models.Audience{Kind: models.AudienceAll, Tags: []string{"vip"}}, one("audience.tags", models.CodeInvalid)},
		"users, and tags":       {models.Audience{Kind: users, UserIDs: []string{"u1"}, Tags: []string{"vip"}}, one("audience.tags", models.CodeInvalid)},
		"tags, and users":       {models.Audience{Kind: tags, UserIDs: []string{"u1"}, Tags: []string{"vip"}}, one("audience.user_ids", models.CodeInvalid)},
		"a user twice":          {models.Audience{Kind: users, UserIDs: []string{"u1", "u1"}}, one("audience.user_ids", models.CodeNotUnique)},
		"a user of no name":     {models.Audience{Kind: users, UserIDs: []string{"u1", ""}}, one("audience.user_ids[1]", models.CodeRequired)},
		"a tag with a space":    {models.Audience{Kind: tags, Tags: []string{"vip "}}, one("audience.tags[0]", models.CodeInvalid)},
		"10,000 users":          {models.Audience{Kind: users, UserIDs: names(10_000)}, nil},
		"10,001 users":          {models.Audience{Kind: users, UserIDs: names(10_001)}, one("audience.user_ids", models.CodeOutOfRange)},
		"1000 tags":             {models.Audience{Kind: tags, Tags: names(1000)}, nil},
		"1001 tags":             {models.Audience{Kind: tags, Tags: names(1001)}, one("audience.tags", models.CodeOutOfRange)},
		"the other kind's list": {models.Audience{Kind: users, Tags: []string{"vip"}}, []fault{{"audience.user_ids", models.CodeRequired}, {"audience.tags", models.CodeInvalid}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := specInOrder()
			s.Audience = tc.audience
			wantFaults(t, faultsOf(t, s.Check), tc.want...)
		})
	}
}

// TestTemplateSaysAllThatIsWrong checks the zero value, always in one order.
func TestTemplateSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	var s models.TemplateSpec
	want := []fault{
		{"name", models.CodeRequired},
		{"rule_id", models.CodeRequired},
		{"currency", models.CodeRequired},
		{"time_zone", models.CodeInvalid},
		{"per_user_limit", models.CodeOutOfRange},
		{"validity.until", models.CodeRequired},
		{"audience.kind", models.CodeInvalid},
		{"return_policy.below_minimum", models.CodeInvalid},
		{"issue", models.CodeInvalid},
	}
	for range 10 {
		wantFaults(t, faultsOf(t, s.Check), want...)
	}
}

func TestNormalizeFillsIn(t *testing.T) {
	t.Parallel()
	var s models.TemplateSpec
	s.Normalize()
	want := models.TemplateSpec{TimeZone: "UTC", Audience: models.Audience{Kind: "all"}, Issue: "claim"}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNormalizeKeepsWhatIsSaid(t *testing.T) {
	t.Parallel()
	tokyo := time.FixedZone("", 9*60*60)
	late := time.Date(2026, 11, 27, 18, 0, 0, 999_999_999, tokyo)
	utc := time.Date(2026, 11, 27, 9, 0, 0, 999_000_000, time.UTC)
	spec := func(at time.Time, users ...string) models.TemplateSpec {
		return models.TemplateSpec{
			TimeZone: "Asia/Tokyo", Issue: models.IssueCode, RemindBeforeDays: []int{1, 3},
			Audience:    models.Audience{Kind: models.AudienceUsers, UserIDs: users},
			ClaimWindow: &models.Window{From: ptr(at), Until: ptr(at.Add(time.Hour))},
			Validity:    models.Validity{From: ptr(at.Add(2 * time.Hour)), Until: ptr(at.Add(3 * time.Hour))},
		}
	}
	got := spec(late, "b", "a", "B", "é", "10", "9")
	want := spec(utc, "10", "9", "B", "a", "b", "é") // in byte order
	for range 2 {                                    // the second time there is nothing to do
		got.Normalize()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if text := fmt.Sprint(got.ClaimWindow.From); !strings.HasSuffix(text, "UTC") {
		t.Errorf("the start of the window is %s, not in UTC", text)
	}
}

// TestNormalizeThenCheck has a window that is empty once it is cut to the
// precision in which it is kept.
func TestNormalizeThenCheck(t *testing.T) {
	t.Parallel()
	s := specInOrder()
	from := time.Date(2026, 11, 27, 9, 0, 0, 100, time.UTC)
	s.ClaimWindow = &models.Window{From: &from, Until: ptr(from.Add(500 * time.Microsecond))}
	s.Normalize()
	wantFaults(t, faultsOf(t, s.Check), fault{"claim_window.until", models.CodeOutOfRange})
}

func TestDefaultReturnPolicy(t *testing.T) {
	t.Parallel()
	want := models.ReturnPolicy{OnCancel: true, ExtendExpiredDays: 0, BelowMinimum: "keep"}
	if got := models.DefaultReturnPolicy(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
