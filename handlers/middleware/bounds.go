package middleware

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"scrip/models"
)

// BodyLimit bounds the body of a request to most bytes. A longer one is refused
// by 413 too_large at once where its length is announced; else the reader of
// the body gets an *http.MaxBytesError, and answers. What has come in of all
// bodies at a time is bounded to inAll bytes: beyond it the reader gets the
// refusal 503 busy.
func BodyLimit(most, inAll int64) gin.HandlerFunc {
	var held atomic.Int64
	return func(c *gin.Context) {
		if c.Request.ContentLength > most {
			fail(c, models.Refuse(models.CodeTooLarge, "the body must be at most %d bytes", most))
			return
		}
		body := &meteredBody{ReadCloser: http.MaxBytesReader(c.Writer, c.Request.Body, most), held: &held, most: inAll}
		defer body.release()
		c.Request.Body = body
		c.Next()
	}
}

// meteredBody counts what it has let through until its request is done with.
type meteredBody struct {
	io.ReadCloser

	held *atomic.Int64 // of all bodies
	most int64
	own  int64
}

// Read counts what came, not what was announced: a slow sender holds little.
func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.own += int64(n)
	if b.held.Add(int64(n)) > b.most {
		return n, models.Busy("too much is being sent at once")
	}
	return n, err
}

func (b *meteredBody) release() { b.held.Add(-b.own) }

// InFlight bounds how many requests are worked on at once, in all and of one
// route, so that a crowd at one leaves room at the others; more are refused by
// 503 busy. Routes that have a waiting room of their own further in are left out.
func InFlight(most, ofRoute int64, except ...string) gin.HandlerFunc {
	var all atomic.Int64
	var routes sync.Map // of *atomic.Int64, by the route's path
	return func(c *gin.Context) {
		route := c.FullPath()
		if slices.Contains(except, route) {
			return
		}
		own, known := routes.Load(route)
		if !known {
			own, _ = routes.LoadOrStore(route, new(atomic.Int64))
		}
		running := own.(*atomic.Int64) //nolint:forcetypeassert // nothing else is put there
		defer running.Add(-1)
		// In this order: who finds no room at the route takes none from the others.
		if running.Add(1) > ofRoute {
			fail(c, models.Busy("too many requests for this are being answered"))
			return
		}
		defer all.Add(-1)
		if all.Add(1) > most {
			fail(c, models.Busy("too many requests are being answered"))
			return
		}
		c.Next()
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
		e := exchangeOf(c)
		d := withDeadline(e.Context, time.Now().Add(limit))
		defer d.end()
		e.Context = d // the request has the exchange already: it need not be copied
		c.Next()
	}
}
