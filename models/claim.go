package models

import "time"

// Claim is one user's wish for one coupon of a template. Its ID is the id that
// the coupon will have, which is what makes every step after it idempotent.
type Claim struct {
	ID     ID
	UserID string
	Tags   []string
	Code   string // the coupon's, made beforehand

	// At is when the claim was judged, and what the coupon will bear as
	// claimed_at; the other two follow from it.
	At, ValidFrom, ExpiresAt time.Time

	// Template is the definition by which the claim was judged, never nil. The
	// store refuses to use it when the row has another version by now.
	Template *Template

	// By is the claim code that the coupon is claimed by, folded and hashed; nil
	// where the template alone is named.
	By *CodeHash

	// New is set when the gate let the claim in: it knew no other of this user.
	New bool

	// Pack is set of a claim that stands or falls with those beside it which have
	// the same one.
	Pack *PackClaim

	// Refused is set when the answer is no already, and only the idempotency
	// key has to be looked up or written.
	Refused *Error
	Key     *IdempotencyKey
}

// Verdict is what became of a claim: exactly one of the first five is set.
type Verdict struct {
	Coupon  *Coupon
	Refused *Error
	Replay  error // the answer that an earlier request with the same key got
	Stale   bool  // judged by an old definition: load it again and come back
	Void    bool  // settled as lost before it came: start over with a new id

	Epoch int64 // the template's, under which a coupon was granted
}

// Admit judges a claim on one way of issue by everything but the counters: state,
// window, the template's own way of issue, audience, and whether the coupon could
// still be used at all.
func (t *Template) Admit(way Issue, now time.Time, userID string, tags []string) *Error {
	if refusal := t.Open(now); refusal != nil {
		return refusal
	}
	if t.Issue != way || !t.Audience.Admits(userID, tags) {
		return Refuse(CodeNotEligible, "this user is not among those who may claim")
	}
	return nil
}

// Open refuses what is not, or not any more, to be had by anybody.
func (t *Template) Open(now time.Time) *Error {
	switch {
	case t.State == TemplatePaused:
		return Refuse(CodePaused, "claims are paused")
	case t.State == TemplateEnded || t.ClaimWindow.Ended(now):
		return Refuse(CodeEnded, "the time to claim is over")
	case t.State == TemplateDraft || !t.ClaimWindow.Started(now):
		return Refuse(CodeNotStarted, "the time to claim has not come yet")
	case t.Validity.Until != nil && !now.Before(*t.Validity.Until):
		return Refuse(CodeEnded, "the coupon would have expired already")
	}
	return nil
}

// Limit refuses a further claim of a user who has all that one may have.
func (t *Template) Limit(have []ID) *Error {
	return t.LimitWith(have, 1)
}

// LimitWith refuses so many further coupons to a user who may not have as many.
func (t *Template) LimitWith(have []ID, quantity int64) *Error {
	if int64(len(have))+quantity <= t.PerUserLimit {
		return nil
	}
	refusal := Refuse(CodeLimitReached, "this user has all %d that one may have", t.PerUserLimit)
	if t.PerUserLimit == 1 {
		refusal = Refuse(CodeAlreadyClaimed, "this user has claimed already")
	}
	refusal.CouponIDs = have
	return refusal
}

// ErrSoldOut is the refusal once every coupon is claimed.
func ErrSoldOut() *Error { return Refuse(CodeSoldOut, "every coupon is claimed") }
