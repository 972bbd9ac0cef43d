package jobs

import (
	"context"
	"fmt"
	"time"

	"scrip/failpoint"
	"scrip/models"
)

type expireStore interface {
	// OverdueLocks names locks that are held still and ended at or before the
	// given time.
	OverdueLocks(ctx context.Context, until time.Time, limit int) ([]string, error)
	CommitEnds(ctx context.Context, batch []models.LockEnd) ([]models.LockVerdict, error)
}

// Expire frees what locks hold past their end. Any number of instances may do
// it at once: each lock's row decides, against another instance as against a
// late confirm.
type Expire struct {
	Store expireStore
	Now   models.Clock

	// Grace is for how long a lock that has ended is left alone: a confirm that
	// came in time may be waiting for its transaction yet, and must win. One
	// that comes later finds the lock expired all the same.
	Grace time.Duration
}

const (
	expireChunk = 200
	expireActor = "job:expire"
)

// Step expires one chunk of locks.
func (j *Expire) Step(ctx context.Context) (changed int, more bool, err error) {
	now := j.Now()
	xids, err := j.Store.OverdueLocks(ctx, now.Add(-j.Grace), expireChunk)
	if err != nil {
		return 0, false, fmt.Errorf("list overdue locks: %w", err)
	}
	if len(xids) == 0 {
		return 0, false, nil
	}
	failpoint.Reach(failpoint.ExpireListed)
	batch := make([]models.LockEnd, len(xids))
	for i, xid := range xids {
		batch[i] = models.LockEnd{XID: xid, To: models.LockExpired, At: now, Actor: expireActor}
	}
	verdicts, err := j.Store.CommitEnds(ctx, batch)
	if err != nil {
		return 0, false, fmt.Errorf("expire locks: %w", err)
	}
	for _, v := range verdicts {
		if v.Refused == nil && v.Lock.State == models.LockExpired {
			changed++ // the others were ended by somebody meanwhile
		}
	}
	return changed, len(xids) == expireChunk && changed > 0, nil
}
