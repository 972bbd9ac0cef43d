package jobs

import (
	"context"
	"time"

	"scrip/models"
)

// Purge drops records that are older than they need be kept.
type Purge struct {
	Drop func(ctx context.Context, before time.Time, limit int) (int, error)
	Now  models.Clock
	Keep time.Duration
}

const purgeChunk = 1000

// Step drops one chunk.
func (j Purge) Step(ctx context.Context) (changed int, more bool, err error) {
	n, err := j.Drop(ctx, j.Now().Add(-j.Keep), purgeChunk)
	return n, n == purgeChunk, err
}
