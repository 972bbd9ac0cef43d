package models_test

import (
	"testing"
	"time"

	"scrip/models"
)

func TestInstant(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"2026-11-27T10:00:00+01:00":           "2026-11-27T09:00:00Z",
		"2026-11-27T09:00:00.123999999Z":      "2026-11-27T09:00:00.123Z",
		"2026-11-27T09:00:00.999999999-00:30": "2026-11-27T09:30:00.999Z",
		"1969-12-31T23:59:59.9999Z":           "1969-12-31T23:59:59.999Z",
	}
	for in, want := range tests {
		t.Run(in, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.RFC3339Nano, in)
			if err != nil {
				t.Fatal(err)
			}
			if got := models.Instant(at).Format(time.RFC3339Nano); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestWindowIsHalfOpen(t *testing.T) {
	t.Parallel()
	from, until := instantOf(t, "2026-11-27T09:00:00Z"), instantOf(t, "2026-11-27T18:00:00Z")
	both, noFrom, noUntil := &models.Window{From: &from, Until: &until}, &models.Window{Until: &until}, &models.Window{From: &from}
	tests := map[string]struct {
		window         *models.Window
		at             time.Time
		started, ended bool
	}{
		"a millisecond before": {both, from.Add(-time.Millisecond), false, false},
		"at its start":         {both, from, true, false},
		"a millisecond to go":  {both, until.Add(-time.Millisecond), true, false},
		"at its end":           {both, until, true, true},
		"without a start":      {noFrom, from.AddDate(-50, 0, 0), true, false},
		"without, at its end":  {noFrom, until, true, true},
		"without an end":       {noUntil, until.AddDate(50, 0, 0), true, false},
		"before, without end":  {noUntil, from.Add(-time.Millisecond), false, false},
		"open on both sides":   {&models.Window{}, from, true, false},
		"none":                 {nil, from, true, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if started, ended := tc.window.Started(tc.at), tc.window.Ended(tc.at); started != tc.started || ended != tc.ended {
				t.Errorf("started %v, ended %v; want %v, %v", started, ended, tc.started, tc.ended)
			}
		})
	}
}
