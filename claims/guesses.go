package claims

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"scrip/models"
)

// guesser counts wrong guesses; both kinds of gate do.
type guesser interface {
	Guess(ctx context.Context, asks []models.Guess) ([]time.Duration, error)
}

// GuessLimit allows Burst wrong codes at once, and then one in Every; in any span
// as long as Every, never more than Burst. The zero value is no limit.
type GuessLimit struct {
	Burst int64
	Every time.Duration
}

// stricter is the limit of an instance that counts alone: half as many at once,
// half as often.
func (l GuessLimit) stricter() GuessLimit {
	return GuessLimit{Burst: max(1, l.Burst/2), Every: 2 * l.Every}
}

// Guesses says how many wrong codes are too many.
type Guesses struct {
	User    GuessLimit // of one user
	Address GuessLimit // of one client address, from which a user comes itself
	All     GuessLimit // of everybody

	Shared guesser // counts for all instances
	Local  guesser // counts for this one, while Shared is away
}

// guard stands between those who claim by codes and the codes.
type guard struct {
	Guesses

	wrong   *prometheus.CounterVec // by reason
	limited *prometheus.CounterVec // by whose limit it was

	mu    sync.Mutex
	turns map[string]*turn // by user
}

// turn is whose attempt of a user is under way: one at a time, so that no burst
// of guesses slips past a count that they have yet to raise.
type turn struct {
	free    chan struct{}
	waiting int
}

func newGuard(g Guesses) *guard {
	return &guard{
		Guesses: g,
		wrong: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scrip_wrong_codes_total",
			Help: "Claims by a code that could not serve the caller, by reason, which callers are not told.",
		}, []string{"reason"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scrip_wrong_codes_limited_total",
			Help: "Claims by a code refused after too many wrong ones, by whose limit it was.",
		}, []string{"limit"}),
		turns: map[string]*turn{},
	}
}

// collectors are the guard's metrics.
func (g *guard) collectors() []prometheus.Collector {
	return []prometheus.Collector{g.wrong, g.limited}
}

// enter waits for the user's turn. leave ends it.
func (g *guard) enter(ctx context.Context, userID string) (leave func(), err error) {
	g.mu.Lock()
	t := g.turns[userID]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		g.turns[userID] = t
	}
	t.waiting++
	g.mu.Unlock()
	gone := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if t.waiting--; t.waiting == 0 {
			delete(g.turns, userID)
		}
	}
	select {
	case t.free <- struct{}{}:
		return func() { <-t.free; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, models.Busy("this user's other claims by codes are still under way")
	}
}

// limits lists whose wrong codes an attempt counts among.
func (g *guard) limits(ask *models.CodeClaim) (names []string, of []GuessLimit, counters []string) {
	add := func(name string, limit GuessLimit, counter string) {
		if limit.Burst > 0 {
			names, of, counters = append(names, name), append(of, limit), append(counters, counter)
		}
	}
	add("user", g.User, "user:"+ask.UserID)
	if ask.Address != "" {
		add("address", g.Address, "address:"+ask.Address)
	}
	add("all", g.All, "all")
	return names, of, counters
}

// pass refuses an attempt if too many before it were wrong. With count it is a
// wrong one itself, and refused if it was one too many.
func (g *guard) pass(ctx context.Context, ask *models.CodeClaim, count bool) *models.Error {
	names, of, counters := g.limits(ask)
	if len(names) == 0 {
		return nil
	}
	var refusal *models.Error
	for i, wait := range g.ask(ctx, of, counters, count) {
		if wait == 0 {
			continue
		}
		g.limited.WithLabelValues(names[i]).Inc()
		if refusal == nil || refusal.RetryAfter < wait {
			refusal = tooMany(names[i], of[i], wait)
		}
	}
	return refusal
}

func tooMany(name string, limit GuessLimit, wait time.Duration) *models.Error {
	return &models.Error{
		Code: models.CodeRateLimited, Detail: "too many wrong codes", RetryAfter: wait,
		Limit: &models.RateLimit{
			Name: "wrong_codes_" + name, Quota: limit.Burst, Window: time.Duration(limit.Burst) * limit.Every,
		},
	}
}

func (g *guard) ask(ctx context.Context, of []GuessLimit, counters []string, count bool) []time.Duration {
	asks := make([]models.Guess, len(of))
	for i := range of {
		asks[i] = models.Guess{Counter: counters[i], Burst: of[i].Burst, Every: of[i].Every, Count: count}
	}
	waits, err := g.Shared.Guess(ctx, asks)
	if err == nil {
		return waits
	}
	for i := range of {
		own := of[i].stricter()
		asks[i].Burst, asks[i].Every = own.Burst, own.Every
	}
	waits, _ = g.Local.Guess(ctx, asks) // counts in this process, and cannot fail
	return waits
}
