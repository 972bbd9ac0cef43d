package middleware

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// FuzzAuth sends anything as a credential. It must not panic, and let nobody in
// who does not bring one of the good credentials as it is.
func FuzzAuth(f *testing.F) {
	clock, s := newHandClock(), testSigners()
	o := both(f)
	keys := fixedSet(f, []byte(o.JWKS), clock.now)
	o.Now = clock.now
	table := newKeyTable()
	table.set(testKey, service())
	verifier := newTokens(&o, keys)
	a := &Authenticator{keys: newKeyCache(table, o.KeyTTL, clock.now), tokens: verifier}
	r := router(f, Begin(quiet()), Auth(a), whoami)

	claims := claimsAt(clock.now())
	good := map[string]bool{
		testKey: true,
		signed(f, jwt.SigningMethodHS256, []byte(testSecret), claims, nil): true,
		signed(f, jwt.SigningMethodRS256, s.rsa, claims, kid("rsa")):       true,
		signed(f, jwt.SigningMethodES256, s.p256, claims, kid("p256")):     true,
		signed(f, jwt.SigningMethodEdDSA, s.ed, claims, kid("ed")):         true,
	}
	for credential := range good {
		f.Add("Bearer " + credential)
		f.Add("bearer  " + credential)
		f.Add(credential)
	}
	for _, forgery := range forgeries(f, clock.now()) {
		f.Add("Bearer " + forgery)
	}
	f.Fuzz(func(t *testing.T, header string) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/things/1", http.NoBody)
		request.Header["Authorization"] = []string{header}
		recorder := httptest.NewRecorder()
		r.ServeHTTP(recorder, request)
		switch recorder.Code {
		case http.StatusUnauthorized:
		case http.StatusOK:
			// base64 skips line ends, which no header can have.
			credential := strings.NewReplacer("\r", "", "\n", "").Replace(strings.TrimLeft(header[len("bearer "):], " "))
			if !good[credential] {
				t.Errorf("%q was let in as %s", header, recorder.Body)
			}
		default:
			t.Errorf("%q was answered %d %s", header, recorder.Code, recorder.Body)
		}
	})
}

// FuzzTraceparent compares the parser with the grammar.
func FuzzTraceparent(f *testing.F) {
	f.Add(goodTrace)
	f.Add("cc" + goodTrace[2:] + "-more")
	f.Add("ff" + goodTrace[2:])
	f.Fuzz(func(t *testing.T, s string) {
		if !isTraceparent(s) {
			return
		}
		parts := strings.Split(s, "-")
		if len(parts) < 4 || len(parts[0]) != 2 || len(parts[1]) != 32 || len(parts[2]) != 16 || len(parts[3]) != 2 ||
			strings.Trim(strings.Join(parts[:4], ""), "0123456789abcdef") != "" || parts[0] == "ff" ||
			strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" || parts[0] == "00" && len(parts) != 4 {
			t.Errorf("%q passes", s)
		}
	})
}
