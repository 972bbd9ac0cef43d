package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

const testKey = "sk_abc"

// whoami answers with the credential of whoever Auth let in.
func whoami(c *gin.Context) { c.String(http.StatusOK, "%s", Principal(c).Credential) }

func authAt(tb testing.TB, clock *handClock, table *keyTable, failures Rate) *Authenticator {
	tb.Helper()
	table.set(testKey, service())
	return authenticatorAt(tb, clock, AuthOptions{
		Keys: table, KeyTTL: 2 * time.Second, Secret: testSecret, Failures: failures,
	})
}

func minted(tb testing.TB, clock *handClock) string {
	tb.Helper()
	token, err := MintUserToken(testSecret, "", "", "u1", nil, time.Hour, clock.now())
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

func TestAuth(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	auth := Auth(authAt(t, clock, newKeyTable(), Rate{}))
	token := minted(t, clock)
	const none, wrong = "Bearer", `Bearer error="invalid_token"`
	for _, test := range []struct {
		sent      []string
		caller    string // empty: 401
		challenge string
	}{
		{[]string{"Bearer " + testKey}, "key:1", ""},
		{[]string{"bearer " + testKey}, "key:1", ""},
		{[]string{"BEARER   " + testKey}, "key:1", ""},
		{[]string{"Bearer " + token}, "user:u1", ""},
		{nil, "", none},
		{[]string{""}, "", none},
		{[]string{"Bearer"}, "", none},
		{[]string{"Bearer "}, "", none},
		{[]string{"Bearer   "}, "", none},
		{[]string{testKey}, "", none},
		{[]string{"Basic " + testKey}, "", none},
		{[]string{"Bearer\t" + testKey}, "", none},
		{[]string{"Bearer " + testKey, "Bearer " + testKey}, "", none},
		{[]string{"Bearer sk_other"}, "", wrong},
		{[]string{"Bearer sk_"}, "", wrong},
		{[]string{"Bearer " + testKey + " "}, "", wrong},
		{[]string{"Bearer " + strings.ToUpper(testKey)}, "", wrong},
		{[]string{"Bearer " + token + "x"}, "", wrong},
		{[]string{"Bearer Bearer " + token}, "", wrong},
		{[]string{"Bearer hunter2"}, "", wrong},
	} {
		request := get(t)
		request.Header["Authorization"] = test.sent
		got := serve(t, request, Begin(quiet()), auth, whoami)
		if test.caller != "" {
			if got.Code != http.StatusOK || got.Body.String() != test.caller {
				t.Errorf("%q: %d %s", test.sent, got.Code, got.Body)
			}
			continue
		}
		wantCode(t, got, models.CodeUnauthorized)
		if challenge := got.Header()["Www-Authenticate"]; len(challenge) != 1 || challenge[0] != test.challenge {
			t.Errorf("%q: %q", test.sent, challenge)
		}
		if strings.Contains(got.Body.String(), "hunter2") {
			t.Errorf("%q: the answer repeats it: %s", test.sent, got.Body)
		}
	}
}

func TestAuthTellsWhoCalls(t *testing.T) {
	t.Parallel()
	clock, table := newHandClock(), newKeyTable()
	merchant := models.Principal{Role: models.RoleMerchant, MerchantID: "m1", Credential: "key:9"}
	auth := Auth(authAt(t, clock, table, Rate{}))
	table.set("sk_m", merchant)
	serve(t, get(t, "Authorization", "Bearer sk_m"), Begin(quiet()), auth, func(c *gin.Context) {
		if diff := cmp.Diff(merchant, Principal(c)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAuthWithTheStoreAway(t *testing.T) {
	t.Parallel()
	table := newKeyTable()
	auth := Auth(authAt(t, newHandClock(), table, Rate{PerSecond: 1, Burst: 1}))
	table.fail(errors.New("connection refused"))
	var book logBook
	for range 3 {
		got := serve(t, get(t, "Authorization", "Bearer "+testKey), Begin(book.logger()), auth, whoami)
		wantCode(t, got, models.CodeBusy)
		if strings.Contains(got.Body.String(), "refused") || got.Header().Get("Retry-After") != "1" {
			t.Errorf("answered %v %s", got.Header(), got.Body)
		}
	}
	if lines := book.lines(t); len(lines) != 3 || !strings.Contains(fmt.Sprint(lines[0]["error"]), "refused") {
		t.Errorf("logged %v", lines)
	}
}

func TestForgetThroughAuth(t *testing.T) {
	t.Parallel()
	table := newKeyTable()
	a := authAt(t, newHandClock(), table, Rate{})
	ask := func() *httptest.ResponseRecorder {
		return serve(t, get(t, "Authorization", "Bearer "+testKey), Begin(quiet()), Auth(a), whoami)
	}
	if got := ask(); got.Code != http.StatusOK {
		t.Fatal(got.Code)
	}
	table.drop(testKey)
	a.Forget(HashKey(testKey))
	wantCode(t, ask(), models.CodeUnauthorized)
}

func TestFailuresAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	clock, table := newHandClock(), newKeyTable()
	table.set("sk_good_but_new", service())
	auth := Auth(authAt(t, clock, table, Rate{PerSecond: 1, Burst: 3}))
	ask := func(address, credential string) *httptest.ResponseRecorder {
		request := get(t, "Authorization", "Bearer "+credential)
		request.RemoteAddr = address
		return serve(t, request, Begin(quiet()), auth, whoami)
	}
	const bad, other = "192.0.2.1:999", "192.0.2.2:999"
	if got := ask(bad, testKey); got.Code != http.StatusOK {
		t.Fatal(got.Code)
	}
	for _, credential := range []string{"sk_1", "sk_2", "no.to.ken"} {
		wantCode(t, ask(bad, credential), models.CodeUnauthorized)
	}
	before := table.questions()
	for _, credential := range []string{"sk_4", "sk_good_but_new", "no.to.ken"} {
		got := ask(bad, credential)
		wantCode(t, got, models.CodeRateLimited)
		if got.Header().Get("RateLimit-Policy") != `"failed_auth";q=3;w=3` || got.Header().Get("RateLimit") != `"failed_auth";r=0;t=1` {
			t.Errorf("%s: %v", credential, got.Header())
		}
	}
	if n := table.questions(); n != before {
		t.Errorf("%d guesses were looked up", n-before)
	}
	// Whoever shares the address and is known to be good goes on, also when
	// their key has to be looked up again.
	for _, credential := range []string{testKey, minted(t, clock)} {
		if got := ask(bad, credential); got.Code != http.StatusOK {
			t.Errorf("%s suffers: %d", credential, got.Code)
		}
	}
	wantCode(t, ask(other, "sk_4"), models.CodeUnauthorized)
	clock.advance(time.Second)
	if got := ask(bad, "sk_good_but_new"); got.Code != http.StatusOK {
		t.Errorf("after a pause: %d", got.Code)
	}
	wantCode(t, ask(bad, "sk_5"), models.CodeUnauthorized)
	wantCode(t, ask(bad, "sk_6"), models.CodeRateLimited)
	clock.advance(time.Minute)
	wantCode(t, ask(bad, "sk_7"), models.CodeUnauthorized)
}

func TestKnownKeyIsLookedUpAgainFromABadAddress(t *testing.T) {
	t.Parallel()
	clock, table := newHandClock(), newKeyTable()
	auth := Auth(authAt(t, clock, table, Rate{PerSecond: 1, Burst: 100}))
	ask := func(credential string) int {
		return serve(t, get(t, "Authorization", "Bearer "+credential), Begin(quiet()), auth, whoami).Code
	}
	if ask(testKey) != http.StatusOK {
		t.Fatal("the key does not work")
	}
	clock.advance(time.Minute)
	for range 200 {
		ask("sk_guess")
	}
	if status := ask("sk_guess2"); status != http.StatusTooManyRequests {
		t.Fatalf("a guess: %d", status)
	}
	if status := ask(testKey); status != http.StatusOK {
		t.Errorf("the key: %d", status)
	}
}

func TestAuthAtOnce(t *testing.T) {
	t.Parallel()
	clock, table := newHandClock(), newKeyTable()
	a := authAt(t, clock, table, Rate{PerSecond: 1000, Burst: 1000})
	r := router(t, Begin(quiet()), Auth(a), Limits(Rate{PerSecond: 1e6, Burst: 1e6}, Rate{}, clock.now), whoami)
	token := minted(t, clock)
	var group sync.WaitGroup
	for i := range 8 {
		credential := []string{testKey, token, "sk_bad", "bad"}[i%4]
		request := get(t, "Authorization", "Bearer "+credential)
		group.Go(func() {
			for range 100 {
				recorder := httptest.NewRecorder()
				r.ServeHTTP(recorder, request.Clone(context.WithoutCancel(request.Context())))
				if good := i%4 < 2; good != (recorder.Code == http.StatusOK) {
					t.Errorf("%s: %d", credential, recorder.Code)
				}
				if i == 0 {
					a.Forget(HashKey(testKey))
					clock.advance(time.Millisecond)
				}
			}
		})
	}
	group.Wait()
}
