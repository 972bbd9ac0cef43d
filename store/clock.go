package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"scrip/models"
)

// Now is the one clock by which everything is judged: the database's, so that
// instances whose own clocks differ agree. It is our clock plus the difference
// that SyncClock measured, and costs no round trip.
func (s *Store) Now() time.Time {
	if s.clock != nil {
		return models.Instant(s.clock())
	}
	return models.Instant(time.Now().Add(time.Duration(s.skew.Load())))
}

// clockLooks is how often SyncClock asks: of several round trips one is quick.
const clockLooks = 5

// SyncClock measures how far the database's clock is from ours. What it learns
// can only narrow what was known before, so that a measurement on a busy machine
// does not spoil a good one: two instances agree to within a few milliseconds,
// however long a round trip takes just now.
func (s *Store) SyncClock(ctx context.Context) (err error) {
	conn, err := s.sql.Conn(ctx) // to connect is no part of the round trip
	if err != nil {
		return fmt.Errorf("read the database's clock: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	for range clockLooks {
		if err := s.lookAtClock(ctx, conn); err != nil {
			return fmt.Errorf("read the database's clock: %w", err)
		}
	}
	return nil
}

func (s *Store) lookAtClock(ctx context.Context, conn *sql.Conn) error {
	before := time.Now()
	var millis int64
	if err := conn.QueryRowContext(ctx, "SELECT "+s.dialect.nowMillis).Scan(&millis); err != nil {
		return err
	}
	s.skew.Store(int64(s.bounds.narrow(before, time.Now(), millis)))
	return nil
}

// clockBounds is what is known of how far the database's clock is ahead of ours.
// It is safe for concurrent use.
type clockBounds struct {
	mu          sync.Mutex
	least, most time.Duration
	at          time.Time // when that was known; zero for never
}

// mostDrift is how much faster one clock may run than another: more than the
// worst of crystals, and than a clock that is being set by small steps.
const mostDrift = 500 // millionths

// narrow takes note that the database said millis (which it has cut off) at some
// moment between before and after, and returns the best guess there is: the
// middle of what fits all that is known. What fits nothing says that somebody
// has set a clock, and counts alone.
func (b *clockBounds) narrow(before, after time.Time, millis int64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	least := time.UnixMilli(millis).Sub(after)
	most := time.UnixMilli(millis + 1).Sub(before)
	if !b.at.IsZero() {
		drift := after.Sub(b.at) * mostDrift / 1_000_000
		knownLeast, knownMost := b.least-drift, b.most+drift
		if knownLeast <= most && least <= knownMost {
			least, most = max(least, knownLeast), min(most, knownMost)
		}
	}
	b.least, b.most, b.at = least, most, after
	return least + (most-least)/2
}
