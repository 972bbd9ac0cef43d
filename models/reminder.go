package models

import (
	"slices"
	"time"
)

// reminderHour is when a reminder goes out, local time: nobody wants to be told
// at midnight, when days begin and most coupons end.
const reminderHour = 9

// reminderDay is the local day that lies so many days before the last one on
// which a coupon can be used: its first instant, and its hour for reminders.
func reminderDay(expires time.Time, zone *time.Location, before int) (begins, hour time.Time) {
	last := expires.Add(-time.Millisecond)
	begins = FirstInstant(last, zone, -before)
	year, month, day := begins.In(zone).Date()
	return begins, time.Date(year, month, day, reminderHour, 0, 0, 0, zone).UTC()
}

// Reminders lists when a user who gets a coupon now is to be reminded of its
// end, in order: on each of the days that lie so many local days before its last
// one. A day that has begun is today, and today's reminder is due at once: whoever
// gets a coupon is awake.
func Reminders(before []int, zone *time.Location, expires, now time.Time) []time.Time {
	if !now.Before(expires) {
		return nil
	}
	due := make([]time.Time, len(before))
	for i, days := range before {
		begins, hour := reminderDay(expires, zone, days)
		if due[i] = hour; !now.Before(begins) {
			due[i] = ReminderDay(now, zone)
		}
	}
	slices.SortFunc(due, time.Time.Compare)
	return slices.CompactFunc(due, time.Time.Equal)
}

// RemindersAfter lists those reminders of a coupon, in no order, that its user
// cannot have had by the given time.
func RemindersAfter(before []int, zone *time.Location, expires, after time.Time) []time.Time {
	var due []time.Time
	for _, days := range before {
		if _, hour := reminderDay(expires, zone, days); hour.After(after) {
			due = append(due, hour)
		}
	}
	return due
}

// ReminderDay is the first instant of the local day of a reminder. Of all that
// fall on one day a user gets one for each template.
func ReminderDay(due time.Time, zone *time.Location) time.Time { return FirstInstant(due, zone, 0) }

// LastDay is the last local date on which a coupon can be used that expires at
// the given time.
func LastDay(expires time.Time, zone *time.Location) string {
	return expires.Add(-time.Millisecond).In(zone).Format(time.DateOnly)
}
