package models_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

// fault is a FieldError without its sentence, which may be put better one day.
type fault struct {
	Field string
	Code  models.Code
}

// faultsOf runs a check and returns what it noted, in order.
func faultsOf(t *testing.T, check func(models.Faults)) []fault {
	t.Helper()
	f := models.NewFaults()
	check(f)
	return fieldsOf(t, f.Err())
}

// fieldsOf returns the faults that a refusal carries; none for nil.
func fieldsOf(t *testing.T, err error) []fault {
	t.Helper()
	if err == nil {
		return nil
	}
	var refusal *models.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("%v is no refusal", err)
	}
	var out []fault
	for _, e := range refusal.Fields {
		if e.Detail == "" {
			t.Errorf("%s: no sentence says what is wrong", e.Field)
		}
		out = append(out, fault{Field: e.Field, Code: e.Code})
	}
	return out
}

func wantFaults(t *testing.T, got []fault, want ...fault) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func ptr[T any](v T) *T { return &v }

func TestFaultsPaths(t *testing.T) {
	t.Parallel()
	wantFaults(t, faultsOf(t, func(f models.Faults) {
		f.Add("name", models.CodeInvalid, "no")
		inner := f.In("effect").In("every")
		inner.Between("spend", 0, 1, 9)
		inner.Between("max_times", 9, 1, 9)
		f.At("items", 2).Require(false, "quantity")
		f.At("items", 3).Require(true, "quantity")
		f.In("a").At("b", 0).In("c").Add("d", models.CodeNotUnique, "twice")
	}),
		fault{"name", models.CodeInvalid},
		fault{"effect.every.spend", models.CodeOutOfRange},
		fault{"items[2].quantity", models.CodeRequired},
		fault{"a.b[0].c.d", models.CodeNotUnique},
	)
}

func TestFaultsErrCode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		noted []models.Code
		want  models.Code
	}{
		"one in no special way":        {[]models.Code{models.CodeRequired}, models.CodeInvalid},
		"several":                      {[]models.Code{models.CodeOutOfRange, models.CodeRequired}, models.CodeInvalid},
		"an unknown field":             {[]models.Code{models.CodeUnknownField}, models.CodeUnknownField},
		"another currency":             {[]models.Code{models.CodeCurrencyDiffer}, models.CodeCurrencyDiffer},
		"named twice":                  {[]models.Code{models.CodeNotUnique}, models.CodeNotUnique},
		"special after plain":          {[]models.Code{models.CodeRequired, models.CodeNotUnique}, models.CodeNotUnique},
		"special before plain":         {[]models.Code{models.CodeUnknownField, models.CodeRequired}, models.CodeUnknownField},
		"the first of several special": {[]models.Code{models.CodeInvalid, models.CodeCurrencyDiffer, models.CodeUnknownField}, models.CodeCurrencyDiffer},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := models.NewFaults()
			for _, code := range tc.noted {
				f.Add("field", code, "is wrong: %s", code)
			}
			var got *models.Error
			if !errors.As(f.Err(), &got) {
				t.Fatalf("%v is no refusal", f.Err())
			}
			if got.Code != tc.want || len(got.Fields) != len(tc.noted) {
				t.Errorf("got %v, want code %s with %d fields", got, tc.want, len(tc.noted))
			}
			if want := "field: is wrong: " + string(tc.noted[0]); got.Detail != want {
				t.Errorf("detail %q, want that of the first fault, %q", got.Detail, want)
			}
		})
	}
}

func TestNoFaultsNoError(t *testing.T) {
	t.Parallel()
	f := models.NewFaults()
	f.Require(true, "a")
	f.In("b").Between("c", 1, 1, 1)
	if err := f.Err(); err != nil {
		t.Errorf("got %v", err)
	}
}
