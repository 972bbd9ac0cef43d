package models_test

import (
	"testing"
	"time"
	_ "time/tzdata" // the zones are tested whether or not the machine has them

	"pgregory.net/rapid"

	"scrip/models"
)

func zoneOf(t rapid.TB, name string) *time.Location {
	t.Helper()
	zone, err := models.LoadZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func instantOf(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

// localDay numbers the local dates, so that they can be compared.
func localDay(t time.Time, zone *time.Location) int64 {
	year, month, day := t.In(zone).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
}

// scanFirstInstant looks at every minute, then at every second of the minute
// before, then at every millisecond of the second before, for the first at
// which the zone shows the date or, if it never shows it, a later one.
func scanFirstInstant(t time.Time, zone *time.Location, days int) time.Time {
	day := localDay(t, zone) + int64(days)
	at := time.Unix(day*24*60*60, 0).UTC().Add(-30 * time.Hour)
	for _, step := range []time.Duration{time.Minute, time.Second, time.Millisecond} {
		for localDay(at, zone) < day {
			at = at.Add(step)
		}
		if step > time.Millisecond {
			at = at.Add(-step)
		}
	}
	return at
}

// awkwardDays are local dates around which a zone's clocks do something, each
// with its first instant, worked out by hand.
var awkwardDays = []struct {
	name, zone, date, begins string
}{
	{"midnight is skipped", "America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"},
	{"the day after", "America/Sao_Paulo", "2018-11-05", "2018-11-05T02:00:00Z"},
	{"midnight goes back to 23:00", "America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00:00Z"},
	{"midnight is skipped", "Asia/Beirut", "2021-03-28", "2021-03-27T22:00:00Z"},
	{"the day after", "Asia/Beirut", "2021-03-29", "2021-03-28T21:00:00Z"},
	{"midnight goes back to 23:00", "Asia/Beirut", "2021-10-31", "2021-10-30T22:00:00Z"},
	{"midnight is skipped", "Africa/Cairo", "2024-04-26", "2024-04-25T22:00:00Z"},
	{"midnight goes back to 23:00", "Africa/Cairo", "2024-11-01", "2024-10-31T22:00:00Z"},
	{"midnight comes twice", "America/Havana", "2018-11-04", "2018-11-04T04:00:00Z"},
	{"the day after", "America/Havana", "2018-11-05", "2018-11-05T05:00:00Z"},
	{"midnight is skipped", "America/Havana", "2019-03-10", "2019-03-10T05:00:00Z"},
	{"a minute past midnight goes back", "America/St_Johns", "2006-10-29", "2006-10-29T02:30:00Z"},
	{"a minute past midnight is skipped", "America/St_Johns", "2006-04-02", "2006-04-02T03:30:00Z"},
	{"the day before the one left out", "Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00Z"},
	{"the day left out", "Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"},
	{"the day after the one left out", "Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"},
	{"the day left out", "Pacific/Kwajalein", "1993-08-21", "1993-08-21T12:00:00Z"},
	{"the clocks go forward", "Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z"},
	{"the day after", "Europe/Berlin", "2026-03-30", "2026-03-29T22:00:00Z"},
	{"the clocks go back", "Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z"},
	{"the day after", "Europe/Berlin", "2026-10-26", "2026-10-25T23:00:00Z"},
	{"the clocks go forward", "America/New_York", "2026-03-08", "2026-03-08T05:00:00Z"},
	{"the day after", "America/New_York", "2026-03-09", "2026-03-09T04:00:00Z"},
	{"the clocks go back", "America/New_York", "2026-11-01", "2026-11-01T04:00:00Z"},
	{"the day after", "America/New_York", "2026-11-02", "2026-11-02T05:00:00Z"},
	{"the clocks go back half an hour", "Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00:00Z"},
	{"the day after", "Australia/Lord_Howe", "2026-04-06", "2026-04-05T13:30:00Z"},
	{"the clocks go forward half an hour", "Australia/Lord_Howe", "2026-10-04", "2026-10-03T13:30:00Z"},
	{"the day after", "Australia/Lord_Howe", "2026-10-05", "2026-10-04T13:00:00Z"},
	{"an offset of 5:45", "Asia/Kathmandu", "2026-11-27", "2026-11-26T18:15:00Z"},
	{"the largest offset", "Pacific/Kiritimati", "2026-11-27", "2026-11-26T10:00:00Z"},
	{"the least offset", "Etc/GMT+12", "2026-11-27", "2026-11-27T12:00:00Z"},
	{"no offset", "UTC", "2026-11-27", "2026-11-27T00:00:00Z"},
	{"a leap day", "UTC", "2028-02-29", "2028-02-29T00:00:00Z"},
	{"past all that tables list", "Europe/Berlin", "2099-07-01", "2099-06-30T22:00:00Z"},
}

func TestFirstInstant(t *testing.T) {
	t.Parallel()
	for _, tc := range awkwardDays {
		t.Run(tc.zone+" "+tc.date+" "+tc.name, func(t *testing.T) {
			t.Parallel()
			zone := zoneOf(t, tc.zone)
			want := instantOf(t, tc.begins)
			date := instantOf(t, tc.date+"T12:00:00Z")
			for days := range 4 {
				// Noon of a date that the zone does have, some days earlier.
				year, month, day := date.AddDate(0, 0, -days).Date()
				from := time.Date(year, month, day, 12, 0, 0, 0, zone)
				if localDay(from, zone) != localDay(date, time.UTC)-int64(days) {
					continue // that is the day left out
				}
				got := models.FirstInstant(from, zone, days)
				if !got.Equal(want) || got.Location() != time.UTC {
					t.Errorf("%d days after %v: got %v, want %v", days, from, got, want)
				}
				if scanned := scanFirstInstant(from, zone, days); !scanned.Equal(want) {
					t.Errorf("%d days after %v: the scan says %v, the table %v", days, from, scanned, want)
				}
			}
		})
	}
}

// TestFirstInstantAroundTheDay takes the date from instants next to where it
// changes: the day counted from is the local one, to the millisecond.
func TestFirstInstantAroundTheDay(t *testing.T) {
	t.Parallel()
	for _, tc := range awkwardDays {
		t.Run(tc.zone+" "+tc.date, func(t *testing.T) {
			t.Parallel()
			zone, begins := zoneOf(t, tc.zone), instantOf(t, tc.begins)
			for _, around := range []time.Duration{
				-24 * time.Hour, -time.Hour, -time.Minute, -time.Millisecond, 0, time.Millisecond, time.Minute, time.Hour, 24 * time.Hour,
			} {
				from := begins.Add(around)
				for _, days := range []int{0, 1, 2, 30} {
					want := scanFirstInstant(from, zone, days)
					if got := models.FirstInstant(from, zone, days); !got.Equal(want) {
						t.Errorf("%d days after %v: got %v, the scan says %v", days, from.In(zone), got, want)
					}
				}
			}
		})
	}
}

func TestFirstInstantOfAnyDay(t *testing.T) {
	t.Parallel()
	zones := []string{
		"Africa/Casablanca", "Africa/Monrovia", "America/Asuncion", "America/Caracas", "America/Nuuk", "America/Santiago",
		"Antarctica/Troll", "Asia/Amman", "Asia/Gaza", "Asia/Pyongyang", "Asia/Tehran", "Atlantic/Azores", "Europe/Dublin",
		"Pacific/Chatham", "Pacific/Fakaofo", "Pacific/Norfolk",
	}
	for _, tc := range awkwardDays {
		zones = append(zones, tc.zone)
	}
	first, last := time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		zone := zoneOf(rt, rapid.SampledFrom(zones).Draw(rt, "zone"))
		from := time.UnixMilli(rapid.Int64Range(first.UnixMilli(), last.UnixMilli()).Draw(rt, "ms")).UTC()
		if _, end := from.In(zone).ZoneBounds(); !end.IsZero() && rapid.Bool().Draw(rt, "at a change of the clocks") {
			from = end.UTC().Add(time.Duration(rapid.IntRange(-72, 24).Draw(rt, "h")) * time.Hour)
		}
		days := rapid.SampledFrom([]int{0, 1, 2, 3, 7, 365, models.MaxDays + 1}).Draw(rt, "days")
		want := scanFirstInstant(from, zone, days)
		if got := models.FirstInstant(from, zone, days); !got.Equal(want) {
			rt.Fatalf("%d days after %v: got %v, the scan says %v", days, from.In(zone), got, want)
		}
	})
}

func TestSpanInDays(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		zone        string
		days, delay int
		claimed     string
		from, until string // from "": at once
	}{
		"the rest of today":             {"UTC", 0, 0, "2026-11-27T09:00:00Z", "", "2026-11-28T00:00:00Z"},
		"today's last millisecond":      {"UTC", 0, 0, "2026-11-27T23:59:59.999Z", "", "2026-11-28T00:00:00Z"},
		"tomorrow's first":              {"UTC", 0, 0, "2026-11-28T00:00:00Z", "", "2026-11-29T00:00:00Z"},
		"three days":                    {"UTC", 3, 0, "2026-11-27T09:00:00Z", "", "2026-12-01T00:00:00Z"},
		"from tomorrow on":              {"UTC", 3, 1, "2026-11-27T09:00:00Z", "2026-11-28T00:00:00Z", "2026-12-01T00:00:00Z"},
		"on the last day only":          {"UTC", 3, 3, "2026-11-27T09:00:00Z", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"},
		"tomorrow in Tokyo already":     {"Asia/Tokyo", 0, 0, "2026-11-27T15:00:00Z", "", "2026-11-28T15:00:00Z"},
		"still today in Tokyo":          {"Asia/Tokyo", 0, 0, "2026-11-27T14:59:59.999Z", "", "2026-11-27T15:00:00Z"},
		"over a night of 25 hours":      {"Europe/Berlin", 1, 0, "2026-10-24T10:00:00Z", "", "2026-10-25T23:00:00Z"},
		"from midnight skipped":         {"America/Sao_Paulo", 1, 1, "2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"},
		"until midnight skipped":        {"Africa/Cairo", 0, 0, "2024-04-25T12:00:00Z", "", "2024-04-25T22:00:00Z"},
		"until the first of two":        {"America/Havana", 0, 0, "2018-11-03T12:00:00Z", "", "2018-11-04T04:00:00Z"},
		"claimed after the first":       {"America/Havana", 0, 0, "2018-11-04T04:00:00Z", "", "2018-11-05T05:00:00Z"},
		"until the day left out":        {"Pacific/Apia", 0, 0, "2011-12-29T12:00:00Z", "", "2011-12-30T10:00:00Z"},
		"over the day left out":         {"Pacific/Apia", 2, 0, "2011-12-29T12:00:00Z", "", "2011-12-31T10:00:00Z"},
		"half an hour longer, Lord How": {"Australia/Lord_Howe", 0, 0, "2026-04-05T00:00:00Z", "", "2026-04-05T13:30:00Z"},
		"at a quarter to":               {"Asia/Kathmandu", 1, 1, "2026-11-26T18:14:59.999Z", "2026-11-26T18:15:00Z", "2026-11-27T18:15:00Z"},
		"at a quarter to, and past":     {"Asia/Kathmandu", 1, 1, "2026-11-26T18:15:00Z", "2026-11-27T18:15:00Z", "2026-11-28T18:15:00Z"},
		"ten years":                     {"UTC", models.MaxDays, 0, "2026-11-27T09:00:00Z", "", "2036-11-25T00:00:00Z"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := &models.Template{TemplateSpec: models.TemplateSpec{
				TimeZone: tc.zone, Validity: models.Validity{DaysAfterClaim: &tc.days, DelayDays: tc.delay},
			}}
			claimed := instantOf(t, tc.claimed)
			wantFrom := claimed
			if tc.from != "" {
				wantFrom = instantOf(t, tc.from)
			}
			from, until, err := template.Span(claimed)
			if err != nil || !from.Equal(wantFrom) || !until.Equal(instantOf(t, tc.until)) {
				t.Fatalf("got %v to %v, %v; want %v to %s", from, until, err, wantFrom, tc.until)
			}
			wantLastDay(t, until, claimed, tc.zone, tc.days)
		})
	}
}

// wantLastDay checks the end of a span on both sides: a millisecond before it,
// day D + days is on; at it, the coupon is over and so is the day.
func wantLastDay(t *testing.T, until, claimed time.Time, zoneName string, days int) {
	t.Helper()
	zone := zoneOf(t, zoneName)
	last := localDay(claimed, zone) + int64(days)
	if got := localDay(until.Add(-time.Millisecond), zone); got > last {
		t.Errorf("a millisecond before its end the coupon is %d days past its last", got-last)
	}
	if got := localDay(until, zone); got <= last {
		t.Errorf("at its end the coupon has %d days to go", last-got+1)
	}
	coupon := models.Coupon{Status: models.CouponAvailable, ExpiresAt: until}
	if got := coupon.At(until.Add(-time.Millisecond)).Status; got != models.CouponAvailable {
		t.Errorf("a millisecond before its end: %s", got)
	}
	if got := coupon.At(until).Status; got != models.CouponExpired {
		t.Errorf("at its end: %s", got)
	}
}

func TestSpanFixed(t *testing.T) {
	t.Parallel()
	from, until := instantOf(t, "2026-11-27T00:00:00Z"), instantOf(t, "2026-12-01T00:00:00Z")
	template := &models.Template{TemplateSpec: models.TemplateSpec{
		TimeZone: "Asia/Tokyo", Validity: models.Validity{From: &from, Until: &until},
	}}
	for _, claimed := range []time.Time{from.Add(-time.Hour), from, until.Add(-1)} {
		gotFrom, gotUntil, err := template.Span(claimed)
		if err != nil || !gotFrom.Equal(from) || !gotUntil.Equal(until) {
			t.Errorf("claimed at %v: got %v to %v, %v", claimed, gotFrom, gotUntil, err)
		}
	}
}

func TestSpanWithoutZone(t *testing.T) {
	t.Parallel()
	template := &models.Template{TemplateSpec: models.TemplateSpec{
		TimeZone: "Moon/Tycho", Validity: models.Validity{DaysAfterClaim: ptr(1)},
	}}
	if from, until, err := template.Span(instantOf(t, "2026-11-27T00:00:00Z")); err == nil {
		t.Errorf("got %v to %v", from, until)
	}
}

func TestLoadZone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"UTC", "Etc/UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "America/Port-au-Prince", "Etc/GMT-14", "EST5EDT",
	} {
		if zone, err := models.LoadZone(name); err != nil || zone.String() != name {
			t.Errorf("%q: got %v, %v", name, zone, err)
		}
	}
	for _, tc := range []struct{ name, why string }{
		{"", "nothing"},
		{"Local", "the machine's"},
		{"localtime", "the machine's, by the name of a file"},
		{"posixrules", "the machine's"},
		{"posix/Europe/Berlin", "not on every machine"},
		{"right/Europe/Berlin", "counts leap seconds"},
		{"Europe//Berlin", "another way to write a path, as long as one likes"},
		{"Europe/./Berlin", "another way to write a path"},
		{"./UTC", "another way to write a path"},
		{"Europe/Berlin/", "another way to write a path"},
		{"Europe", "a folder"},
		{"../zoneinfo/UTC", "a way out"},
		{"Europe/../UTC", "a way around"},
		{"/etc/localtime", "a file"},
		{"zone.tab", "no zone"},
		{"Moon/Tycho", "no zone yet"},
		{"Europe/Berlin\x00", "no name"},
		{" Europe/Berlin", "a space"},
		{"+02:00", "an offset"},
		{"Mitteleuropa/Sommer", "made up"},
	} {
		if zone, err := models.LoadZone(tc.name); err == nil {
			t.Errorf("%q (%s) was taken as %v", tc.name, tc.why, zone)
		}
	}
}
