package enginetest

import (
	"context"
	"time"
)

const (
	long   = time.Minute // far more than anything takes that comes at all
	glance = 10 * time.Millisecond
)

// Eventually asks again and again, and fails the test if a minute passes without
// a yes. what says what is waited for, as in "both listen".
func Eventually(tb TB, what string, holds func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), long)
	defer cancel()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("in vain waited for: %s", what)
			return
		}
	}
}
