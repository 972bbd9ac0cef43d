package middleware

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

const (
	testSecret   = "0123456789abcdef0123456789abcdef"
	testIssuer   = "https://id.example"
	testAudience = "scrip"
)

// signers are the private keys of the tests, made once, for RSA takes long.
type signers struct {
	rsa   *rsa.PrivateKey
	small *rsa.PrivateKey
	p256  *ecdsa.PrivateKey
	p384  *ecdsa.PrivateKey
	ed    ed25519.PrivateKey
}

var testSigners = sync.OnceValue(func() signers {
	var s signers
	s.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	s.small, _ = rsa.GenerateKey(rand.Reader, 1024)
	s.p256, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.p384, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, s.ed, _ = ed25519.GenerateKey(rand.Reader)
	return s
})

func (s signers) edPublic() []byte { return s.ed[ed25519.PrivateKeySize-ed25519.PublicKeySize:] }

// setOf makes a JWK set of the keys by their ids.
func setOf(tb testing.TB, keys map[string]any) []byte {
	tb.Helper()
	var set jwkset.JWKSMarshal
	for id, key := range keys {
		jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{
			Metadata: jwkset.JWKMetadataOptions{KID: id, USE: jwkset.UseSig}, Marshal: jwkset.JWKMarshalOptions{Private: true},
		})
		if err != nil {
			tb.Fatal(err)
		}
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	raw, err := json.Marshal(set)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func publicSet(tb testing.TB) []byte {
	tb.Helper()
	s := testSigners()
	return setOf(tb, map[string]any{
		"rsa": s.rsa.Public(), "p256": s.p256.Public(), "ed": s.ed.Public(), "p384": s.p384.Public(), "small": s.small.Public(),
	})
}

// fixedSet is a keySet whose content does not come from anywhere.
func fixedSet(tb testing.TB, raw []byte, now models.Clock) *keySet {
	tb.Helper()
	s, err := newKeySet(tb.Context(), "https://id.example/jwks.json", nil, now)
	if err != nil {
		tb.Fatal(err)
	}
	s.read = func(context.Context) ([]byte, error) { return raw, nil }
	return s
}

func claimsAt(now time.Time) map[string]any {
	return map[string]any{
		"sub": "u1", "iss": testIssuer, "aud": testAudience, "exp": now.Add(time.Minute).Unix(), "tags": []string{"vip", "new"},
	}
}

// signed makes a token of any claims and header.
func signed(tb testing.TB, method jwt.SigningMethod, key any, claims, header map[string]any) string {
	tb.Helper()
	token := jwt.NewWithClaims(method, jwt.MapClaims(claims))
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func verifierAt(tb testing.TB, clock *handClock, o AuthOptions) *tokens {
	tb.Helper()
	o.Now = clock.now
	var keys *keySet
	if o.JWKS != "" {
		keys = fixedSet(tb, []byte(o.JWKS), clock.now)
	}
	v := newTokens(&o, keys)
	return v
}

func both(tb testing.TB) AuthOptions {
	tb.Helper()
	return AuthOptions{Secret: testSecret, JWKS: string(publicSet(tb)), Issuer: testIssuer, Audience: testAudience}
}

func kid(id string) map[string]any { return map[string]any{"kid": id} }

func TestGoodTokens(t *testing.T) {
	t.Parallel()
	clock, s := newHandClock(), testSigners()
	v := verifierAt(t, clock, both(t))
	claims := claimsAt(clock.now())
	inList := claimsAt(clock.now())
	inList["aud"] = []string{"other", testAudience}
	for name, token := range map[string]string{
		"HS256":          signed(t, jwt.SigningMethodHS256, []byte(testSecret), claims, nil),
		"RS256":          signed(t, jwt.SigningMethodRS256, s.rsa, claims, kid("rsa")),
		"ES256":          signed(t, jwt.SigningMethodES256, s.p256, claims, kid("p256")),
		"EdDSA":          signed(t, jwt.SigningMethodEdDSA, s.ed, claims, kid("ed")),
		"no kid":         signed(t, jwt.SigningMethodES256, s.p256, claims, nil),
		"audience list":  signed(t, jwt.SigningMethodHS256, []byte(testSecret), inList, nil),
		"kid with HS256": signed(t, jwt.SigningMethodHS256, []byte(testSecret), claims, kid("rsa")),
	} {
		got, err := v.principal(t.Context(), token)
		want := models.Principal{Role: models.RoleUser, UserID: "u1", Tags: []string{"vip", "new"}, Credential: "user:u1"}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestClaimsThatAreRefused(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	v := verifierAt(t, clock, both(t))
	now := clock.now()
	for name, test := range map[string]struct {
		change map[string]any // nil: the claim is left out
		detail string
	}{
		"expired now":       {map[string]any{"exp": now.Unix()}, "the token has expired"},
		"expired long ago":  {map[string]any{"exp": 1}, "the token has expired"},
		"no exp":            {map[string]any{"exp": nil}, "the token lacks exp, iss or aud"},
		"exp as text":       {map[string]any{"exp": "tomorrow"}, "the token is not valid"},
		"not yet":           {map[string]any{"nbf": now.Unix() + 1}, "the token is not valid yet"},
		"no issuer":         {map[string]any{"iss": nil}, "the token lacks exp, iss or aud"},
		"another issuer":    {map[string]any{"iss": testIssuer + "/"}, "the token is of another issuer, or for another audience"},
		"no audience":       {map[string]any{"aud": nil}, "the token lacks exp, iss or aud"},
		"empty audience":    {map[string]any{"aud": []string{}}, "the token lacks exp, iss or aud"},
		"another audience":  {map[string]any{"aud": []string{"other"}}, "the token is of another issuer, or for another audience"},
		"no sub":            {map[string]any{"sub": nil}, "the token's sub is not a user id"},
		"empty sub":         {map[string]any{"sub": ""}, "the token's sub is not a user id"},
		"long sub":          {map[string]any{"sub": strings.Repeat("u", 65)}, "the token's sub is not a user id"},
		"sub with a space":  {map[string]any{"sub": "u1 "}, "the token's sub is not a user id"},
		"sub with a NUL":    {map[string]any{"sub": "u\x00"}, "the token's sub is not a user id"},
		"sub as a number":   {map[string]any{"sub": 7}, "the token is not valid"},
		"tags as text":      {map[string]any{"tags": "vip"}, "the token is not valid"},
		"tags with numbers": {map[string]any{"tags": []any{"vip", 7}}, "the token is not valid"},
	} {
		claims := claimsAt(now)
		for name, value := range test.change {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		}
		got, err := v.principal(t.Context(), signed(t, jwt.SigningMethodHS256, []byte(testSecret), claims, nil))
		if !models.IsCode(err, models.CodeUnauthorized) || err.Error() != "unauthorized: "+test.detail || got.Role != "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// The last instant at which a token is good, and no leeway after it.
func TestTokenTimesAreExact(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	v := verifierAt(t, clock, AuthOptions{Secret: testSecret})
	claims := map[string]any{"sub": "u1", "nbf": clock.now().Unix(), "exp": clock.now().Add(time.Minute).Unix()}
	token := signed(t, jwt.SigningMethodHS256, []byte(testSecret), claims, nil)
	for _, step := range []struct {
		by   time.Duration
		good bool
	}{{-time.Millisecond, false}, {time.Millisecond, true}, {time.Minute - time.Millisecond, true}, {time.Millisecond, false}} {
		clock.advance(step.by)
		if _, err := v.principal(t.Context(), token); (err == nil) != step.good {
			t.Errorf("at %s: %v", clock.now().Format(time.RFC3339Nano), err)
		}
	}
}

func TestUncheckedIssuerAndAudience(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	v := verifierAt(t, clock, AuthOptions{Secret: testSecret})
	for _, audience := range []any{"any", []string{"any"}, nil} {
		claims := claimsAt(clock.now())
		claims["aud"], claims["iss"] = audience, "any"
		if _, err := v.principal(t.Context(), signed(t, jwt.SigningMethodHS256, []byte(testSecret), claims, nil)); err != nil {
			t.Errorf("%v: %v", audience, err)
		}
	}
}

// forgeries are tokens that nobody may sign.
func forgeries(tb testing.TB, now time.Time) map[string]string {
	tb.Helper()
	s, claims := testSigners(), claimsAt(now)
	der, err := x509.MarshalPKIXPublicKey(s.rsa.Public())
	if err != nil {
		tb.Fatal(err)
	}
	pkcs1 := x509.MarshalPKCS1PublicKey(&s.rsa.PublicKey)
	hs := func(key []byte) string { return signed(tb, jwt.SigningMethodHS256, key, claims, kid("rsa")) }
	good := signed(tb, jwt.SigningMethodHS256, []byte(testSecret), claims, nil)
	rs := signed(tb, jwt.SigningMethodRS256, s.rsa, claims, kid("rsa"))
	attacker, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	parts := strings.Split(good, ".")
	header := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return map[string]string{
		"none":                         signed(tb, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims, nil),
		"none in capitals":             header(`{"alg":"NONE"}`) + "." + parts[1] + ".",
		"none, old signature":          header(`{"alg":"none"}`) + "." + parts[1] + "." + parts[2],
		"empty algorithm":              header(`{"alg":""}`) + "." + parts[1] + "." + parts[2],
		"algorithm as list":            header(`{"alg":["HS256"]}`) + "." + parts[1] + "." + parts[2],
		"no algorithm":                 header(`{}`) + "." + parts[1] + "." + parts[2],
		"unheard-of algorithm":         header(`{"alg":"HS257"}`) + "." + parts[1] + "." + parts[2],
		"header is null":               header(`null`) + "." + parts[1] + "." + parts[2],
		"claims are null":              parts[0] + "." + header(`null`) + "." + parts[2],
		"HS384":                        signed(tb, jwt.SigningMethodHS384, []byte(testSecret), claims, nil),
		"HS512":                        signed(tb, jwt.SigningMethodHS512, []byte(testSecret), claims, nil),
		"another secret":               hs([]byte(strings.Repeat("x", 32))),
		"empty secret":                 hs([]byte{}),
		"public key as secret, PEM":    hs(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"public key as secret, PKCS1":  hs(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1})),
		"public key as secret, DER":    hs(der),
		"public key as secret, n":      hs(s.rsa.N.Bytes()),
		"public key as secret, JWKS":   hs(publicSet(tb)),
		"public key as secret, Ed":     signed(tb, jwt.SigningMethodHS256, s.edPublic(), claims, kid("ed")),
		"RS256 by another key":         signed(tb, jwt.SigningMethodRS256, attacker, claims, kid("rsa")),
		"RS256 by another key, no kid": signed(tb, jwt.SigningMethodRS256, attacker, claims, nil),
		"RS256 with its own key": signed(tb, jwt.SigningMethodRS256, attacker, claims, map[string]any{
			"jwk": json.RawMessage(setOf(tb, map[string]any{"x": attacker.Public()})), "jku": "https://evil.example/", "kid": "x",
		}),
		"RS256, kid of another kind": signed(tb, jwt.SigningMethodRS256, s.rsa, claims, kid("p256")),
		"RS256, kid as a number":     signed(tb, jwt.SigningMethodRS256, s.rsa, claims, map[string]any{"kid": 7}),
		"RS256, secret as signature": signed(tb, jwt.SigningMethodHS256, []byte(testSecret), claims, map[string]any{"alg": "RS256", "kid": "rsa"}),
		"RS512":                      signed(tb, jwt.SigningMethodRS512, s.rsa, claims, kid("rsa")),
		"PS256":                      signed(tb, jwt.SigningMethodPS256, s.rsa, claims, kid("rsa")),
		"ES384":                      signed(tb, jwt.SigningMethodES384, s.p384, claims, kid("p384")),
		"small RSA":                  signed(tb, jwt.SigningMethodRS256, s.small, claims, kid("small")),
		"critical extension":         signed(tb, jwt.SigningMethodHS256, []byte(testSecret), claims, map[string]any{"crit": []string{"b64"}, "b64": false}),
		"cut signature":              good[:len(good)-2],
		"no signature":               parts[0] + "." + parts[1] + ".",
		"two parts":                  parts[0] + "." + parts[1],
		"four parts":                 good + ".",
		"padding":                    parts[0] + "." + parts[1] + "." + parts[2] + "=",
		"claims of another":          parts[0] + "." + strings.Split(rs, ".")[1] + "x." + parts[2],
		"signature of another":       parts[0] + "." + parts[1] + "." + strings.Split(rs, ".")[2],
		"too long":                   signed(tb, jwt.SigningMethodHS256, []byte(testSecret), map[string]any{"sub": "u1", "exp": now.Unix() + 60, "iss": testIssuer, "aud": testAudience, "x": strings.Repeat("x", maxTokenLen)}, nil),
		"dots":                       "..",
		"text":                       "hunter2",
	}
}

func TestForgeries(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	for setting, v := range map[string]*tokens{
		"secret and keys": verifierAt(t, clock, both(t)),
		"keys only":       verifierAt(t, clock, AuthOptions{JWKS: string(publicSet(t))}),
		"secret only":     verifierAt(t, clock, AuthOptions{Secret: testSecret}),
		"neither":         verifierAt(t, clock, AuthOptions{}),
	} {
		for name, token := range forgeries(t, clock.now()) {
			if got, err := v.principal(t.Context(), token); !models.IsCode(err, models.CodeUnauthorized) || got.Role != "" {
				t.Errorf("%s: %s was taken for %+v, %v", setting, name, got, err)
			}
		}
	}
}

// What is not configured is not accepted, however well it is signed.
func TestAlgorithmsArePinned(t *testing.T) {
	t.Parallel()
	clock, s := newHandClock(), testSigners()
	claims := claimsAt(clock.now())
	hs := signed(t, jwt.SigningMethodHS256, []byte(testSecret), claims, nil)
	empty := signed(t, jwt.SigningMethodHS256, []byte{}, claims, nil)
	rs := signed(t, jwt.SigningMethodRS256, s.rsa, claims, kid("rsa"))
	for _, test := range []struct {
		o    AuthOptions
		bad  []string
		good string
	}{
		{AuthOptions{Secret: testSecret}, []string{rs, empty}, hs},
		{AuthOptions{JWKS: string(publicSet(t))}, []string{hs, empty}, rs},
		{AuthOptions{}, []string{hs, rs, empty}, ""},
	} {
		v := verifierAt(t, clock, test.o)
		for _, token := range test.bad {
			if _, err := v.principal(t.Context(), token); !models.IsCode(err, models.CodeUnauthorized) {
				t.Errorf("%s was accepted: %v", token, err)
			}
		}
		if test.good != "" {
			if _, err := v.principal(t.Context(), test.good); err != nil {
				t.Error(err)
			}
		}
	}
}

// A symmetric key that slipped into a public set signs nothing: everybody knows it.
func TestSymmetricKeyInTheSet(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	leaked := []byte("everybody-knows-this-everybody-k")
	set := setOf(t, map[string]any{"oct": leaked, "ed": testSigners().ed.Public()})
	if !strings.Contains(string(set), `"oct"`) {
		t.Fatalf("the set has no symmetric key: %s", set)
	}
	for _, secret := range []string{"", testSecret} {
		v := verifierAt(t, clock, AuthOptions{JWKS: string(set), Secret: secret})
		token := signed(t, jwt.SigningMethodHS256, leaked, claimsAt(clock.now()), kid("oct"))
		if _, err := v.principal(t.Context(), token); !models.IsCode(err, models.CodeUnauthorized) {
			t.Errorf("accepted: %v", err)
		}
	}
}

func TestMintedToken(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	for _, o := range []AuthOptions{
		{Secret: testSecret, Issuer: testIssuer, Audience: testAudience},
		{Secret: testSecret},
	} {
		v := verifierAt(t, clock, o)
		for _, tags := range [][]string{{"vip"}, nil} {
			token, err := MintUserToken(o.Secret, o.Issuer, o.Audience, "u 1é", tags, time.Hour, clock.now())
			if err != nil {
				t.Fatal(err)
			}
			got, err := v.principal(t.Context(), token)
			want := models.Principal{Role: models.RoleUser, UserID: "u 1é", Tags: tags, Credential: "user:u 1é"}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		}
	}
	if _, err := MintUserToken("", "", "", "u1", nil, time.Hour, clock.now()); err == nil {
		t.Error("a token was signed with nothing")
	}
	if _, err := MintUserToken(testSecret, "", "", " u1", nil, time.Hour, clock.now()); err == nil {
		t.Error("a token was made that nobody accepts")
	}
}
