package models_test

import (
	"slices"
	"testing"
	"time"

	"scrip/models"
)

func TestBudgetDefaults(t *testing.T) {
	t.Parallel()
	spec := models.BudgetSpec{Name: "n", Kind: models.BudgetCount}
	spec.Normalize()
	if spec.Period != models.PeriodNone || spec.TimeZone != "UTC" || !slices.Equal(spec.AlertAtBP, []int{8000, 10_000}) {
		t.Errorf("got %+v", spec)
	}
	none := models.BudgetSpec{AlertAtBP: []int{9000, 100}}
	none.Normalize()
	if !slices.Equal(none.AlertAtBP, []int{100, 9000}) {
		t.Errorf("got %v", none.AlertAtBP)
	}
	if !models.DefaultBudgetSpec().IsLimited {
		t.Error("a budget that says nothing is limited")
	}
}

func TestBudgetFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*models.BudgetSpec)
		field  string
		code   models.Code
	}{
		"no name":             {func(s *models.BudgetSpec) { s.Name = "" }, "name", models.CodeRequired},
		"no kind":             {func(s *models.BudgetSpec) { s.Kind = "" }, "kind", models.CodeRequired},
		"wrong kind":          {func(s *models.BudgetSpec) { s.Kind = "times" }, "kind", models.CodeInvalid},
		"no currency":         {func(s *models.BudgetSpec) { s.Currency = "" }, "currency", models.CodeRequired},
		"currency of a count": {func(s *models.BudgetSpec) { s.Kind = models.BudgetCount }, "currency", models.CodeInvalid},
		"negative total":      {func(s *models.BudgetSpec) { s.Total = -1 }, "total", models.CodeOutOfRange},
		"total too large":     {func(s *models.BudgetSpec) { s.Total = models.MaxAmount + 1 }, "total", models.CodeOutOfRange},
		"period":              {func(s *models.BudgetSpec) { s.Period = "year" }, "period", models.CodeInvalid},
		"nothing per user":    {func(s *models.BudgetSpec) { s.PerUserTotal = new(int64(0)) }, "per_user_total", models.CodeOutOfRange},
		"zone":                {func(s *models.BudgetSpec) { s.TimeZone = "Local" }, "time_zone", models.CodeInvalid},
		"alert at nothing":    {func(s *models.BudgetSpec) { s.AlertAtBP = []int{0} }, "alert_at_bp", models.CodeOutOfRange},
		"alert beyond":        {func(s *models.BudgetSpec) { s.AlertAtBP = []int{10_001} }, "alert_at_bp", models.CodeOutOfRange},
		"alert twice":         {func(s *models.BudgetSpec) { s.AlertAtBP = []int{5, 5} }, "alert_at_bp", models.CodeNotUnique},
		"too many alerts":     {func(s *models.BudgetSpec) { s.AlertAtBP = make([]int, 21) }, "alert_at_bp", models.CodeOutOfRange},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := models.DefaultBudgetSpec()
			spec.Name, spec.Kind, spec.Currency = "n", models.BudgetAmount, "USD"
			f := models.NewFaults()
			if spec.Check(f); f.Err() != nil {
				t.Fatal(f.Err())
			}
			c.change(&spec)
			spec.Check(f)
			var refusal *models.Error
			if err := f.Err(); !models.IsCode(err, codeFor(c.code)) {
				t.Fatalf("got %v", err)
			} else if refusal = err.(*models.Error); refusal.Fields[0].Field != c.field || refusal.Fields[0].Code != c.code { //nolint:errorlint,forcetypeassert // a panic fails the test
				t.Errorf("got %+v", refusal.Fields)
			}
		})
	}
}

// codeFor is the code of a request whose only fault has the given one.
func codeFor(fault models.Code) models.Code {
	if fault == models.CodeNotUnique {
		return fault
	}
	return models.CodeInvalid
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		period    models.Period
		zone      string
		at, start string
	}{
		{models.PeriodDay, "Europe/Berlin", "2027-03-28T21:59:59Z", "2027-03-27T23:00:00Z"}, // 23 hours long
		{models.PeriodDay, "Europe/Berlin", "2027-10-31T22:59:59Z", "2027-10-30T22:00:00Z"}, // 25 hours long
		{models.PeriodDay, "Europe/Berlin", "2027-10-31T23:00:00Z", "2027-10-31T23:00:00Z"},
		{models.PeriodDay, "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z"}, // no midnight
		{models.PeriodWeek, "Europe/Berlin", "2027-03-28T21:59:59Z", "2027-03-21T23:00:00Z"},    // Sunday
		{models.PeriodWeek, "Europe/Berlin", "2027-03-28T22:00:00Z", "2027-03-28T22:00:00Z"},    // Monday
		{models.PeriodMonth, "Asia/Tokyo", "2028-02-29T14:59:59Z", "2028-01-31T15:00:00Z"},
		{models.PeriodMonth, "Europe/Berlin", "2027-03-31T21:59:59Z", "2027-02-28T23:00:00Z"},
		{models.PeriodMonth, "Europe/Berlin", "2027-03-31T22:00:00Z", "2027-03-31T22:00:00Z"},
	} {
		spec := models.BudgetSpec{Period: c.period, TimeZone: c.zone}
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		start, err := spec.PeriodStart(at)
		if got := start.UTC().Format(time.RFC3339); err != nil || got != c.start {
			t.Errorf("%s in %s at %s began at %s (%v), want %s", c.period, c.zone, c.at, got, err, c.start)
		}
	}
	forever := models.BudgetSpec{Period: models.PeriodNone, TimeZone: "UTC"}
	if start, err := forever.PeriodStart(time.Now()); err != nil || !start.IsZero() {
		t.Errorf("got %s, %v", start, err)
	}
}
