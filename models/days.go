package models

import (
	"fmt"
	"path"
	"strings"
	"sync"
	"time"
)

// LoadZone finds an IANA time zone by its name. What a name means must not
// depend on the machine, so what a folder of time zones happens to hold beside
// them is refused: the machine's own zone, clocks that count leap seconds, and
// other ways to write a path.
func LoadZone(name string) (*time.Location, error) {
	folder, _, _ := strings.Cut(name, "/")
	switch folder {
	case "Local", "localtime", "posix", "posixrules", "right":
		return nil, fmt.Errorf("%q is not an IANA time zone", name)
	}
	if path.Clean(name) != name { // "" too
		return nil, fmt.Errorf("%q is not an IANA time zone", name)
	}
	if known, ok := zones.Load(name); ok {
		return known.(*time.Location), nil //nolint:forcetypeassert // we store nothing else
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("load time zone: %w", err)
	}
	zones.Store(name, zone)
	return zone, nil
}

// zones keeps what was loaded: each time anew is a file read and parsed. There
// are some 600 names.
var zones sync.Map //nolint:gochecknoglobals // it never forgets and never changes its mind

// FirstInstant returns the first moment of the local date that lies days after
// the date of t in zone. Where the clocks skip midnight the day begins later;
// where they repeat it, with the first of the two; a date that a zone left out
// (Samoa, 30 December 2011) begins where the next one does.
func FirstInstant(t time.Time, zone *time.Location, days int) time.Time {
	year, month, day := t.In(zone).Date()
	// The date as if the zone were UTC, and a start that is before it in any
	// zone. Under each offset in force from there on, the date has come once the
	// offset's midnight has, or with the offset itself if that is later.
	midnight := time.Date(year, month, day+days, 0, 0, 0, 0, time.UTC)
	for probe := midnight.Add(-26 * time.Hour); ; {
		_, offset := probe.In(zone).Zone()
		start, end := probe.In(zone).ZoneBounds()
		begins := midnight.Add(-time.Duration(offset) * time.Second)
		if begins.Before(start) {
			begins = start
		}
		if end.IsZero() || begins.Before(end) {
			return begins.UTC()
		}
		probe = end
	}
}

// Span returns from when to when a coupon claimed at the given time can be
// used: validFrom ≤ t < expires.
func (t *Template) Span(claimed time.Time) (validFrom, expires time.Time, err error) {
	if t.Validity.DaysAfterClaim == nil {
		return *t.Validity.From, *t.Validity.Until, nil
	}
	zone, err := LoadZone(t.TimeZone)
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	validFrom = claimed
	if t.Validity.DelayDays > 0 {
		validFrom = FirstInstant(claimed, zone, t.Validity.DelayDays)
	}
	return validFrom, FirstInstant(claimed, zone, *t.Validity.DaysAfterClaim+1), nil
}
