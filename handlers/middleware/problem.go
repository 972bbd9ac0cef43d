package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"scrip/models"
)

const (
	typeJSON    = "application/json"
	typeProblem = "application/problem+json"

	// Nobody is told to wait longer: by then everything may be different.
	maxRetryAfter = time.Hour
)

// problem is an error as RFC 9457 has it. Its type stays about:blank, with the
// title that belongs to it: clients switch on code.
type problem struct {
	Type      string              `json:"type"`
	Title     string              `json:"title"`
	Status    int                 `json:"status"`
	Code      models.Code         `json:"code"`
	Detail    string              `json:"detail"`
	RequestID string              `json:"request_id"`
	Errors    []models.FieldError `json:"errors,omitempty"`
	CouponIDs []models.ID         `json:"coupon_ids,omitempty"`
}

// statusOf gives every code its HTTP status; 0 for a code it does not know.
func statusOf(code models.Code) int {
	switch code {
	case models.CodeBadJSON:
		return http.StatusBadRequest
	case models.CodeUnauthorized:
		return http.StatusUnauthorized
	case models.CodeForbidden:
		return http.StatusForbidden
	case models.CodeNotFound, models.CodeNoRoute:
		return http.StatusNotFound
	case models.CodeNoMethod:
		return http.StatusMethodNotAllowed
	case models.CodeWrongState, models.CodeStockBelow, models.CodeInProgress,
		models.CodeSoldOut, models.CodeAlreadyClaimed, models.CodeLimitReached,
		models.CodeNotStarted, models.CodeEnded, models.CodePaused, models.CodeNotEligible, models.CodeInvalidCode:
		return http.StatusConflict
	case models.CodeCouponNotAvailable, models.CodeExpired, models.CodeOutOfScope, models.CodeMinAmount,
		models.CodeMinQuantity, models.CodeUserTagsAny, models.CodeFirstOrder, models.CodePaymentMethods,
		models.CodeChannels, models.CodeDaysOfWeek, models.CodeTimeOfDay, models.CodeExpression,
		models.CodeBudgetExhausted, models.CodeExclusive, models.CodeGroup, models.CodeMaxPerOrder, models.CodeNoEffect,
		models.CodeNotApplicable, models.CodeLockCancelled, models.CodeLockConfirmed, models.CodeLockExpired,
		models.CodeNotConfirmed, models.CodeRefundExceeds:
		return http.StatusConflict
	case models.CodeVersion:
		return http.StatusPreconditionFailed
	case models.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case models.CodeNotJSON, models.CodeMediaType:
		return http.StatusUnsupportedMediaType
	case models.CodeInvalid, models.CodeRequired, models.CodeOutOfRange, models.CodeUnknownField,
		models.CodeNotUnique, models.CodeUnknownRef, models.CodeCurrencyDiffer, models.CodeKeyReused,
		models.CodeXIDReused, models.CodeRefundReused:
		return http.StatusUnprocessableEntity
	case models.CodeTooEarly:
		return http.StatusTooEarly
	case models.CodeNeedsIfMatch:
		return http.StatusPreconditionRequired
	case models.CodeRateLimited:
		return http.StatusTooManyRequests
	case models.CodeInternal:
		return http.StatusInternalServerError
	case models.CodeBusy, models.CodeOutcomeUnknown:
		return http.StatusServiceUnavailable
	}
	return 0
}

// refusalOf turns any error into what the caller may be told of it: a refusal
// as it stands, and of a fault of ours nothing.
func refusalOf(err error) *models.Error {
	var refusal *models.Error
	switch {
	case models.IsCode(err, models.CodeTooEarly): // whatever it covers up
		errors.As(err, &refusal)
		return refusal
	case errors.Is(err, models.ErrUnknown): // whatever else it wraps
		return &models.Error{
			Code:   models.CodeOutcomeUnknown,
			Detail: "it may have happened; the same request again tells",
		}
	case errors.As(err, &refusal) && refusal.Code != models.CodeInternal && statusOf(refusal.Code) != 0:
		return refusal
	case refusal == nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)):
		return models.Busy("there was no time left for it; nothing was changed")
	}
	return &models.Error{Code: models.CodeInternal, Detail: "something went wrong on our side"}
}

// Told says with which status and code an error is answered.
func Told(err error) (status int, code models.Code) {
	refusal := refusalOf(err)
	return statusOf(refusal.Code), refusal.Code
}

// Render turns an error into an answer: a *models.Replay into the very answer
// it holds, a *models.Error into its problem, models.ErrUnknown into 503
// outcome_unknown, a context that ended into 503 busy, and anything else into
// 500 internal, of which the body says no more than the request id.
func Render(err error, requestID string) (status int, body []byte, header http.Header) {
	var replay *models.Replay
	if errors.As(err, &replay) {
		return renderReplay(replay)
	}
	refusal := refusalOf(err)
	status = statusOf(refusal.Code)
	body, _ = json.Marshal(problem{ // never fails: nothing but text and numbers
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Code: refusal.Code, Detail: refusal.Detail, RequestID: requestID,
		Errors: refusal.Fields, CouponIDs: refusal.CouponIDs,
	})
	header = http.Header{"Content-Type": {typeProblem}}
	if limit := refusal.Limit; limit != nil {
		header["Ratelimit-Policy"] = []string{policy(limit.Name, limit.Quota, limit.Window)}
		header["Ratelimit"] = []string{exceeded(limit.Name, refusal.RetryAfter)}
	}
	switch refusal.Code { //nolint:exhaustive // the few that come with a header of their own
	case models.CodeBusy, models.CodeRateLimited, models.CodeOutcomeUnknown:
		header["Retry-After"] = []string{strconv.Itoa(retrySeconds(refusal.RetryAfter))}
	case models.CodeUnauthorized:
		header["Www-Authenticate"] = []string{"Bearer"}
	}
	return status, body, header
}

func renderReplay(replay *models.Replay) (status int, body []byte, header http.Header) {
	header = http.Header{"Content-Type": {typeJSON}, "Idempotency-Replayed": {"true"}}
	if replay.Status >= http.StatusBadRequest {
		header["Content-Type"] = []string{typeProblem}
	}
	return replay.Status, replay.Body, header
}

// retrySeconds rounds up, for coming back too early is refused again.
func retrySeconds(wait time.Duration) int {
	wait = min(max(wait, time.Second), maxRetryAfter)
	return int((wait + time.Second - 1) / time.Second)
}
