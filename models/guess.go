package models

import "time"

// Guess asks one counter of wrong guesses whether there may be one more, and
// with Count takes that one. It is a GCRA (the generic cell rate algorithm of
// ITU-T I.371): Burst guesses at once, and then one in Every; in any span that
// is no longer than Every, never more than Burst.
type Guess struct {
	Counter string // whose guesses
	Burst   int64
	Every   time.Duration // whole milliseconds
	Count   bool
}

// CodeClaim is one user's wish for a coupon by a claim code.
type CodeClaim struct {
	Code    string // as it was typed
	UserID  string
	Tags    []string
	Address string // from where a user comes itself; "" when a server asks on its behalf
}
