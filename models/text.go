package models

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what callers may name things by.
const (
	MaxNameLen     = 200  // characters of a display name
	MaxForeignLen  = 64   // characters of a user_id, order_id, sku …
	MaxListLen     = 1000 // skus, categories and tags in one list
	MaxAudienceLen = 10_000
)

// CheckForeign notes what is wrong with one of the caller's own ids: 1 to 64
// characters, none of them a control character, no space at either end (SQL
// would take "a" and "a " for the same).
func CheckForeign(f Faults, field, s string) {
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		f.Require(false, field)
	case n > MaxForeignLen:
		f.Add(field, CodeOutOfRange, "must be 1 to %d characters", MaxForeignLen)
	case !printable(s):
		f.Add(field, CodeInvalid, "must be printable UTF-8")
	case strings.TrimSpace(s) != s:
		f.Add(field, CodeInvalid, "must not begin or end with a space")
	}
}

// printable reports whether s is UTF-8 without control characters.
func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// checkForeignList checks every element of a list, and its length.
func checkForeignList(f Faults, field string, list []string, most int) {
	if len(list) > most {
		f.Add(field, CodeOutOfRange, "must have at most %d elements", most)
		return
	}
	seen := make(map[string]bool, len(list))
	for i, s := range list {
		CheckForeign(f, fmt.Sprintf("%s[%d]", field, i), s)
		if seen[s] {
			f.Add(field, CodeNotUnique, "names %q twice", s)
			return
		}
		seen[s] = true
	}
}

// CheckName notes what is wrong with a display name: 1 to 200 characters, not
// all of them spaces, and no control character.
func CheckName(f Faults, field, s string) {
	switch {
	case strings.TrimSpace(s) == "":
		f.Require(false, field)
	case utf8.RuneCountInString(s) > MaxNameLen:
		f.Add(field, CodeOutOfRange, "must be 1 to %d characters", MaxNameLen)
	case !printable(s):
		f.Add(field, CodeInvalid, "must be printable UTF-8")
	}
}
