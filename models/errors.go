package models

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code is the word that clients switch on. It never changes its meaning.
// Which HTTP status goes with it is the handlers' business.
type Code string

// What can be wrong with a request, a caller or a moment.
const (
	CodeInvalid        Code = "invalid"       // several fields, or one in no more special way
	CodeRequired       Code = "required"      // a field is missing
	CodeOutOfRange     Code = "out_of_range"  // a number or a length is not allowed
	CodeUnknownField   Code = "unknown_field" // the body has a field that does not exist
	CodeNotUnique      Code = "duplicate"     // the same thing named twice
	CodeUnknownRef     Code = "unknown_ref"   // a field names something that does not exist
	CodeCurrencyDiffer Code = "currency_mismatch"
	CodeBadJSON        Code = "bad_json"
	CodeNotJSON        Code = "not_json"
	CodeMediaType      Code = "unsupported_media_type"
	CodeTooLarge       Code = "too_large"

	CodeUnauthorized   Code = "unauthorized"
	CodeForbidden      Code = "forbidden"
	CodeNotFound       Code = "not_found"
	CodeNoRoute        Code = "no_route"
	CodeNoMethod       Code = "method_not_allowed"
	CodeNeedsIfMatch   Code = "if_match_required"
	CodeVersion        Code = "version_mismatch"
	CodeWrongState     Code = "wrong_state"
	CodeStockBelow     Code = "stock_below_claimed"
	CodeKeyReused      Code = "idempotency_key_reused"
	CodeInProgress     Code = "in_progress"
	CodeRateLimited    Code = "rate_limited"
	CodeBusy           Code = "busy"
	CodeOutcomeUnknown Code = "outcome_unknown"
	CodeInternal       Code = "internal"
)

// Why a claim is refused.
const (
	CodeSoldOut        Code = "sold_out"
	CodeAlreadyClaimed Code = "already_claimed"
	CodeLimitReached   Code = "limit_reached"
	CodeNotStarted     Code = "not_started"
	CodeEnded          Code = "ended"
	CodePaused         Code = "paused"
	CodeNotEligible    Code = "not_eligible"

	// CodeInvalidCode is the one answer for a claim code that cannot serve this
	// caller, whatever the reason.
	CodeInvalidCode Code = "code_invalid"
)

// Error is a refusal that the caller may be told in full: a code, a sentence
// without secrets, and what is wrong with which field. Any other error type is
// a fault of ours, and the caller learns nothing of it.
type Error struct {
	Code       Code
	Detail     string
	Fields     []FieldError
	CouponIDs  []ID          // with already_claimed and limit_reached: what the user has
	RetryAfter time.Duration // with busy and rate_limited
	Limit      *RateLimit    // with rate_limited, where the middleware has not told of it
}

// RateLimit is what a caller went beyond: Quota in each Window, all at once if
// need be.
type RateLimit struct {
	Name   string
	Quota  int64
	Window time.Duration
}

// FieldError says what is wrong with one field; Field is its path as in
// "effect.every.spend" or "items[2].quantity".
type FieldError struct {
	Field  string `json:"field"`
	Code   Code   `json:"code"`
	Detail string `json:"detail"`
}

// Error gives the code, the sentence, and what else is wrong.
func (e *Error) Error() string {
	faults := []string{string(e.Code) + ": " + e.Detail}
	for i, field := range e.Fields {
		if i > 0 { // of the first the sentence tells
			faults = append(faults, field.Field+": "+field.Detail)
		}
	}
	return strings.Join(faults, "; ")
}

// Refuse makes an Error.
func Refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Busy makes the refusal that asks the caller to come back a little later.
func Busy(why string) *Error {
	return &Error{Code: CodeBusy, Detail: why, RetryAfter: time.Second}
}

// NotFound says that there is no such thing, or none that the caller may see.
func NotFound(what string) *Error {
	return Refuse(CodeNotFound, "there is no such %s", what)
}

// IsCode reports whether err is a refusal with the given code.
func IsCode(err error, code Code) bool {
	var refusal *Error
	return errors.As(err, &refusal) && refusal.Code == code
}

// ErrUnknown wraps a failure after which nobody can tell whether the change
// was made: the commit was sent and its answer did not come.
var ErrUnknown = errors.New("the outcome of the commit is unknown")

// Faults gathers what is wrong with the fields of one request, so that the
// caller learns all of it at once. NewFaults makes one; its copies, and what In
// and At return, add to the same list. It is not safe for concurrent use.
type Faults struct {
	prefix string
	list   *[]FieldError
}

// NewFaults starts an empty list.
func NewFaults() Faults { return Faults{list: new([]FieldError)} }

// In returns the same list for the fields below name.
func (f Faults) In(name string) Faults {
	return Faults{prefix: f.prefix + name + ".", list: f.list}
}

// At returns the same list for the fields of element i of the list called name.
func (f Faults) At(name string, i int) Faults {
	return f.In(fmt.Sprintf("%s[%d]", name, i))
}

// Add notes a fault.
func (f Faults) Add(field string, code Code, format string, args ...any) {
	*f.list = append(*f.list, FieldError{
		Field: f.prefix + field, Code: code, Detail: fmt.Sprintf(format, args...),
	})
}

// Require notes a missing field unless ok.
func (f Faults) Require(ok bool, field string) {
	if !ok {
		f.Add(field, CodeRequired, "is required")
	}
}

// Between notes a number outside lo…hi.
func (f Faults) Between(field string, n, lo, hi int64) {
	if n < lo || n > hi {
		f.Add(field, CodeOutOfRange, "must be from %d to %d", lo, hi)
	}
}

// Err returns nil, or the refusal that carries every fault. Its code is that
// of the first fault which clients know by a code of its own.
func (f Faults) Err() error {
	if len(*f.list) == 0 {
		return nil
	}
	code := CodeInvalid
	for _, fault := range *f.list {
		if own := fault.Code; own == CodeUnknownField || own == CodeCurrencyDiffer || own == CodeNotUnique {
			code = own
			break
		}
	}
	first := (*f.list)[0]
	return &Error{Code: code, Detail: first.Field + ": " + first.Detail, Fields: *f.list}
}
