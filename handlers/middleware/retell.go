package middleware

import "github.com/gin-gonic/gin"

// Retell has errors on these routes told in another way: whatever goes wrong
// from here on inwards, in a middleware or in the handler, is answered and
// logged as the error that fn makes of it. It must come before Auth, and fn must
// return an error and be safe for concurrent use.
//
// It also gives the request an id of our making in place of the one that the
// caller sent, so that nothing of the caller's is in any answer.
func Retell(fn func(error) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		e := exchangeOf(c)
		e.retell = fn
		e.requestID[0] = newRequestID() // the header shares it
	}
}

// told is the error as this route tells it.
func (e *exchange) told(err error) error {
	if e.retell == nil {
		return err
	}
	return e.retell(err)
}
