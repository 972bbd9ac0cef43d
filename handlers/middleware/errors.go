package middleware

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"

	"scrip/models"
)

// Handle makes a handler of a function that returns its error. The error is
// answered as Render says, and logged if the caller is told nothing of it.
// Where the response has already begun, the connection is cut, so that the
// client does not take a part for the whole.
func Handle(fn func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		err := fn(c)
		if err == nil {
			return
		}
		begun := c.Writer.Written() && !exchangeOf(c).failed
		fail(c, err)
		if begun {
			panic(http.ErrAbortHandler)
		}
	}
}

// fail ends the request with an error. Of several errors in one request the
// first counts: the answer has been given by then.
func fail(c *gin.Context, err error) {
	c.Abort()
	e := exchangeOf(c)
	if e.failed {
		return
	}
	e.failed = true
	err = e.told(err)
	status, body, header := Render(err, e.requestID[0])
	e.report(c, err, status)
	if !c.Writer.Written() {
		answer(c, status, body, header)
	}
}

// answer sends a whole response. Headers that a handler set for the body it did
// not come to send are taken back.
func answer(c *gin.Context, status int, body []byte, header http.Header) {
	h := c.Writer.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Disposition", "Etag"} {
		delete(h, name)
	}
	for name, values := range header {
		// A middleware that has set one already knew more.
		if h[name] == nil || name == "Content-Type" {
			h[name] = values
		}
	}
	c.Writer.WriteHeader(status)
	_, _ = c.Writer.Write(body) // a client that has gone needs no answer
}

// report logs the errors of which the caller learns nothing, or not enough.
func (e *exchange) report(c *gin.Context, err error, status int) {
	level, message := slog.LevelError, "request failed"
	switch {
	case errors.Is(err, models.ErrUnknown):
		level, message = slog.LevelWarn, "outcome unknown"
	case status == http.StatusInternalServerError && !isReplay(err):
	case (status == http.StatusServiceUnavailable || status == http.StatusTooEarly) && hasCause(err):
		level, message = slog.LevelWarn, "busy"
	case c.Writer.Written() && !errors.Is(err, context.Canceled):
		message = "request failed after its answer had begun"
	default:
		return
	}
	attrs := append(e.ids(), slog.String("route", routeOf(c)), slog.Any("error", err))
	e.log.LogAttrs(e, level, message, attrs...)
}

func isReplay(err error) bool {
	var replay *models.Replay
	return errors.As(err, &replay)
}

// hasCause reports whether more is known than the refusal says, and not only
// that time ran out.
func hasCause(err error) bool {
	var refusal *models.Error
	return errors.As(err, &refusal) && err.Error() != refusal.Error() &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// routeOf names the route by its pattern. A URL would be as many names as there
// are ids, and would carry them into the logs.
func routeOf(c *gin.Context) string {
	if pattern := c.FullPath(); pattern != "" {
		return pattern
	}
	return "none"
}
