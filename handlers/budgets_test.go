package handlers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func TestCreateBudget(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body string
		want models.BudgetSpec
	}{
		"least": {goodBudget, models.BudgetSpec{
			Name: "spring", Kind: models.BudgetAmount, Currency: "USD", IsLimited: true, Total: 100_000, Period: models.PeriodNone,
			TimeZone: "UTC", AlertAtBP: []int{8000, 10_000},
		}},
		"most": {
			`{"name":"uses","kind":"count","is_limited":true,"total":0,"period":"week","per_user_total":1,"time_zone":"Asia/Tokyo","alert_at_bp":[9000,5000]}`,
			models.BudgetSpec{
				Name: "uses", Kind: models.BudgetCount, IsLimited: true, Period: models.PeriodWeek, PerUserTotal: ptr(int64(1)),
				TimeZone: "Asia/Tokyo", AlertAtBP: []int{5000, 9000},
			},
		},
		"tracked only": {`{"name":"uses","kind":"count","is_limited":false,"alert_at_bp":[]}`, models.BudgetSpec{
			Name: "uses", Kind: models.BudgetCount, Period: models.PeriodNone, TimeZone: "UTC", AlertAtBP: []int{},
		}},
	} {
		f := newFake()
		w := call(serve(t, f, merchant()), request{method: "POST", path: "/v1/budgets", body: tc.body})
		if w.Code != 201 || w.Header().Get("ETag") != `"1"` || stringIn(t, w.Body.Bytes(), "merchant_id") != "m1" {
			t.Errorf("%s: got %d %v %s", name, w.Code, w.Header(), w.Body)
		}
		if diff := cmp.Diff(any(tc.want), f.arg("budget")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestCreateBudgetNamesEveryFault(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][]string{
		`{}`: {"total", "name", "kind"},
		`{"name":"a","kind":"amount","currency":"usd","total":-1,"period":"year","per_user_total":0,"time_zone":"Mars","alert_at_bp":[0]}`: {
			"currency", "total", "period", "per_user_total", "time_zone", "alert_at_bp",
		},
		`{"name":"a","kind":"count","currency":"USD","total":1}`: {"currency"},
		strings.Replace(goodBudget, "name", "title", 1):          {"title"},
		goodBudget[:len(goodBudget)-1] + `,"used":1}`:            {"used"},
	} {
		f := newFake()
		p := problemOf(t, call(serve(t, f, merchant()), request{method: "POST", path: "/v1/budgets", body: body}))
		if p.Status != 422 || !cmp.Equal(p.fields(), want) || f.changes > 0 {
			t.Errorf("%s: got %v, want %v", body, p, want)
		}
	}
	p := problemOf(t, call(serve(t, newFake(), merchant()), request{
		method: "POST", path: "/v1/budgets", body: `{"merchant_id":"m9",` + goodBudget[1:],
	}))
	if p.Status != 403 {
		t.Errorf("for another merchant: got %v", p)
	}
}

func TestPatchBudget(t *testing.T) {
	t.Parallel()
	for patch, tc := range map[string]struct {
		status int
		edit   func(*models.BudgetSpec)
		fields []string
	}{
		`{}`:                      {200, func(*models.BudgetSpec) {}, nil},
		`{"name":"more"}`:         {200, func(s *models.BudgetSpec) { s.Name = "more" }, nil},
		`{"total":5000}`:          {200, func(s *models.BudgetSpec) { s.Total = 5000 }, nil},
		`{"per_user_total":null}`: {200, func(s *models.BudgetSpec) { s.PerUserTotal = nil }, nil},
		`{"alert_at_bp":[5000]}`:  {200, func(s *models.BudgetSpec) { s.AlertAtBP = []int{5000} }, nil},
		`{"alert_at_bp":[]}`:      {200, func(s *models.BudgetSpec) { s.AlertAtBP = []int{} }, nil},
		`{"alert_at_bp":null}`:    {200, func(*models.BudgetSpec) {}, nil},
		`{"is_limited":false}`:    {200, func(s *models.BudgetSpec) { s.IsLimited = false }, nil},
		`{"kind":"amount"}`:       {200, func(*models.BudgetSpec) {}, nil},
		`{"total":null}`:          {422, nil, []string{"total"}},
		`{"name":null}`:           {422, nil, []string{"name"}},
		`{"currency":"EUR"}`:      {422, nil, []string{"currency"}},
		`{"period":null}`:         {422, nil, []string{"period"}},
		`{"time_zone":"UTC"}`:     {422, nil, []string{"time_zone"}},
		`{"merchant_id":"m2"}`:    {422, nil, []string{"merchant_id"}},
		`{"total":1.5}`:           {422, nil, []string{"total"}},
		`{"alert_at_bp":[20000]}`: {422, nil, []string{"alert_at_bp"}},
		`{"kind":"count"}`:        {422, nil, []string{"currency"}},
	} {
		f := newFake()
		want := f.budget.BudgetSpec
		w := call(serve(t, f, merchant()), request{
			method: "PATCH", path: "/v1/budgets/61", body: patch, header: map[string]string{"If-Match": `"3"`},
		})
		if w.Code != tc.status {
			t.Errorf("%s: got %d %s, want %d", patch, w.Code, w.Body, tc.status)
			continue
		}
		if tc.edit == nil {
			if p := problemOf(t, w); !cmp.Equal(p.fields(), tc.fields) {
				t.Errorf("%s: got %v, want %v", patch, p, tc.fields)
			}
			continue
		}
		tc.edit(&want)
		if diff := cmp.Diff(want, f.budget.BudgetSpec); diff != "" || w.Header().Get("ETag") != `"4"` {
			t.Errorf("%s: %v %s", patch, w.Header(), diff)
		}
	}
	for header, status := range map[string]int{"": 428, `"2"`: 412, "3": 412} {
		w := call(serve(t, newFake(), merchant()), request{
			method: "PATCH", path: "/v1/budgets/61", body: `{}`, header: map[string]string{"If-Match": header},
		})
		if problemOf(t, w).Status != status {
			t.Errorf("If-Match %s: got %d %s", header, w.Code, w.Body)
		}
	}
}
