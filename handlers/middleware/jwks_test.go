package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"scrip/models"
)

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// setServer answers with a JWK set over TLS and counts the questions.
type setServer struct {
	*httptest.Server

	set    atomic.Pointer[[]byte]
	status atomic.Int64
	asked  atomic.Int64
}

func newSetServer(t *testing.T, set []byte) *setServer {
	t.Helper()
	s := &setServer{}
	s.set.Store(&set)
	s.status.Store(http.StatusOK)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.asked.Add(1)
		w.WriteHeader(int(s.status.Load()))
		_, _ = w.Write(*s.set.Load())
	}))
	t.Cleanup(s.Close)
	return s
}

func authenticatorAt(tb testing.TB, clock *handClock, o AuthOptions) *Authenticator {
	tb.Helper()
	o.Now, o.Log = clock.now, quiet()
	a, err := NewAuthenticator(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func TestKeysFromAFile(t *testing.T) {
	t.Parallel()
	clock, s := newHandClock(), testSigners()
	path := filepath.Join(t.TempDir(), "jwks.json")
	writeFile(t, path, setOf(t, map[string]any{"old": s.p256.Public()}))
	oldToken := signed(t, jwt.SigningMethodES256, s.p256, claimsAt(clock.now()), kid("old"))
	newToken := signed(t, jwt.SigningMethodEdDSA, s.ed, claimsAt(clock.now()), kid("new"))
	for _, url := range []string{path, "file://" + path} {
		a := authenticatorAt(t, clock, AuthOptions{JWKS: url})
		if _, err := a.tokens.principal(t.Context(), oldToken); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if _, err := a.tokens.principal(t.Context(), newToken); !models.IsCode(err, models.CodeUnauthorized) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestKeysThatCannotBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"empty": "", "text": "hunter2", "no keys": `{"keys":[]}`, "unusable": `{"keys":[{"kty":"oct","k":"c2VjcmV0"},{"kty":"RSA"},{}]}`,
	} {
		path := filepath.Join(dir, name)
		writeFile(t, path, []byte(content))
		if _, err := NewAuthenticator(t.Context(), AuthOptions{JWKS: path, Now: time.Now}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, url := range []string{filepath.Join(dir, "absent"), "http://id.example/", "ftp://id.example/"} {
		if _, err := NewAuthenticator(t.Context(), AuthOptions{JWKS: url, Now: time.Now}); err == nil {
			t.Errorf("%s: accepted", url)
		}
	}
}

// Of a private key that was published by mistake the public half is used; keys
// for other uses are left alone, and spoil nothing.
func TestKeysBesideOurs(t *testing.T) {
	t.Parallel()
	s := testSigners()
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(setOf(t, map[string]any{"ed": s.ed, "rsa": s.rsa.Public()}), &set); err != nil {
		t.Fatal(err)
	}
	for _, key := range set.Keys {
		if key["kid"] == "rsa" {
			key["use"] = "enc"
		}
	}
	set.Keys = append(set.Keys, map[string]any{"kty": "OKP", "crv": "Ed448", "x": "AA"}, map[string]any{"kty": "later"})
	raw, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := publicKeys(raw)
	if err != nil || len(keys) != 1 || keys[0].Marshal().KID != "ed" || keys[0].Marshal().D != "" {
		t.Errorf("%v, %v", keys, err)
	}
}

func TestKeysFromAServerAndTheirRotation(t *testing.T) {
	t.Parallel()
	clock, s := newHandClock(), testSigners()
	server := newSetServer(t, setOf(t, map[string]any{"old": s.p256.Public()}))
	a := authenticatorAt(t, clock, AuthOptions{JWKS: server.URL, Client: server.Client()})
	if n := server.asked.Load(); n != 0 {
		t.Errorf("%d questions before anybody came", n)
	}
	good := func(token string) bool {
		_, err := a.tokens.principal(t.Context(), token)
		if err != nil && !models.IsCode(err, models.CodeUnauthorized) {
			t.Errorf("got %v", err)
		}
		return err == nil
	}
	claims := claimsAt(clock.now().Add(time.Hour))
	oldToken := signed(t, jwt.SigningMethodES256, s.p256, claims, kid("old"))
	newToken := signed(t, jwt.SigningMethodRS256, s.rsa, claims, kid("new"))
	if !good(oldToken) || good(newToken) || server.asked.Load() != 1 {
		t.Fatalf("at first, with %d questions", server.asked.Load())
	}
	rotated := setOf(t, map[string]any{"new": s.rsa.Public()})
	server.set.Store(&rotated)
	clock.advance(jwksGap - time.Millisecond)
	if !good(oldToken) || good(newToken) || server.asked.Load() != 1 {
		t.Errorf("a moment later, with %d questions", server.asked.Load())
	}
	clock.advance(time.Millisecond)
	if !good(newToken) || good(oldToken) || server.asked.Load() != 2 {
		t.Errorf("after the rotation, with %d questions", server.asked.Load())
	}
	for range 100 {
		good(oldToken)
	}
	if n := server.asked.Load(); n != 2 {
		t.Errorf("tokens with old keys caused %d questions", n-2)
	}
	server.status.Store(http.StatusInternalServerError)
	clock.advance(jwksGap)
	if good(oldToken) || !good(newToken) || server.asked.Load() != 3 {
		t.Errorf("the server is ill, and the keys are gone; %d questions", server.asked.Load())
	}
}

func TestServerThatIsAway(t *testing.T) {
	t.Parallel()
	clock, s := newHandClock(), testSigners()
	server := newSetServer(t, setOf(t, map[string]any{"k": s.p256.Public()}))
	server.status.Store(http.StatusBadGateway)
	a := authenticatorAt(t, clock, AuthOptions{JWKS: server.URL, Client: server.Client(), Secret: testSecret})
	claims := claimsAt(clock.now())
	token := signed(t, jwt.SigningMethodES256, s.p256, claims, kid("k"))
	for range 3 {
		if _, err := a.tokens.principal(t.Context(), token); !models.IsCode(err, models.CodeBusy) {
			t.Errorf("got %v", err)
		}
	}
	if n := server.asked.Load(); n != 1 {
		t.Errorf("%d questions", n)
	}
	secret := signed(t, jwt.SigningMethodHS256, []byte(testSecret), claims, nil)
	if _, err := a.tokens.principal(t.Context(), secret); err != nil {
		t.Errorf("a token that needs no key: %v", err)
	}
	server.status.Store(http.StatusOK)
	clock.advance(jwksGap)
	if _, err := a.tokens.principal(t.Context(), token); err != nil {
		t.Errorf("the server is back: %v", err)
	}
}

func TestServerThatIsNotToBeTrusted(t *testing.T) {
	t.Parallel()
	set := publicSet(t)
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) }))
	defer plain.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"redirects to http":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) },
		"redirects for ever": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) },
		"has no end": func(w http.ResponseWriter, _ *http.Request) {
			for range 2 * maxJWKS / 1024 {
				_, _ = w.Write([]byte(strings.Repeat(" ", 1024)))
			}
			_, _ = w.Write(set)
		},
	} {
		server := httptest.NewUnstartedServer(answer)
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail here, as they should
		server.StartTLS()
		keys, err := newKeySet(t.Context(), server.URL, server.Client(), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.load(t.Context()); err == nil || keys.loaded.Load() {
			t.Errorf("%s: its keys are taken", name)
		}
		stranger, err := newKeySet(t.Context(), server.URL, plain.Client(), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if err := stranger.load(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: its certificate is taken: %v", name, err)
		}
		server.Close()
	}
}

// After a rotation every user comes with the new key at once. They wait for one
// read, and none is turned away.
func TestUsersShareARead(t *testing.T) {
	t.Parallel()
	s := testSigners()
	set := setOf(t, map[string]any{"k": s.p256.Public()})
	synctest.Test(t, func(t *testing.T) {
		clock := newHandClock()
		keys := fixedSet(t, nil, clock.now)
		release := make(chan struct{})
		var asked atomic.Int64
		keys.read = func(ctx context.Context) ([]byte, error) {
			asked.Add(1)
			select {
			case <-release:
				return set, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		v := newTokens(&AuthOptions{Now: clock.now}, keys)
		token := signed(t, jwt.SigningMethodES256, s.p256, claimsAt(clock.now()), kid("k"))
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := v.principal(impatient, token); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the impatient one: %v", err)
		}
		results := make(chan error, 10)
		for range cap(results) {
			go func() {
				_, err := v.principal(t.Context(), token)
				results <- err
			}()
		}
		synctest.Wait()
		close(release)
		for range cap(results) {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if asked.Load() != 1 {
			t.Errorf("%d reads", asked.Load())
		}
	})
}

func TestRunReadsTheKeysAgain(t *testing.T) {
	t.Parallel()
	s := testSigners()
	oldSet, newSet := setOf(t, map[string]any{"k": s.p256.Public()}), setOf(t, map[string]any{"k": s.ed.Public()})
	path := filepath.Join(t.TempDir(), "jwks.json")
	writeFile(t, path, oldSet)
	synctest.Test(t, func(t *testing.T) {
		var book logBook
		ctx, cancel := context.WithCancelCause(t.Context())
		a, err := NewAuthenticator(ctx, AuthOptions{JWKS: path, Now: time.Now, Log: book.logger()})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			a.Run(ctx)
			close(done)
		}()
		synctest.Wait()
		claims := claimsAt(time.Now().Add(time.Hour))
		check := func(step string, wantOld bool) {
			t.Helper()
			_, oldErr := a.tokens.principal(ctx, signed(t, jwt.SigningMethodES256, s.p256, claims, kid("k")))
			_, newErr := a.tokens.principal(ctx, signed(t, jwt.SigningMethodEdDSA, s.ed, claims, kid("k")))
			if (oldErr == nil) != wantOld || (newErr == nil) == wantOld {
				t.Errorf("%s: old %v, new %v", step, oldErr, newErr)
			}
		}
		check("at first", true)
		writeFile(t, path, []byte("half a fi"))
		<-time.After(jwksEvery)
		synctest.Wait()
		check("while the file is broken", true)
		if lines := book.lines(t); len(lines) != 1 || lines[0]["level"] != "WARN" {
			t.Errorf("logged %v", lines)
		}
		writeFile(t, path, newSet)
		<-time.After(jwksEvery)
		synctest.Wait()
		check("after the change", false)
		cancel(errors.New("the test is over"))
		<-done
	})
}

func TestRunWithoutKeys(t *testing.T) {
	t.Parallel()
	authenticatorAt(t, newHandClock(), AuthOptions{Secret: testSecret}).Run(t.Context())
}

func TestReadThatPanics(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	keys := fixedSet(t, nil, clock.now)
	keys.read = func(context.Context) ([]byte, error) { panic("bad key") }
	v := newTokens(&AuthOptions{Now: clock.now}, keys)
	token := signed(t, jwt.SigningMethodES256, testSigners().p256, claimsAt(clock.now()), kid("k"))
	if _, err := v.principal(t.Context(), token); !models.IsCode(err, models.CodeBusy) {
		t.Errorf("got %v", err)
	}
}

func ExampleMintUserToken() {
	now := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	token, err := MintUserToken("0123456789abcdef0123456789abcdef", "", "", "u-1001", []string{"vip"}, time.Hour, now)
	fmt.Println(strings.Count(token, "."), err)
	// Output: 2 <nil>
}
