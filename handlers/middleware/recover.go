package middleware

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/gin-gonic/gin"

	"scrip/models"
)

// Recover answers a panic by 500 internal, logs it with its stack, and lets the
// process go on. If the response had begun, the connection is cut, so that the
// client does not take a part for the whole. http.ErrAbortHandler, which asks
// for just that, passes.
func Recover() gin.HandlerFunc {
	return func(c *gin.Context) {
		defer func() {
			if cause := recover(); cause != nil {
				recovered(c, cause)
			}
		}()
		c.Next()
	}
}

func recovered(c *gin.Context, cause any) {
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	e := exchangeOf(c)
	attrs := append(e.ids(), slog.String("route", routeOf(c)),
		slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
	e.log.LogAttrs(e, slog.LevelError, "panic", attrs...)
	c.Abort()
	if c.Writer.Written() {
		panic(http.ErrAbortHandler)
	}
	e.failed = true
	status, body, header := Render(e.told(models.Refuse(models.CodeInternal, "")), e.requestID[0])
	answer(c, status, body, header)
}

// safely turns a panic of fn into its error. It is for work that is done in a
// goroutine of its own, where a panic would end the process.
func safely(fn func() (any, error)) func() (any, error) {
	return func() (result any, err error) {
		defer func() {
			if cause := recover(); cause != nil {
				err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
			}
		}()
		return fn()
	}
}
