// Package middleware is what surrounds every handler: who asks, whether they
// may, how often, for how long, and how an error becomes an answer.
//
// The order that the parts expect, from the outside in: Begin, Access, the
// handler of NewMetrics, Recover, Timeout, Retell, Auth, InFlight, BodyLimit,
// Limits, Allow, Handle. All of it is safe for concurrent use, and nothing here starts a
// goroutine that outlives a request, save Authenticator.Run, which its caller
// starts.
package middleware

import (
	"context"
	"log/slog"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"scrip/models"
)

const (
	headerRequestID = "X-Request-Id"
	maxRequestIDLen = 128
)

// exchange is what the middlewares know of one request. It is the request's
// context itself, so that one allocation carries all of it.
type exchange struct {
	context.Context

	log       *slog.Logger
	began     time.Time
	requestID [1]string // as the header holds it
	traceID   string    // empty without a valid traceparent
	principal models.Principal
	failed    bool // an error has been answered and, if need be, logged
	retell    func(error) error
}

type exchangeKey struct{}

// Value finds the exchange itself, and otherwise what is further out.
func (e *exchange) Value(key any) any {
	if key == (exchangeKey{}) {
		return e
	}
	return e.Context.Value(key)
}

// Begin must be the outermost middleware. It gives the request its id — the
// client's X-Request-Id if that is 1 to 128 graphic ASCII characters, else a
// new UUID of version 7 — and sends it back; it takes up a W3C traceparent, and
// keeps the logger for all that is logged about the request.
func Begin(log *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) { begin(c, log) }
}

func begin(c *gin.Context, log *slog.Logger) *exchange {
	e := &exchange{Context: c.Request.Context(), log: log, began: time.Now()}
	sent := c.Request.Header[headerRequestID]
	if len(sent) == 1 && isRequestID(sent[0]) {
		e.requestID[0] = sent[0]
	} else {
		e.requestID[0] = newRequestID()
	}
	header := c.Writer.Header()
	header[headerRequestID] = e.requestID[:]
	e.continueTrace(c.Request.Header, header)
	c.Request = c.Request.WithContext(e)
	return e
}

// exchangeOf finds the exchange of a request, and begins one where Begin was
// left out.
func exchangeOf(c *gin.Context) *exchange {
	if e, ok := c.Request.Context().Value(exchangeKey{}).(*exchange); ok {
		return e
	}
	return begin(c, slog.Default())
}

// RequestID returns the id under which the request is found in the logs.
func RequestID(c *gin.Context) string { return exchangeOf(c).requestID[0] }

// Principal returns who calls, as Auth found out; the zero value, which may do
// nothing, where Auth was left out.
func Principal(c *gin.Context) models.Principal { return exchangeOf(c).principal }

func isRequestID(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxRequestIDLen
}

func newRequestID() string {
	id, _ := uuid.NewV7() // never fails: crypto/rand ends the program instead
	return id.String()
}

// ids are the attributes by which a log line is found again.
func (e *exchange) ids() []slog.Attr {
	attrs := []slog.Attr{slog.String("request_id", e.requestID[0])}
	if e.traceID != "" {
		attrs = append(attrs, slog.String("trace_id", e.traceID))
	}
	return attrs
}
