// Package models holds the domain's words: rules, templates, coupons, claims,
// who calls, and what can go wrong. It does no I/O and knows neither SQL nor
// HTTP; every other package speaks in its types.
package models

import "time"

// Clock tells the time. All windows and expiries are judged by one clock,
// handed to whoever needs it, so that tests can set it by hand.
type Clock func() time.Time

// Instant cuts t to the millisecond in UTC, the precision in which Scrip
// stores, compares and shows every time.
func Instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// Window is a half-open span of time: From ≤ t < Until. A nil end is open.
type Window struct {
	From  *time.Time `json:"from,omitempty"`
	Until *time.Time `json:"until,omitempty"`
}

// Started reports whether t is at or after the window's start.
func (w *Window) Started(t time.Time) bool {
	return w == nil || w.From == nil || !t.Before(*w.From)
}

// Ended reports whether t is at or past the window's end.
func (w *Window) Ended(t time.Time) bool {
	return w != nil && w.Until != nil && !t.Before(*w.Until)
}

// Page asks for at most Limit rows of a list that come after the row Before,
// newest first. Before 0 means from the newest.
type Page struct {
	Limit  int
	Before ID
}
