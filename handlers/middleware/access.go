package middleware

import (
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"
)

// AccessMode says which requests the access log has.
type AccessMode string

// The three modes. Refusals are no errors: in a sale that sells out they are
// most of the answers.
const (
	AccessErrors AccessMode = "errors" // those answered by 5xx
	AccessAll    AccessMode = "all"
	AccessOff    AccessMode = "off"
)

// Access logs a line for each request of the mode, once it is answered: at
// level warn for 5xx, else info. The caller is named by credential, the path by
// the route's pattern.
func Access(mode AccessMode) gin.HandlerFunc {
	if mode == AccessOff {
		return func(*gin.Context) {}
	}
	return func(c *gin.Context) {
		defer func() {
			level := slog.LevelInfo
			if c.Writer.Status() >= http.StatusInternalServerError {
				level = slog.LevelWarn
			}
			if mode == AccessAll || level == slog.LevelWarn {
				logAccess(c, level)
			}
		}()
		c.Next()
	}
}

func logAccess(c *gin.Context, level slog.Level) {
	e := exchangeOf(c)
	if !e.log.Enabled(e, level) {
		return
	}
	attrs := append(e.ids(),
		slog.String("method", methodOf(c)),
		slog.String("route", routeOf(c)),
		slog.Int("status", c.Writer.Status()),
		slog.Int("bytes", max(0, c.Writer.Size())),
		slog.Duration("took", timeOf(c)),
		slog.String("caller", e.principal.Credential),
	)
	e.log.LogAttrs(e, level, "request", attrs...)
}

// methodOf names the method, if it is one there is: clients may send any word.
func methodOf(c *gin.Context) string {
	switch method := c.Request.Method; method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
