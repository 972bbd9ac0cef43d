package middleware

import (
	"math"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"scrip/models"
)

// Rate allows so many requests a second, and Burst at once after a pause.
// PerSecond 0 is no limit.
type Rate struct {
	PerSecond int
	Burst     int
}

// Limits refuses what is beyond a caller's rate by 429 rate_limited: a user's
// by user, everyone else's by API key. It must come after Auth.
func Limits(user, key Rate, now models.Clock) gin.HandlerFunc {
	users, keys := newBuckets("user", user, now), newBuckets("key", key, now)
	return func(c *gin.Context) {
		who := &exchangeOf(c).principal
		of := keys
		if who.Role == models.RoleUser {
			of = users
		}
		if wait := of.take(who.Credential); wait > 0 {
			of.refuse(c, wait)
		}
	}
}

// maxCallers bounds each of the two maps of buckets: about 200 bytes a caller.
const maxCallers = 100_000

// buckets holds a token bucket for each caller seen lately; nil limits nobody.
// A bucket that was idle for as long as it takes to fill is the same as a new
// one, so after that it may be forgotten: the young map becomes the old one
// every so often, and what is asked for moves back. Beyond maxCallers callers
// in that time buckets are forgotten early, and their callers have a full one
// again: memory is bounded, the limit is not quite.
type buckets struct {
	name   string
	policy string // the value of RateLimit-Policy
	rate   Rate
	refill time.Duration
	now    models.Clock

	mu         sync.Mutex
	young, old map[string]*rate.Limiter
	turned     time.Time
}

func newBuckets(name string, r Rate, now models.Clock) *buckets {
	if r.PerSecond <= 0 {
		return nil
	}
	refill := time.Duration(r.Burst) * time.Second / time.Duration(r.PerSecond)
	return &buckets{
		name: name, rate: r, refill: refill, now: now, policy: policy(name, int64(r.Burst), refill),
		young: map[string]*rate.Limiter{}, old: map[string]*rate.Limiter{}, turned: now(),
	}
}

// policy and exceeded are the fields of draft-ietf-httpapi-ratelimit-headers: q
// requests in w seconds; r of them left, t seconds until there is one.
func policy(name string, quota int64, window time.Duration) string {
	seconds := max(1, int(math.Ceil(window.Seconds())))
	return `"` + name + `";q=` + strconv.FormatInt(quota, 10) + ";w=" + strconv.Itoa(seconds)
}

func exceeded(name string, wait time.Duration) string {
	return `"` + name + `";r=0;t=` + strconv.Itoa(retrySeconds(wait))
}

// take uses up one token of the caller's. Above zero it was not there, and will
// be after so long.
func (b *buckets) take(caller string) (wait time.Duration) {
	if b == nil {
		return 0
	}
	now := b.now()
	bucket := b.bucket(caller, now)
	if bucket.AllowN(now, 1) {
		return 0
	}
	return max(1, b.waitFor(bucket, now))
}

// peek tells what take would, and uses up nothing.
func (b *buckets) peek(caller string) (wait time.Duration) {
	if b == nil {
		return 0
	}
	now := b.now()
	b.mu.Lock()
	bucket := b.young[caller]
	if bucket == nil {
		bucket = b.old[caller]
	}
	b.mu.Unlock()
	if bucket == nil {
		return 0
	}
	return b.waitFor(bucket, now)
}

// waitFor cuts to the nanosecond as the limiter does itself: a token that lacks
// less than that, by the rounding of its sums, is there.
func (b *buckets) waitFor(bucket *rate.Limiter, now time.Time) time.Duration {
	missing := max(0, 1-bucket.TokensAt(now))
	return time.Duration(missing / float64(b.rate.PerSecond) * float64(time.Second))
}

func (b *buckets) bucket(caller string, now time.Time) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now)
	bucket := b.young[caller]
	if bucket == nil {
		if bucket = b.old[caller]; bucket == nil {
			bucket = rate.NewLimiter(rate.Limit(b.rate.PerSecond), b.rate.Burst)
		}
		b.young[caller] = bucket
	}
	return bucket
}

func (b *buckets) turn(now time.Time) {
	if now.Sub(b.turned) < b.refill && len(b.young) < maxCallers {
		return
	}
	b.old, b.young, b.turned = b.young, map[string]*rate.Limiter{}, now
}

// refuse answers 429, and tells the limit.
func (b *buckets) refuse(c *gin.Context, wait time.Duration) {
	header := c.Writer.Header()
	header["Ratelimit-Policy"] = []string{b.policy}
	header["Ratelimit"] = []string{exceeded(b.name, wait)}
	fail(c, &models.Error{Code: models.CodeRateLimited, Detail: "too many requests", RetryAfter: wait})
}

// Address is what is counted of a client where it is not known who that is: an
// IPv4 address, or the /64 of an IPv6 one, for one host has all of that.
func Address(c *gin.Context) string {
	client := c.ClientIP()
	address, err := netip.ParseAddr(client)
	if err != nil || !address.Is6() {
		return client
	}
	network, err := address.Prefix(64)
	if err != nil {
		return client
	}
	return network.String()
}
