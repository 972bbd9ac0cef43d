package issuing_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/issuing"
	"scrip/models"
)

// shelf keeps what is imported.
type shelf struct {
	users   map[string]models.User
	batches []int
	err     error
}

func (s *shelf) ImportUsers(_ context.Context, _ models.Op, merchantID string, users []models.User) error {
	if s.users == nil {
		s.users = map[string]models.User{}
	}
	seen := map[string]bool{}
	for _, u := range users {
		if seen[u.UserID] {
			return errors.New("a user twice in a batch")
		}
		seen[u.UserID] = true
		s.users[merchantID+"/"+u.UserID] = u
	}
	s.batches = append(s.batches, len(users))
	return s.err
}

func load(t *testing.T, format issuing.Format, text string) (*shelf, models.LineReport) {
	t.Helper()
	s := &shelf{}
	report, err := (&issuing.Audience{Store: s}).ImportUsers(t.Context(), models.Op{}, "m1", format, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s, report
}

// faults shows a report's errors as "line field code".
func faults(report models.LineReport) []string {
	var out []string
	for _, e := range report.Errors {
		out = append(out, fmt.Sprintf("%d %s %s", e.Line, e.Field, e.Code))
	}
	return out
}

func TestGoodLinesAreImportedAndBadOnesTold(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	full := models.User{
		UserID: "ann", Tags: []string{"new", "vip"}, Locale: "zh-Hant-TW", Email: "ann@example.com", Phone: "+4930123456",
		LastActiveAt: &at,
	}
	for name, c := range map[string]struct {
		format issuing.Format
		text   string
		faults []string
	}{
		"csv": {issuing.CSV, "\ufeffemail, user_id,tags,locale,phone,last_active_at\n" +
			"old@example.com,ann,,,,\n" +
			"ann@example.com,ann,vip|new,zh-Hant-TW,+4930123456,2026-01-02T03:04:05Z\n" +
			",,,,,\n" +
			"\n" +
			"nobody,bob,,x y,0123,yesterday\n" +
			"nobody,bob,,x y,0123,\n" +
			"a@b.c,cid\n" +
			"a@b.c,\"d\"an,,,,\n" +
			"a@b.c,eve,,,,\n", []string{
			"4 user_id required",
			"6 last_active_at invalid",
			"7 locale invalid", "7 email invalid", "7 phone invalid",
			"8  invalid", "9  invalid",
		}},
		"ndjson": {issuing.NDJSON, `{"user_id":"ann"}` + "\n" +
			`{"user_id":"ann","tags":["vip","new"],"locale":"zh-Hant-TW","email":"ann@example.com","phone":"+4930123456","last_active_at":"2026-01-02T03:04:05Z"}` + "\r\n" +
			`{}` + "\n\n" +
			`{"user_id":"bob","tags":["a","a"]}` + "\n" +
			`{"user_id":"bob","tag":["a"]}` + "\n" +
			`{"user_id":"bob","user_id":"bob"}` + "\n" +
			`{"user_id":7}` + "\n" +
			`{"user_id":"bob","last_active_at":"yesterday"}` + "\n" +
			`{"user_id":"bob"} {}` + "\n" +
			`[]` + "\n" + strings.Repeat("x", 100<<10) + "\n" +
			`{"user_id":"eve"}`, []string{
			"3 user_id required",
			"5 tags duplicate", "6 tag unknown_field", "7 user_id duplicate", "8 user_id invalid",
			"9 last_active_at invalid", "10  bad_json", "11  bad_json", "12  out_of_range",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, report := load(t, c.format, c.text)
			if diff := cmp.Diff(c.faults, faults(report)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(full, s.users["m1/ann"]); diff != "" {
				t.Error(diff)
			}
			if _, found := s.users["m1/eve"]; !found || len(s.users) != 2 || report.Imported != 3 {
				t.Errorf("imported %d: %v", report.Imported, s.users)
			}
		})
	}
}

func TestABadHeaderRefusesTheWhole(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "tags,email\nvip,a@b.c\n", "user_id,mail\nann,x\n", "user_id,user_id\nann,ann\n", "\"user_id\n"} {
		s := &shelf{}
		_, err := (&issuing.Audience{Store: s}).ImportUsers(t.Context(), models.Op{}, "", issuing.CSV, strings.NewReader(text))
		if !models.IsCode(err, models.CodeInvalid) || len(s.batches) > 0 {
			t.Errorf("%q gave %v after %v", text, err, s.batches)
		}
	}
}

func TestAnOpenQuoteDoesNotTakeInTheRest(t *testing.T) {
	t.Parallel()
	_, report := load(t, issuing.CSV, "user_id\nann\n\"bob\n"+strings.Repeat("cid\n", 100_000))
	if report.Imported != 1 || report.Failed != 1 || report.Errors[0].Line != 3 {
		t.Errorf("got %d, %d, %v", report.Imported, report.Failed, report.Errors)
	}
}

func TestManyLinesComeInBatches(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("user_id\n")
	for i := range 2500 {
		fmt.Fprintf(&text, "u%d\n", i)
	}
	for range 2 * models.MaxLineErrors {
		text.WriteString("a,b\n")
	}
	s, report := load(t, issuing.CSV, text.String())
	if diff := cmp.Diff([]int{1000, 1000, 500}, s.batches); diff != "" {
		t.Error(diff)
	}
	if report.Imported != 2500 || report.Failed != 2*models.MaxLineErrors || len(report.Errors) != models.MaxLineErrors {
		t.Errorf("got %d, %d, %d told", report.Imported, report.Failed, len(report.Errors))
	}
	broken := &shelf{err: errors.New("away")}
	_, err := (&issuing.Audience{Store: broken}).ImportUsers(t.Context(), models.Op{}, "", issuing.CSV, strings.NewReader(text.String()))
	if err == nil || len(broken.batches) != 1 {
		t.Errorf("got %v after %v", err, broken.batches)
	}
}
