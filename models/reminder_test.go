package models_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func TestRemindersComeOnLocalDaysBeforeTheEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, zone   string
		before       []int
		expires, now string
		want         []string
	}{
		{
			"the last day is the one before midnight", "UTC",
			[]int{3, 1},
			"2026-03-11T00:00:00Z", "2026-03-01T12:00:00Z",
			[]string{"2026-03-07T09:00:00Z", "2026-03-09T09:00:00Z"},
		},
		{
			"or the one on which it ends", "UTC",
			[]int{1},
			"2026-03-11T18:00:00Z", "2026-03-01T12:00:00Z",
			[]string{"2026-03-10T09:00:00Z"},
		},
		{
			"days are local", "Asia/Tokyo",
			[]int{1},
			"2026-03-10T15:00:00Z", "2026-03-01T12:00:00Z",
			[]string{"2026-03-09T00:00:00Z"},
		},
		{
			"nine in the morning, also where the clocks changed at night", "Europe/Berlin",
			[]int{2, 1},
			"2026-03-30T22:00:00Z", "2026-03-01T12:00:00Z",
			[]string{"2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"},
		},
		{
			"who claims on the day itself is told at once", "Asia/Tokyo",
			[]int{1},
			"2026-03-10T15:00:00Z", "2026-03-08T15:00:00Z",
			[]string{"2026-03-08T15:00:00Z"},
		},
		{
			"and not before the day", "Asia/Tokyo",
			[]int{1},
			"2026-03-10T15:00:00Z", "2026-03-08T14:59:59.999Z",
			[]string{"2026-03-09T00:00:00Z"},
		},
		{
			"days that are over are one day, today", "UTC",
			[]int{30, 7, 1},
			"2026-03-11T00:00:00Z", "2026-03-05T21:00:00Z",
			[]string{"2026-03-05T00:00:00Z", "2026-03-09T09:00:00Z"},
		},
		{"never", "UTC", nil, "2026-03-11T00:00:00Z", "2026-03-05T21:00:00Z", []string{}},
		{"not of what has expired", "UTC", []int{3}, "2026-03-11T00:00:00Z", "2026-03-11T00:00:00Z", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := models.Reminders(c.before, zoneOf(t, c.zone), instantOf(t, c.expires), instantOf(t, c.now))
			if diff := cmp.Diff(times(t, c.want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRemindersAfterAreThoseNobodyHasHad(t *testing.T) {
	t.Parallel()
	expires := instantOf(t, "2026-03-11T00:00:00Z")
	for after, want := range map[string][]string{
		"2026-03-07T08:59:59.999Z": {"2026-03-07T09:00:00Z", "2026-03-09T09:00:00Z"},
		"2026-03-07T09:00:00Z":     {"2026-03-09T09:00:00Z"},
		"2026-03-09T09:00:00Z":     nil,
	} {
		got := models.RemindersAfter([]int{3, 1}, time.UTC, expires, instantOf(t, after))
		if diff := cmp.Diff(times(t, want), got); diff != "" {
			t.Errorf("after %s: %s", after, diff)
		}
	}
}

func times(t *testing.T, text []string) []time.Time {
	t.Helper()
	if text == nil {
		return nil
	}
	list := make([]time.Time, len(text))
	for i := range text {
		list[i] = instantOf(t, text[i])
	}
	return list
}
