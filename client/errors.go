package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Codes that a caller commonly switches on; the server may send others.
const (
	CodeSoldOut        = "sold_out"
	CodeAlreadyClaimed = "already_claimed"
	CodeLimitReached   = "limit_reached"
	CodeNotStarted     = "not_started"
	CodeEnded          = "ended"
	CodePaused         = "paused"
	CodeNotEligible    = "not_eligible"
	CodeInvalidCode    = "code_invalid" // a claim code that cannot serve this user, whatever the reason
	CodeNotFound       = "not_found"
	CodeVersion        = "version_mismatch"
	CodeInProgress     = "in_progress"
	CodeBusy           = "busy"
	CodeOutcomeUnknown = "outcome_unknown"
	CodeRateLimited    = "rate_limited"

	CodeBudgetExhausted    = "budget_exhausted"
	CodeCouponNotAvailable = "coupon_not_available"
	CodeNotApplicable      = "not_applicable" // Error.Fields says which coupons, and why
	CodeXIDReused          = "xid_reused"
	CodeLockCancelled      = "lock_cancelled"
	CodeLockConfirmed      = "lock_confirmed"
	CodeLockExpired        = "lock_expired"
	CodeLockNotConfirmed   = "lock_not_confirmed"
	CodeRefundExceeds      = "refund_exceeds"
	CodeRefundIDReused     = "refund_id_reused"
)

// Error is an answer of the server that is not a success.
type Error struct {
	Status         int           // of HTTP
	Code           string        // what to switch on; "" if the answer was not Scrip's
	Detail         string        // a sentence for people
	RequestID      string        // to be found in the server's log
	Fields         []FieldError  // what is wrong with which field
	CouponIDs      []string      // with already_claimed and limit_reached: what the user has
	RetryAfter     time.Duration // what the server asked for; 0 if nothing
	IdempotencyKey string        // of the POST; with outcome_unknown, call again with it
}

// FieldError says what is wrong with one field of the request.
type FieldError struct {
	Field  string `json:"field"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Error gives status, code and sentence.
func (e *Error) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "scrip: %d %s", e.Status, e.Code)
	if e.Detail != "" {
		text.WriteString(": " + e.Detail)
	}
	if e.RequestID != "" {
		text.WriteString(" (request " + e.RequestID + ")")
	}
	return text.String()
}

// IsCode reports whether err is an answer with the given code.
func IsCode(err error, code string) bool {
	var answer *Error
	return errors.As(err, &answer) && answer.Code == code
}

// UnansweredError says that no answer came: the call may have been carried out
// or not. Of a POST, the same call with IdempotencyKey finds out.
type UnansweredError struct {
	IdempotencyKey string
	Err            error
}

// Error says what went wrong on the way.
func (e *UnansweredError) Error() string { return "scrip: no answer: " + e.Err.Error() }

// Unwrap gives what went wrong on the way; context errors among it.
func (e *UnansweredError) Unwrap() error { return e.Err }

var errPatience = errors.New("the client's patience is at its end")

// unanswered names the context's cause too: http.Client says no more than that
// the deadline is over.
func unanswered(ctx context.Context, request *call, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return &UnansweredError{IdempotencyKey: request.key, Err: err}
}

// refusal reads an answer that is not a success. One that is not a problem
// document, from a proxy on the way perhaps, gives its status alone.
func refusal(resp *http.Response, body []byte, request *call) error {
	var problem struct {
		Code      string       `json:"code"`
		Title     string       `json:"title"`
		Detail    string       `json:"detail"`
		RequestID string       `json:"request_id"`
		Errors    []FieldError `json:"errors"`
		CouponIDs []string     `json:"coupon_ids"`
	}
	if err := json.Unmarshal(body, &problem); err != nil {
		problem.Detail = http.StatusText(resp.StatusCode)
	}
	if problem.Detail == "" {
		problem.Detail = problem.Title
	}
	if problem.RequestID == "" {
		problem.RequestID = resp.Header.Get("X-Request-Id")
	}
	return &Error{
		Status: resp.StatusCode, Code: problem.Code, Detail: problem.Detail, RequestID: problem.RequestID,
		Fields: problem.Errors, CouponIDs: problem.CouponIDs,
		RetryAfter:     RetryAfter(resp.Header.Get("Retry-After"), time.Now()),
		IdempotencyKey: request.key,
	}
}

// RetryAfter reads the value of a Retry-After header, seconds or a date. What
// is neither, or lies in the past, is 0.
func RetryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// worthRepeating reports whether the same request may well be answered
// otherwise a little later.
func worthRepeating(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	var answer *Error
	if errors.As(err, &answer) {
		switch answer.Status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return answer.Code == CodeInProgress
	}
	var untrusted *tls.CertificateVerificationError
	var lost *UnansweredError
	return errors.As(err, &lost) && !errors.As(err, &untrusted)
}

const (
	firstPause   = 50 * time.Millisecond
	longestPause = 5 * time.Second
)

// pause says how long to wait after so many tries: doubled each time up to a
// cap, never less than the server asked for, and spread over half as much
// again so that callers who were refused together do not come back together.
func pause(tries int, err error) time.Duration {
	wait := min(firstPause<<min(tries-1, 16), longestPause)
	var answer *Error
	if errors.As(err, &answer) {
		wait = max(wait, answer.RetryAfter)
	}
	return wait + rand.N(wait/2) //nolint:gosec // spreading needs no secrecy
}

// sleep waits, and reports false if the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
