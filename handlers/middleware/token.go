package middleware

import (
	"context"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"scrip/models"
)

const (
	algHS256 = "HS256"
	algRS256 = "RS256"
	algES256 = "ES256"
	algEdDSA = "EdDSA"

	maxTokenLen = 8 << 10
)

// userClaims is what we read of a user's token.
type userClaims struct {
	jwt.RegisteredClaims

	Tags []string `json:"tags,omitempty"`
}

// tokens verifies users' tokens. Which kind of key an algorithm gets is fixed
// here, whatever the token says: HS256 the secret and nothing else, the others
// a public key of the set and nothing else. So a public key can never be taken
// for a secret.
//
// There is no leeway: exp and nbf are compared with this machine's clock as
// they are. Issuers whose clocks run ahead should leave out nbf.
type tokens struct {
	secret []byte  // empty: no HS256
	keys   *keySet // nil: HS256 only
	parser *jwt.Parser
}

func newTokens(o *AuthOptions, keys *keySet) *tokens {
	var methods []string
	if o.Secret != "" {
		methods = append(methods, algHS256)
	}
	if keys != nil {
		methods = append(methods, algRS256, algES256, algEdDSA)
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(methods), jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(), jwt.WithTimeFunc(o.Now),
	}
	if o.Issuer != "" {
		options = append(options, jwt.WithIssuer(o.Issuer))
	}
	if o.Audience != "" {
		options = append(options, jwt.WithAudience(o.Audience))
	}
	return &tokens{secret: []byte(o.Secret), keys: keys, parser: jwt.NewParser(options...)}
}

// principal verifies a token and tells whose it is.
func (t *tokens) principal(ctx context.Context, text string) (models.Principal, error) {
	if len(text) > maxTokenLen || len(t.secret) == 0 && t.keys == nil {
		return models.Principal{}, explainToken(jwt.ErrTokenUnverifiable)
	}
	var claims userClaims
	_, err := t.parser.ParseWithClaims(text, &claims, func(token *jwt.Token) (any, error) { return t.key(ctx, token) })
	if err != nil {
		return models.Principal{}, explainToken(err)
	}
	if !isUserID(claims.Subject) {
		return models.Principal{}, models.Refuse(models.CodeUnauthorized, "the token's sub is not a user id")
	}
	return models.Principal{
		Role: models.RoleUser, UserID: claims.Subject, Tags: claims.Tags, Credential: "user:" + claims.Subject,
	}, nil
}

// key picks the key for a token whose algorithm the parser has allowed.
func (t *tokens) key(ctx context.Context, token *jwt.Token) (any, error) {
	if _, critical := token.Header["crit"]; critical {
		return nil, errors.New("it has critical extensions, and we know none") // RFC 7515, 4.1.11
	}
	if token.Method.Alg() == algHS256 {
		return t.secret, nil
	}
	return t.keys.key(ctx, token)
}

// explainToken says what is wrong with a token as far as that helps its owner;
// expiry and the like are looked at only after the signature.
func explainToken(err error) error {
	var refusal *models.Error
	detail := "the token is not valid"
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, jwt.ErrTokenExpired):
		detail = "the token has expired"
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		detail = "the token is not valid yet"
	case errors.Is(err, jwt.ErrTokenInvalidIssuer), errors.Is(err, jwt.ErrTokenInvalidAudience):
		detail = "the token is of another issuer, or for another audience"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		detail = "the token lacks exp, iss or aud"
	}
	return models.Refuse(models.CodeUnauthorized, "%s", detail)
}

func isUserID(s string) bool {
	f := models.NewFaults()
	models.CheckForeign(f, "sub", s)
	return f.Err() == nil
}

// MintUserToken signs a token that Auth takes for the user until now + ttl
// (cut to the second), given the same secret, issuer and audience; empty ones
// are left out.
func MintUserToken(
	secret, issuer, audience, user string, tags []string, ttl time.Duration, now time.Time,
) (string, error) {
	if secret == "" {
		return "", errors.New("there is no secret to sign tokens with")
	}
	if !isUserID(user) {
		return "", errors.New("a user id is 1 to 64 printable characters, with no space at either end")
	}
	claims := userClaims{Tags: tags, RegisteredClaims: jwt.RegisteredClaims{
		Issuer: issuer, Subject: user,
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
	}}
	if audience != "" {
		claims.Audience = jwt.ClaimStrings{audience}
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
}
