package models

import (
	"strings"
	"unicode/utf8"
)

// MaxXIDLen is how many characters an xid can have. One that a caller makes up
// has at most MaxForeignLen, like all its ids; one that a coordinator joins from
// the names of a transaction and of its branch may be longer.
const MaxXIDLen = 191

// CodeTooEarly says over a coordinator's protocol that a step could not be
// taken yet, whatever the reason: it is to be repeated.
const CodeTooEarly Code = "too_early"

// CheckXID notes what is wrong with the xid of a lock, of whichever making.
func CheckXID(f Faults, field, s string) {
	switch n := utf8.RuneCountInString(s); {
	case n <= MaxForeignLen:
		CheckForeign(f, field, s)
	case n > MaxXIDLen:
		f.Add(field, CodeOutOfRange, "must be 1 to %d characters", MaxXIDLen)
	case !printable(s) || strings.TrimSpace(s) != s:
		f.Add(field, CodeInvalid, "must be printable UTF-8 without a space at either end")
	}
}
