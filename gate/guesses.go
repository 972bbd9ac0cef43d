package gate

import (
	"context"
	"sync"
	"time"

	"scrip/models"
)

// guesses counts wrong guesses in this process: what lua/guess.lua does in
// Redis. It is safe for concurrent use.
type guesses struct {
	mu    sync.Mutex
	full  map[string]int64 // by counter, the millisecond at which it is as good as new
	sweep int              // at how many counters to look for those that are
}

// fewCounters need not be swept.
const fewCounters = 1024

func (g *guesses) ask(ask *models.Guess, now int64) (wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	full, every := max(g.full[ask.Counter], now), ask.Every.Milliseconds()
	if rest := full - now - (ask.Burst-1)*every; rest > 0 {
		return time.Duration(rest) * time.Millisecond
	}
	if ask.Count {
		g.tidy(now)
		g.full[ask.Counter] = full + every
	}
	return 0
}

// tidy forgets what is as good as new, each time that the counters have doubled.
func (g *guesses) tidy(now int64) {
	if g.full == nil {
		g.full = map[string]int64{}
	}
	if len(g.full) < max(g.sweep, fewCounters) {
		return
	}
	for counter, full := range g.full {
		if full <= now {
			delete(g.full, counter)
		}
	}
	g.sweep = 2 * len(g.full)
}

// Guess counts wrong guesses; see Redis.Guess.
func (m *Memory) Guess(_ context.Context, asks []models.Guess) ([]time.Duration, error) {
	now := m.now().UnixMilli()
	waits := make([]time.Duration, len(asks))
	for i := range asks {
		waits[i] = m.guesses.ask(&asks[i], now)
	}
	return waits, nil
}

// guessKey is the counter's key.
func guessKey(counter string) string { return "scrip:guess:" + counter }

// Guess asks each counter whether there may be one more wrong guess, and counts
// those that are to be counted. It says how long there must be none: 0, if there
// may. Each counter is asked for itself, in the order of the asks. An error says
// that some or all of them were not asked, or that their answer was lost.
func (r *Redis) Guess(ctx context.Context, asks []models.Guess) ([]time.Duration, error) {
	waits := make([]time.Duration, len(asks))
	now := r.now().UnixMilli()
	calls := make([]*call, len(asks))
	for i := range asks {
		calls[i] = r.scripts.guess.call(ctx, guessArgs(r.scripts.guess, &asks[i], now))
	}
	err := r.within(ctx, r.timeout, func(ctx context.Context) error { return r.run(ctx, calls) })
	if err != nil {
		return nil, away("guess", err)
	}
	for i, c := range calls {
		ms, err := c.Int64()
		if err != nil {
			return nil, away("guess", err)
		}
		waits[i] = time.Duration(ms) * time.Millisecond
	}
	return waits, nil
}

func guessArgs(s *script, ask *models.Guess, now int64) []any {
	count := "0"
	if ask.Count {
		count = "1"
	}
	return []any{"evalsha", s.sha, 1, guessKey(ask.Counter), now, ask.Every.Milliseconds(), ask.Burst, count}
}
