package middleware

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"scrip/models"
)

// AuthOptions says which credentials an Authenticator accepts.
type AuthOptions struct {
	Keys   keyLookup     // where API keys are looked up; must be safe for concurrent use
	KeyTTL time.Duration // how long its word is believed

	Secret   string // of HS256 tokens, which should have 32 bytes (RFC 7518, 3.2); empty: none are accepted
	JWKS     string // https URL, file URL or path of the keys of other tokens; empty: none are accepted
	Issuer   string // empty: not checked
	Audience string // empty: not checked

	// Failures is how many wrong credentials one client address may send.
	Failures Rate

	Now    models.Clock
	Log    *slog.Logger
	Client *http.Client // for JWKS; nil: the default one
}

// Authenticator finds out who calls.
type Authenticator struct {
	keys     *keyCache
	tokens   *tokens
	failures *buckets
	keySet   *keySet // nil without JWKS
	log      *slog.Logger
}

// NewAuthenticator fails if the JWKS is neither
// an https URL nor a file that can be read. It does not wait for a server.
func NewAuthenticator(ctx context.Context, o AuthOptions) (*Authenticator, error) {
	a := &Authenticator{
		keys:     newKeyCache(o.Keys, o.KeyTTL, o.Now),
		failures: newBuckets("failed_auth", o.Failures, o.Now),
		log:      o.Log,
	}
	var err error
	if o.JWKS != "" {
		client := o.Client
		if client == nil {
			client = http.DefaultClient
		}
		if a.keySet, err = newKeySet(ctx, o.JWKS, client, o.Now); err != nil {
			return nil, err
		}
	}
	a.tokens = newTokens(&o, a.keySet)
	return a, nil
}

// Run keeps the keys of the JWKS up to date until the context ends; without a
// JWKS it returns at once.
func (a *Authenticator) Run(ctx context.Context) {
	if a.keySet != nil {
		a.keySet.run(ctx, a.log)
	}
}

// Forget makes the next request with the API key of this hash look it up. To be
// called after a key's deletion is committed and before that is answered: then
// the key is dead here once its owner is told so.
func (a *Authenticator) Forget(hash [32]byte) { a.keys.forget(hash) }

// Auth requires a credential, Authorization: Bearer, and finds out who calls
// with it: what begins with sk_ is an API key, anything else a user's token.
// Without one, or with a wrong one, the answer is 401; where that cannot be
// told, 503.
//
// An address that sends too many wrong ones gets 429 instead of 401, and its
// keys that were never good are not looked up. Keys that were, and good tokens,
// are still accepted from there: behind one address there may be many.
func Auth(a *Authenticator) gin.HandlerFunc {
	return func(c *gin.Context) {
		credential, ok := bearer(c.Request.Header)
		if !ok {
			fail(c, models.Refuse(models.CodeUnauthorized, "a credential is needed: Authorization: Bearer …"))
			return
		}
		principal, err := a.principal(c, credential)
		if err != nil {
			a.refuse(c, err)
			return
		}
		exchangeOf(c).principal = principal
	}
}

// errTooManyFailures ends a request before its key is looked up.
var errTooManyFailures = errors.New("too many failures from this address")

func (a *Authenticator) principal(c *gin.Context, credential string) (models.Principal, error) {
	ctx := c.Request.Context()
	if !strings.HasPrefix(credential, keyPrefix) {
		return a.tokens.principal(ctx, credential)
	}
	return a.keys.principal(ctx, credential, func() error {
		if a.failures.peek(Address(c)) > 0 {
			return errTooManyFailures
		}
		return nil
	})
}

func (a *Authenticator) refuse(c *gin.Context, err error) {
	address := Address(c)
	switch {
	case errors.Is(err, errTooManyFailures):
		a.failures.refuse(c, max(1, a.failures.peek(address)))
		return
	case models.IsCode(err, models.CodeUnauthorized):
		if wait := a.failures.take(address); wait > 0 {
			a.failures.refuse(c, wait)
			return
		}
		c.Writer.Header()["Www-Authenticate"] = []string{`Bearer error="invalid_token"`}
	}
	fail(c, err)
}

// bearer returns the one bearer credential of a request (RFC 6750, 2.1).
func bearer(h http.Header) (credential string, ok bool) {
	const scheme = "bearer "
	values := h["Authorization"]
	if len(values) != 1 || len(values[0]) <= len(scheme) || !strings.EqualFold(values[0][:len(scheme)], scheme) {
		return "", false
	}
	credential = strings.TrimLeft(values[0][len(scheme):], " ")
	return credential, credential != ""
}

// Allow lets only these roles pass; others, and requests that Auth did not see,
// get 403.
func Allow(roles ...models.Role) gin.HandlerFunc {
	return func(c *gin.Context) {
		if role := exchangeOf(c).principal.Role; !slices.Contains(roles, role) {
			fail(c, models.Refuse(models.CodeForbidden, "the role %s may not do this", role))
		}
	}
}
