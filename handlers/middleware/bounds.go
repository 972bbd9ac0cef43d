package middleware

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"scrip/models"
)

// BodyLimit bounds the body of a request to most bytes. A longer one is refused
// by 413 too_large at once where its length is announced; else the reader of
// the body gets an *http.MaxBytesError, and answers.
func BodyLimit(most int64) gin.HandlerFunc {
	return func(c *gin.Context) {
		if c.Request.ContentLength > most {
			fail(c, models.Refuse(models.CodeTooLarge, "the body must be at most %d bytes", most))
			return
		}
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, most)
	}
}

// Timeout puts a deadline on the context of the request: its route's own, as in
// "/v1/claims", or else d. It stops nobody who does not look at the context, and
// starts no goroutine.
func Timeout(d time.Duration, routes map[string]time.Duration) gin.HandlerFunc {
	return func(c *gin.Context) {
		limit, own := routes[c.FullPath()]
		if !own {
			limit = d
		}
		ctx, cancel := context.WithTimeout(c.Request.Context(), limit)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		c.Next()
	}
}
