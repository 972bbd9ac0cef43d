package models_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"scrip/models"
)

// claimTimes are what a template on sale is judged by.
type claimTimes struct{ from, until, expires time.Time }

func newClaimTimes() claimTimes {
	from := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	return claimTimes{from: from, until: from.Add(9 * time.Hour), expires: from.Add(72 * time.Hour)}
}

// onSale is a template that admits everybody from from on until until.
func (c claimTimes) onSale() models.Template {
	return models.Template{
		State: models.TemplateActive,
		TemplateSpec: models.TemplateSpec{
			PerUserLimit: 1,
			ClaimWindow:  &models.Window{From: &c.from, Until: &c.until},
			Validity:     models.Validity{From: &c.from, Until: &c.expires},
			Audience:     models.Audience{Kind: models.AudienceAll},
			Issue:        models.IssueClaim,
		},
	}
}

func refusalOf(refusal *models.Error) models.Code {
	if refusal == nil {
		return ""
	}
	return refusal.Code
}

func TestAdmitInTime(t *testing.T) {
	t.Parallel()
	c := newClaimTimes()
	const ms = time.Millisecond
	early, late := c.from.Add(-ms), c.until
	noWindow := func(t *models.Template) { t.ClaimWindow = nil }
	state := func(s models.TemplateState) func(*models.Template) {
		return func(t *models.Template) { t.State = s }
	}
	tests := map[string]struct {
		edit func(*models.Template)
		at   time.Time
		want models.Code
	}{
		"a millisecond early":       {nil, early, models.CodeNotStarted},
		"at the start":              {nil, c.from, ""},
		"a millisecond in":          {nil, c.from.Add(ms), ""},
		"a millisecond to go":       {nil, c.until.Add(-ms), ""},
		"at the end":                {nil, c.until, models.CodeEnded},
		"a millisecond late":        {nil, c.until.Add(ms), models.CodeEnded},
		"no window, early":          {noWindow, early, ""},
		"no window, late":           {noWindow, late, ""},
		"no window, last moment":    {noWindow, c.expires.Add(-ms), ""},
		"no window, expired":        {noWindow, c.expires, models.CodeEnded},
		"draft":                     {state(models.TemplateDraft), c.from, models.CodeNotStarted},
		"draft, early":              {state(models.TemplateDraft), early, models.CodeNotStarted},
		"draft, late":               {state(models.TemplateDraft), late, models.CodeEnded},
		"paused":                    {state(models.TemplatePaused), c.from, models.CodePaused},
		"paused, early":             {state(models.TemplatePaused), early, models.CodePaused},
		"paused, late":              {state(models.TemplatePaused), late, models.CodePaused},
		"ended":                     {state(models.TemplateEnded), c.from, models.CodeEnded},
		"ended, early":              {state(models.TemplateEnded), early, models.CodeEnded},
		"ended, late":               {state(models.TemplateEnded), late, models.CodeEnded},
		"draft without a window":    {func(t *models.Template) { noWindow(t); t.State = models.TemplateDraft }, c.from, models.CodeNotStarted},
		"open start":                {func(t *models.Template) { t.ClaimWindow.From = nil }, early, ""},
		"open end":                  {func(t *models.Template) { t.ClaimWindow.Until = nil }, late, ""},
		"not yet valid, claimable":  {func(t *models.Template) { t.Validity.From = &c.expires }, c.from, ""},
		"days from the claim, late": {func(t *models.Template) { noWindow(t); t.Validity = models.Validity{DaysAfterClaim: ptr(0)} }, c.expires, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := c.onSale()
			if tc.edit != nil {
				tc.edit(&template)
			}
			if got := refusalOf(template.Admit(models.IssueClaim, tc.at, "u1", nil)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAdmitAudience(t *testing.T) {
	t.Parallel()
	users := models.Audience{Kind: models.AudienceUsers, UserIDs: []string{"u1", "u5", "u9"}}
	tags := models.Audience{Kind: models.AudienceTags, Tags: []string{"vip", "new"}}
	tests := map[string]struct {
		audience models.Audience
		user     string
		tags     []string
		want     bool
	}{
		"all":                        {models.Audience{Kind: models.AudienceAll}, "u7", nil, true},
		"first of the list":          {users, "u1", nil, true},
		"in the list":                {users, "u5", nil, true},
		"last of the list":           {users, "u9", nil, true},
		"not in the list":            {users, "u4", nil, false},
		"in other case":              {users, "U5", nil, false},
		"a tag by a user's name":     {users, "u4", []string{"u5"}, false},
		"one of the tags":            {tags, "u1", []string{"x", "new"}, true},
		"both tags":                  {tags, "u1", []string{"new", "vip"}, true},
		"other tags":                 {tags, "u1", []string{"x", "VIP"}, false},
		"no tags":                    {tags, "u1", nil, false},
		"a user by a tag's name":     {tags, "vip", nil, false},
		"a kind that does not exist": {models.Audience{Kind: "some", UserIDs: []string{"u1"}}, "u1", nil, false},
	}
	c := newClaimTimes()
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := c.onSale()
			template.Audience = tc.audience
			want := models.CodeNotEligible
			if tc.want {
				want = ""
			}
			if got := refusalOf(template.Admit(models.IssueClaim, c.from, tc.user, tc.tags)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if got := tc.audience.Admits(tc.user, tc.tags); got != tc.want {
				t.Errorf("Admits: %v", got)
			}
		})
	}
}

// TestAdmitAll goes through every state, time, audience and way of issue: a
// claim is granted if nothing speaks against it, and else refused for
// something that does.
func TestAdmitAll(t *testing.T) {
	t.Parallel()
	c := newClaimTimes()
	audiences := map[bool]models.Audience{
		true:  {Kind: models.AudienceUsers, UserIDs: []string{"u1"}},
		false: {Kind: models.AudienceUsers, UserIDs: []string{"u2"}},
	}
	states := map[models.TemplateState]models.Code{
		models.TemplateDraft: models.CodeNotStarted, models.TemplateActive: "",
		models.TemplatePaused: models.CodePaused, models.TemplateEnded: models.CodeEnded,
	}
	times := map[time.Duration]models.Code{ // from the start of the window
		-time.Millisecond: models.CodeNotStarted, 0: "", 9*time.Hour - time.Millisecond: "",
		9 * time.Hour: models.CodeEnded, 72 * time.Hour: models.CodeEnded,
	}
	granted := 0
	for state, byState := range states {
		for offset, byTime := range times {
			for _, issue := range []models.Issue{models.IssueClaim, models.IssueCode, models.IssueDistribution} {
				for member, audience := range audiences {
					template := c.onSale()
					template.State, template.Issue, template.Audience = state, issue, audience
					against := []models.Code{byState, byTime}
					if issue != models.IssueClaim || !member {
						against = append(against, models.CodeNotEligible)
					}
					against = slices.DeleteFunc(against, func(c models.Code) bool { return c == "" })
					got := refusalOf(template.Admit(models.IssueClaim, c.from.Add(offset), "u1", nil))
					if got == "" {
						granted++
					}
					if (got == "") != (len(against) == 0) || got != "" && !slices.Contains(against, got) {
						t.Errorf("%s, %v, %s, member %v: got %q, of %v", state, offset, issue, member, got, against)
					}
				}
			}
		}
	}
	if granted != 2 { // active, in the window's first or last millisecond, by claim, a member
		t.Errorf("%d granted, want 2", granted)
	}
}

func TestAdmitsFindsEveryUserOfAList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.StringMatching("[a-zA-Z0-9é]{1,3}"), 1, 50, rapid.ID[string]).Draw(rt, "ids")
		spec := models.TemplateSpec{Audience: models.Audience{Kind: models.AudienceUsers, UserIDs: slices.Clone(ids)}}
		spec.Normalize()
		for _, id := range ids {
			if !spec.Audience.Admits(id, nil) {
				rt.Fatalf("%q is not found in %q", id, spec.Audience.UserIDs)
			}
		}
		other := rapid.StringMatching("[a-zA-Z0-9é]{1,3}").Draw(rt, "other")
		if got := spec.Audience.Admits(other, nil); got != slices.Contains(ids, other) {
			rt.Fatalf("%q: %v", other, got)
		}
	})
}

func TestLimit(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		limit int64
		have  []models.ID
		want  models.Code
	}{
		"the first":        {1, nil, ""},
		"the second of 1":  {1, []models.ID{7}, models.CodeAlreadyClaimed},
		"more than 1":      {1, []models.ID{7, 8}, models.CodeAlreadyClaimed},
		"the second of 3":  {3, []models.ID{7}, ""},
		"the third of 3":   {3, []models.ID{7, 8}, ""},
		"the fourth of 3":  {3, []models.ID{7, 8, 9}, models.CodeLimitReached},
		"more than all 3":  {3, []models.ID{7, 8, 9, 10}, models.CodeLimitReached},
		"the last of many": {models.MaxPerUser, make([]models.ID, models.MaxPerUser-1), ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := &models.Template{TemplateSpec: models.TemplateSpec{PerUserLimit: tc.limit}}
			refusal := template.Limit(tc.have)
			if got := refusalOf(refusal); got != tc.want {
				t.Fatalf("got %q, want %q", got, tc.want)
			}
			if refusal == nil {
				return
			}
			if diff := cmp.Diff(tc.have, refusal.CouponIDs); diff != "" {
				t.Errorf("coupon_ids (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSoldOutAndRemaining(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		stock   *int64
		claimed int64
		soldOut bool
		left    *int64
	}{
		"none claimed":       {ptr(int64(2)), 0, false, ptr(int64(2))},
		"one left":           {ptr(int64(2)), 1, false, ptr(int64(1))},
		"all claimed":        {ptr(int64(2)), 2, true, ptr(int64(0))},
		"nothing to claim":   {ptr(int64(0)), 0, true, ptr(int64(0))},
		"no limit":           {nil, 0, false, nil},
		"no limit, all gone": {nil, models.MaxStock, false, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := &models.Template{Claimed: tc.claimed, TemplateSpec: models.TemplateSpec{Stock: tc.stock}}
			if got := template.SoldOut(); got != tc.soldOut {
				t.Errorf("SoldOut: %v", got)
			}
			left := template.Remaining()
			if diff := cmp.Diff(tc.left, left); diff != "" {
				t.Fatalf("Remaining (-want +got):\n%s", diff)
			}
			if left == nil {
				return
			}
			if *left = -1; *tc.stock == -1 {
				t.Error("what Remaining returns is the template's own stock")
			}
		})
	}
	if got := refusalOf(models.ErrSoldOut()); got != models.CodeSoldOut {
		t.Errorf("ErrSoldOut is %q", got)
	}
}
