package handlers

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

// stringIn reads one member of an answer as text; "" if it is not there.
func stringIn(t *testing.T, body []byte, name string) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return strings.Trim(string(members[name]), `"`)
}

func TestCreateTemplateFillsInDefaults(t *testing.T) {
	t.Parallel()
	days, at := 7, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	least := models.TemplateSpec{
		Name: "spring", RuleID: 11, Currency: "USD", TimeZone: "UTC", Stock: ptr(int64(10)), PerUserLimit: 1,
		Validity: models.Validity{DaysAfterClaim: &days}, Audience: models.Audience{Kind: models.AudienceAll},
		Issue: models.IssueClaim, ReturnPolicy: models.DefaultReturnPolicy(),
	}
	until := at.Add(time.Hour)
	most := models.TemplateSpec{
		Name: "spring", RuleID: 11, Currency: "USD", TimeZone: "Asia/Tokyo", PerUserLimit: 3,
		ClaimWindow: &models.Window{From: &at}, Validity: models.Validity{From: &at, Until: &until},
		Audience: models.Audience{Kind: models.AudienceUsers, UserIDs: []string{"a", "b"}}, Issue: models.IssueCode,
		ReturnPolicy:     models.ReturnPolicy{OnCancel: false, BelowMinimum: models.BelowKeep},
		RemindBeforeDays: []int{3, 1}, Metadata: json.RawMessage(`{"a":[1,{"b":"x y"}]}`),
	}
	for name, tc := range map[string]struct {
		body string
		want models.TemplateSpec
	}{
		"as little as possible": {goodTemplate, least},
		"with nulls": {
			`{"name":"spring","rule_id":"11","currency":"USD","stock":10,"validity":{"days_after_claim":7,"delay_days":null},
			  "per_user_limit":null,"audience":null,"metadata":null,"return_policy":null,"issue":null,"time_zone":null}`,
			least,
		},
		"as much as possible": {
			`{"name":"spring","rule_id":"11","currency":"USD","time_zone":"Asia/Tokyo","stock":null,"per_user_limit":3,
			  "claim_window":{"from":"2026-01-02T12:04:05.0009+09:00"},
			  "validity":{"from":"2026-01-02T03:04:05Z","until":"2026-01-02T04:04:05Z"},
			  "audience":{"kind":"users","user_ids":["b","a"]},"issue":"code","return_policy":{"on_cancel":false},
			  "remind_before_days":[3,1],"metadata": {"a" : [1, {"b":"x y"} ]} }`,
			most,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			w := call(serve(t, f, merchant()), request{method: "POST", path: "/v1/templates", body: tc.body})
			if w.Code != 201 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if diff := cmp.Diff(tc.want, f.arg("spec")); diff != "" {
				t.Error(diff)
			}
			if got := w.Header().Get("ETag"); got != `"1"` {
				t.Errorf("ETag %s", got)
			}
		})
	}
}

func TestCreateTemplateNamesEveryFault(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33)
	for body, want := range map[string][]string{
		`{}`: {"currency", "name", "rule_id", "validity.until"},
		`{"name":"a","rule_id":"11","currency":"usd","time_zone":"Mars","stock":-1,"per_user_limit":0,
		  "validity":{"days_after_claim":-1}}`: {
			"currency", "per_user_limit", "stock", "time_zone", "validity.days_after_claim",
		},
		goodTemplate[:len(goodTemplate)-1] + `,"metadata":[1]}`:          {"metadata"},
		goodTemplate[:len(goodTemplate)-1] + `,"metadata":` + deep + `}`: {"metadata"},
		goodTemplate[:len(goodTemplate)-1] + `,"budget_ids":[1]}`:        {"budget_ids[0]"},
		goodTemplate[:len(goodTemplate)-1] + `,"state":"active"}`:        {"state"},
	} {
		p := problemOf(t, call(serve(t, newFake(), platform()), request{method: "POST", path: "/v1/templates", body: body}))
		fields := p.fields()
		slices.Sort(fields)
		if p.Status != 422 || !cmp.Equal(fields, want) {
			t.Errorf("%s: got %d %v, want %v", body, p.Status, p.Errors, want)
		}
	}
}

// patchCase is a PATCH of the fake's template and what becomes of it: the
// changed members of its spec (nil: as before), or the refusal.
type patchCase struct {
	state  models.TemplateState
	patch  string
	status int
	edit   func(*models.TemplateSpec)
	fields []string // that the refusal names
}

func patchCases() map[string]patchCase {
	at := time.Date(2026, 1, 2, 3, 4, 5, 67_000_000, time.UTC) // the fake's, as it is written
	until := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	same := func(*models.TemplateSpec) {}
	return map[string]patchCase{
		"nothing": {models.TemplateDraft, `{}`, 200, same, nil},
		"a name":  {models.TemplateActive, `{"name":"summer"}`, 200, func(s *models.TemplateSpec) { s.Name = "summer" }, nil},
		"one end of the window": {
			models.TemplateActive, `{"claim_window":{"until":"2026-03-01T00:00:00Z"}}`, 200,
			func(s *models.TemplateSpec) { s.ClaimWindow = &models.Window{From: &at, Until: &until} }, nil,
		},
		"an end taken away": {
			models.TemplatePaused, `{"claim_window":{"from":null,"until":"2026-03-01T00:00:00Z"}}`, 200,
			func(s *models.TemplateSpec) { s.ClaimWindow = &models.Window{Until: &until} }, nil,
		},
		"no window":   {models.TemplateActive, `{"claim_window":null}`, 200, func(s *models.TemplateSpec) { s.ClaimWindow = nil }, nil},
		"no metadata": {models.TemplateActive, `{"metadata":null}`, 200, func(s *models.TemplateSpec) { s.Metadata = nil }, nil},
		"part of the metadata": {
			models.TemplateActive, `{"metadata":{"b":{"d":12345678901234567890},"a":null}}`, 200,
			func(s *models.TemplateSpec) {
				s.Metadata = json.RawMessage(`{"b":{"c":2,"d":12345678901234567890}}`)
			}, nil,
		},
		"other tags": {
			models.TemplateActive, `{"audience":{"tags":["gold"]}}`, 200,
			func(s *models.TemplateSpec) { s.Audience.Tags = []string{"gold"} }, nil,
		},
		"another kind of audience": {
			models.TemplateActive, `{"audience":{"kind":"users","user_ids":["b","a"]}}`, 200,
			func(s *models.TemplateSpec) {
				s.Audience = models.Audience{Kind: models.AudienceUsers, UserIDs: []string{"a", "b"}}
			}, nil,
		},
		"for all": {
			models.TemplatePaused, `{"audience":{"kind":"all"}}`, 200,
			func(s *models.TemplateSpec) { s.Audience = models.Audience{Kind: models.AudienceAll} }, nil,
		},
		"everything of a draft": {
			models.TemplateDraft,
			`{"name":"n","rule_id":"12","currency":"JPY","time_zone":"Asia/Tokyo","stock":null,"per_user_limit":5,
			  "issue":"distribution","return_policy":{"on_cancel":false},"remind_before_days":[1]}`,
			200,
			func(s *models.TemplateSpec) {
				s.Name, s.RuleID, s.Currency, s.TimeZone, s.Stock = "n", 12, "JPY", "Asia/Tokyo", nil
				s.PerUserLimit, s.Issue, s.ReturnPolicy.OnCancel = 5, models.IssueDistribution, false
				s.RemindBeforeDays = []int{1}
			}, nil,
		},
		"fixed dates for days": {
			models.TemplateDraft, `{"validity":{"from":"2026-01-02T03:04:05.067Z","until":"2026-03-01T00:00:00Z"}}`, 200,
			func(s *models.TemplateSpec) { s.Validity = models.Validity{From: &at, Until: &until} }, nil,
		},
		"a delay": {
			models.TemplateDraft, `{"validity":{"delay_days":2}}`, 200,
			func(s *models.TemplateSpec) { s.Validity.DelayDays = 2 }, nil,
		},

		"a number in an active one": {models.TemplateActive, `{"name":"x","stock":11,"currency":"USD"}`, 409, same, []string{"currency", "stock"}},
		"a paused one as well":      {models.TemplatePaused, `{"per_user_limit":null}`, 409, same, []string{"per_user_limit"}},
		"an ended one":              {models.TemplateEnded, `{"name":"x"}`, 409, same, nil},
		"an ended one, nothing":     {models.TemplateEnded, `{}`, 409, same, nil},
		"a required one removed":    {models.TemplateActive, `{"name":null}`, 422, same, []string{"name"}},
		"an audience of nobody":     {models.TemplateActive, `{"audience":{"tags":null}}`, 422, same, []string{"audience.tags"}},
		"a window inside out":       {models.TemplateActive, `{"claim_window":{"until":"2025-01-01T00:00:00Z"}}`, 422, same, []string{"claim_window.until"}},
		"an unknown field":          {models.TemplateActive, `{"claim_window":{"to":"2026-01-01T00:00:00Z"}}`, 422, same, []string{"claim_window.to"}},
		"a read-only field":         {models.TemplateDraft, `{"version":9}`, 422, same, []string{"version"}},
		"the owner":                 {models.TemplateDraft, `{"merchant_id":"m2"}`, 422, same, []string{"merchant_id"}},
		"a wrong type":              {models.TemplateDraft, `{"stock":"9"}`, 422, same, []string{"stock"}},
		"both forms of validity":    {models.TemplateDraft, `{"validity":{"from":"2026-01-01T00:00:00Z","days_after_claim":1}}`, 422, same, []string{"validity.days_after_claim"}},
		"metadata too deep":         {models.TemplateDraft, `{"metadata":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000) + `}`, 422, same, []string{"metadata"}},
	}
}

func TestPatch(t *testing.T) {
	t.Parallel()
	for name, tc := range patchCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.template.State = tc.state
			f.template.ClaimWindow.From = ptr(models.Instant(*f.template.ClaimWindow.From))
			want := f.template.TemplateSpec
			tc.edit(&want)
			w := call(serve(t, f, merchant()), request{
				method: "PATCH", path: "/v1/templates/21", body: tc.patch, header: map[string]string{"If-Match": `"3"`},
			})
			if w.Code != tc.status {
				t.Fatalf("got %d %s, want %d", w.Code, w.Body, tc.status)
			}
			if diff := cmp.Diff(want, f.template.TemplateSpec); diff != "" {
				t.Error(diff)
			}
			if tc.status == 200 && w.Header().Get("ETag") != `"4"` {
				t.Errorf("ETag %s", w.Header().Get("ETag"))
			}
			if tc.status != 200 && !cmp.Equal(problemOf(t, w).fields(), tc.fields) {
				t.Errorf("got %s, want fields %v", w.Body, tc.fields)
			}
			if announced := len(f.announced) == 1; announced != (tc.status == 200) {
				t.Errorf("announced %d changes", len(f.announced))
			}
		})
	}
}

func TestPatchNeedsTheVersion(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]struct {
		status int
		code   models.Code
	}{
		"":        {428, models.CodeNeedsIfMatch},
		`"2"`:     {412, models.CodeVersion},
		`"4"`:     {412, models.CodeVersion},
		`3`:       {412, models.CodeVersion},
		`W/"3"`:   {412, models.CodeVersion},
		`*`:       {412, models.CodeVersion},
		`"03"`:    {412, models.CodeVersion},
		`"3`:      {412, models.CodeVersion},
		`"-3"`:    {412, models.CodeVersion},
		`"3"`:     {200, ""},
		`""3""`:   {412, models.CodeVersion},
		`"3","4"`: {412, models.CodeVersion},
	} {
		w := call(serve(t, newFake(), platform()), request{
			method: "PATCH", path: "/v1/templates/21", body: `{"name":"x"}`, header: map[string]string{"If-Match": header},
		})
		if w.Code != want.status || want.code != "" && problemOf(t, w).Code != want.code {
			t.Errorf("If-Match %s: got %d %s, want %v", header, w.Code, w.Body, want)
		}
	}
}

func TestPatchTakesTheTypeOfMergePatches(t *testing.T) {
	t.Parallel()
	w := call(serve(t, newFake(), platform()), request{
		method: "PATCH", path: "/v1/templates/21", body: `{"name":"x"}`,
		header: map[string]string{"If-Match": `"3"`, "Content-Type": "application/merge-patch+json"},
	})
	if w.Code != 200 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// TestMergePatch is the table of RFC 7396, appendix A, as far as it is about
// objects: our bodies are nothing else.
func TestMergePatch(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		got, err := mergePatch([]byte(tc.target), []byte(tc.patch))
		if err != nil || string(got) != tc.want {
			t.Errorf("%s with %s: got %s, %v, want %s", tc.target, tc.patch, got, err, tc.want)
		}
	}
}

func TestDepth(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		`1`: 0, `{}`: 1, `[[],[[]]]`: 3, `{"a":"[[[["}`: 1, `{"\"[{":[1]}`: 2, `["\\",[2]]`: 2,
	} {
		if got := depth([]byte(text)); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
}

func TestStockBody(t *testing.T) {
	t.Parallel()
	for body, status := range map[string]int{
		`{"add":1}`: 200, `{"add":-10}`: 200, `{"add":0}`: 422, `{}`: 422, `{"add":null}`: 422, `{"add":1.5}`: 422,
		`{"add":1000000000}`: 200, `{"add":1000000001}`: 422, `{"add":-1000000001}`: 422, `{"set":5}`: 422, ``: 415,
	} {
		f := newFake()
		w := call(serve(t, f, platform()), request{method: "POST", path: "/v1/templates/21/stock", body: body})
		if w.Code != status {
			t.Errorf("%q: got %d %s, want %d", body, w.Code, w.Body, status)
		}
		if announced := len(f.announced) == 1; announced != (status == 200) {
			t.Errorf("%q: announced %d changes", body, len(f.announced))
		}
	}
}

func TestMovesAreAnnounced(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(t, f, platform())
	var states []models.TemplateState
	for _, step := range []string{"publish", "pause", "resume", "end"} {
		w := call(h, request{method: "POST", path: "/v1/templates/21/" + step})
		states = append(states, models.TemplateState(stringIn(t, w.Body.Bytes(), "state")))
	}
	want := []models.TemplateState{models.TemplateActive, models.TemplatePaused, models.TemplateActive, models.TemplateEnded}
	if diff := cmp.Diff(want, states); diff != "" || len(f.announced) != 4 {
		t.Errorf("%s, announced %d", diff, len(f.announced))
	}
}

// TestDeepMetadataIsRefusedFirst is about cost: merging is recursive, and what
// is merged must be bounded before the store holds a row for it.
func TestDeepMetadataIsRefusedFirst(t *testing.T) {
	t.Parallel()
	f := newFake()
	w := call(serve(t, f, platform()), request{
		method: "PATCH", path: "/v1/templates/21", header: map[string]string{"If-Match": `"3"`},
		body: `{"metadata":` + strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33) + `}`,
	})
	if w.Code != 422 || f.arg("op") != nil {
		t.Errorf("got %d %s after asking the store for %v", w.Code, w.Body, f.arg("op"))
	}
}

func TestChangesAreAnnouncedThoughTheCallerHasGone(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.enter, f.leave = make(chan struct{}), make(chan struct{})
	h := serve(t, f, platform())
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/templates/21/publish", nil)
		req.Header.Set("Authorization", "Bearer sk_test")
		h.ServeHTTP(httptest.NewRecorder(), req)
	}()
	<-f.enter
	cancel(nil)
	f.leave <- struct{}{}
	<-done
	if len(f.announced) != 1 {
		t.Errorf("announced %d changes", len(f.announced))
	}
}
