package store

import (
	"context"
	"fmt"
	"time"
)

// PurgeIdempotencyKeys drops at most limit records older than before, and
// returns how many.
func (s *Store) PurgeIdempotencyKeys(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.purge(ctx, "idempotency_answers", "id", before, limit, "1 = 1")
}

// PurgeTombstones drops at most limit tombstones older than before, and returns
// how many. A claim cannot come later than its request's deadline and the
// longest transaction; before must be well beyond both.
func (s *Store) PurgeTombstones(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.purge(ctx, "claim_tombstones", "claim_id", before, limit, "1 = 1")
}

// PurgeDeliveries drops at most limit deliveries that were made before the given
// time and are over, and returns how many.
func (s *Store) PurgeDeliveries(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.purge(ctx, "deliveries", "id", before, limit, "state <> 'waiting'")
}

// PurgeEvents drops at most limit events older than before, and returns how
// many. Their deliveries are over by then: before must be well beyond the time
// for which a delivery is tried.
func (s *Store) PurgeEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.purge(ctx, "outbox", "id", before, limit, "relayed_at IS NOT NULL")
}

// purge deletes in small steps by key, so that no step holds many locks. The
// templates' count of tombstones stays: it only says that there may be some.
func (s *Store) purge(ctx context.Context, table, key string, before time.Time, limit int, also string) (gone int, err error) {
	err = s.inTx(ctx, func(t tx) error {
		var keys []any
		err := query(ctx, t, "SELECT "+key+" FROM "+table+" WHERE created_at < ? AND "+also+" ORDER BY created_at LIMIT ?",
			[]any{millis(before), limit},
			func(scan func(...any) error) error {
				var id any
				err := scan(&id)
				keys = append(keys, id)
				return err
			})
		if err != nil || len(keys) == 0 {
			gone = 0
			return err
		}
		done, err := t.sql.ExecContext(ctx, "DELETE FROM "+table+" WHERE "+key+" IN ("+marks(len(keys))+")", keys...)
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		gone = int(n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purge %s: %w", table, err)
	}
	return gone, nil
}
