package middleware

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"scrip/models"
)

func caller(p models.Principal) gin.HandlerFunc {
	return func(c *gin.Context) { exchangeOf(c).principal = p }
}

func user(name string) models.Principal {
	return models.Principal{Role: models.RoleUser, UserID: name, Credential: "user:" + name}
}

func service() models.Principal {
	return models.Principal{Role: models.RoleService, Credential: "key:1"}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	limits := Limits(Rate{PerSecond: 20, Burst: 3}, Rate{PerSecond: 1, Burst: 2}, clock.now)
	ask := func(p models.Principal) *httptest.ResponseRecorder {
		return serve(t, get(t), Begin(quiet()), caller(p), limits, ok)
	}
	for _, test := range []struct {
		who     models.Principal
		burst   int
		again   time.Duration
		headers map[string]string
	}{
		{user("a"), 3, 50 * time.Millisecond, map[string]string{
			"Retry-After": "1", "RateLimit": `"user";r=0;t=1`, "RateLimit-Policy": `"user";q=3;w=1`,
		}},
		{service(), 2, time.Second, map[string]string{
			"Retry-After": "1", "RateLimit": `"key";r=0;t=1`, "RateLimit-Policy": `"key";q=2;w=2`,
		}},
	} {
		for i := range test.burst {
			if got := ask(test.who); got.Code != http.StatusOK || got.Header().Get("RateLimit") != "" {
				t.Fatalf("%s, request %d: %d", test.who.Credential, i+1, got.Code)
			}
		}
		got := ask(test.who)
		wantCode(t, got, models.CodeRateLimited)
		for name, want := range test.headers {
			if value := got.Header().Get(name); value != want {
				t.Errorf("%s: %s %q, want %q", test.who.Credential, name, value, want)
			}
		}
		if got := ask(user("b" + test.who.Credential)); got.Code != http.StatusOK {
			t.Errorf("another user had to suffer: %d", got.Code)
		}
		clock.advance(test.again - time.Millisecond)
		if got := ask(test.who); got.Code != http.StatusTooManyRequests {
			t.Errorf("%s: %d too early", test.who.Credential, got.Code)
		}
		clock.advance(time.Millisecond)
		if got := ask(test.who); got.Code != http.StatusOK {
			t.Errorf("%s: %d in time", test.who.Credential, got.Code)
		}
	}
}

func TestRetryAfterIsTheTimeToWait(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	b := newBuckets("x", Rate{PerSecond: 1, Burst: 1}, clock.now)
	if wait := b.take("a"); wait != 0 {
		t.Fatalf("waits %s", wait)
	}
	clock.advance(100 * time.Millisecond)
	if wait := b.take("a").Round(time.Microsecond); wait != 900*time.Millisecond {
		t.Errorf("waits %s", wait)
	}
}

func TestNoLimits(t *testing.T) {
	t.Parallel()
	limits := Limits(Rate{}, Rate{Burst: 5}, newHandClock().now)
	for i := range 1000 {
		for _, who := range []models.Principal{user("a"), service()} {
			if got := serve(t, get(t), Begin(quiet()), caller(who), limits, ok); got.Code != http.StatusOK {
				t.Fatalf("request %d of %s: %d", i, who.Credential, got.Code)
			}
		}
	}
}

// Forgetting idle buckets is not to be seen from outside: a limiter that never
// forgets gives the same verdicts.
func TestForgettingChangesNoVerdict(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := Rate{PerSecond: rapid.IntRange(1, 3).Draw(rt, "rate"), Burst: rapid.IntRange(1, 6).Draw(rt, "burst")}
		clock := newHandClock()
		b := newBuckets("x", r, clock.now)
		model := map[string]*rate.Limiter{}
		for range rapid.IntRange(1, 100).Draw(rt, "steps") {
			clock.advance(time.Duration(rapid.IntRange(0, 800).Draw(rt, "ms")) * time.Millisecond)
			who := strconv.Itoa(rapid.IntRange(0, 3).Draw(rt, "caller"))
			if model[who] == nil {
				model[who] = rate.NewLimiter(rate.Limit(r.PerSecond), r.Burst)
			}
			peeked, want := b.peek(who) == 0, model[who].AllowN(clock.now(), 1)
			if got := b.take(who) == 0; got != want || peeked != want {
				rt.Fatalf("took %v, peeked %v, want %v", got, peeked, want)
			}
		}
	})
}

func TestIdleBucketsAreForgotten(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	b := newBuckets("x", Rate{PerSecond: 10, Burst: 10}, clock.now)
	for i := range 500 {
		b.take(strconv.Itoa(i))
	}
	for range 2 {
		clock.advance(b.refill)
		b.take("late")
	}
	if n := len(b.young) + len(b.old); n > 2 {
		t.Errorf("%d buckets are left", n)
	}
}

func TestBucketsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBuckets("x", Rate{PerSecond: 1, Burst: 1}, newHandClock().now)
	for i := range 3 * maxCallers {
		b.take(strconv.Itoa(i))
	}
	if n := len(b.young) + len(b.old); n > 2*maxCallers {
		t.Errorf("%d buckets", n)
	}
}

func TestBucketsAtOnce(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	b := newBuckets("x", Rate{PerSecond: 1, Burst: 50}, clock.now)
	var passed atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				if b.take("a") == 0 {
					passed.Add(1)
				}
				b.peek("a")
			}
		})
	}
	group.Wait()
	if passed.Load() != 50 {
		t.Errorf("%d passed", passed.Load())
	}
}

func TestAddressOf(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"192.0.2.7:1234":              "192.0.2.7",
		"[::ffff:192.0.2.7]:1234":     "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1234": "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::]:1234":  "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1234":         "",
		"@":                           "",
	} {
		request := get(t, "X-Forwarded-For", "203.0.113.9")
		request.RemoteAddr = remote
		got := serve(t, request, func(c *gin.Context) { c.String(http.StatusOK, "%s", Address(c)) }).Body.String()
		if got != want {
			t.Errorf("%s: %q, want %q", remote, got, want)
		}
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	allow := Allow(models.RolePlatform, models.RoleMerchant)
	for role, status := range map[models.Role]int{
		models.RolePlatform: 200, models.RoleMerchant: 200, models.RoleService: 403, models.RoleUser: 403, "": 403,
	} {
		got := serve(t, get(t), Begin(quiet()), caller(models.Principal{Role: role}), allow, ok)
		if got.Code != status {
			t.Errorf("%q: %d", role, got.Code)
		}
		if status == http.StatusForbidden {
			wantCode(t, got, models.CodeForbidden)
		}
	}
	wantCode(t, serve(t, get(t), Begin(quiet()), Allow(), ok), models.CodeForbidden)
}
