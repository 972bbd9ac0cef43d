package middleware

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"scrip/models"
)

// TestRetell sees that whatever refuses, outside the handler too, is told the
// route's way, under an id of our own.
func TestRetell(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	retell := Retell(func(err error) error {
		if status, code := Told(err); status != 500 {
			return models.Refuse(models.CodeTooEarly, "it was %d %s", status, code)
		}
		return err
	})
	limits := Limits(Rate{}, Rate{PerSecond: 1, Burst: 1}, clock.now)
	for name, test := range map[string]struct {
		chain  []gin.HandlerFunc
		code   models.Code
		detail string
	}{
		"handler":  {[]gin.HandlerFunc{failing(models.Busy("hunter2"))}, models.CodeTooEarly, "it was 503 busy"},
		"auth":     {[]gin.HandlerFunc{Auth(authAt(t, clock, newKeyTable(), Rate{})), ok}, models.CodeTooEarly, "it was 401 unauthorized"},
		"role":     {[]gin.HandlerFunc{Allow(models.RoleUser), ok}, models.CodeTooEarly, "it was 403 forbidden"},
		"limits":   {[]gin.HandlerFunc{caller(service()), limits, limits, ok}, models.CodeTooEarly, "it was 429 rate_limited"},
		"panic":    {[]gin.HandlerFunc{func(*gin.Context) { panic("hunter2") }}, models.CodeInternal, "something went wrong on our side"},
		"no error": {[]gin.HandlerFunc{failing(errors.New("hunter2"))}, models.CodeInternal, "something went wrong on our side"},
	} {
		chain := append([]gin.HandlerFunc{Begin(quiet()), Recover(), retell}, test.chain...)
		got := serve(t, get(t, "X-Request-Id", "hunter2"), chain...)
		p := problemIn(t, got)
		if p.Code != test.code || p.Detail != test.detail || strings.Contains(got.Body.String(), "hunter2") {
			t.Errorf("%s: got %d %s", name, got.Code, got.Body)
		}
	}
}

// TestTooEarlyCoversUpAndIsLogged: the caller learns no more than that it is to
// call again, the log learns why.
func TestTooEarlyCoversUpAndIsLogged(t *testing.T) {
	t.Parallel()
	early := models.Refuse(models.CodeTooEarly, "call again")
	for name, test := range map[string]struct {
		err  error
		line string
	}{
		"nothing more": {early, ""},
		"unknown":      {fmt.Errorf("%w: %w", early, models.ErrUnknown), "outcome unknown"},
		"away":         {fmt.Errorf("%w: %w", early, errors.New("connection refused")), "busy"},
	} {
		var book logBook
		got := serve(t, get(t), Begin(book.logger()), failing(test.err))
		if p := problemIn(t, got); p.Status != 425 || p.Detail != "call again" {
			t.Errorf("%s: got %s", name, got.Body)
		}
		lines := book.lines(t)
		if test.line == "" && len(lines) > 0 || test.line != "" && (len(lines) != 1 || lines[0]["msg"] != test.line) {
			t.Errorf("%s: logged %v", name, lines)
		}
	}
}
