package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"scrip/models"
)

// answers are what is kept under the idempotency keys of a batch, and what the
// batch adds to it, in the transaction that decides it: an answer is kept if and
// only if it is true. The key's being unique decides between two transactions,
// and whoever loses starts over and finds the other one's answer.
type answers struct {
	known map[[32]byte]*idempotencyRow
	fresh []*idempotencyRow
}

// readAnswers finds what was answered before under the keys; those that are nil
// keep nothing.
func readAnswers(ctx context.Context, t tx, keys []*models.IdempotencyKey) (*answers, error) {
	var ids []any
	for _, key := range keys {
		if key != nil {
			ids = append(ids, key.ID[:])
		}
	}
	a := &answers{known: make(map[[32]byte]*idempotencyRow, len(ids))}
	if len(ids) == 0 {
		return a, nil
	}
	err := query(ctx, t, "SELECT id, hash, status, body FROM idempotency_keys WHERE id IN ("+marks(len(ids))+")", ids,
		func(scan func(...any) error) error {
			var row idempotencyRow
			if err := scan(&row.ID, &row.Hash, &row.Status, &row.Body); err != nil {
				return err
			}
			a.known[[32]byte(row.ID)] = &row
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read idempotency keys: %w", err)
	}
	return a, nil
}

// before is the answer that is kept under the key, as an error; nil for none.
func (a *answers) before(key *models.IdempotencyKey) error {
	if key == nil || a.known[key.ID] == nil {
		return nil
	}
	return a.known[key.ID].answer(key)
}

// keep notes an answer for retries with the same key, in this batch already.
func (a *answers) keep(key *models.IdempotencyKey, at time.Time, result any, refusal error) {
	if key == nil {
		return
	}
	answer, keep := key.Render(result, refusal)
	if !keep {
		return
	}
	row := &idempotencyRow{ID: key.ID[:], Hash: key.Hash[:], Status: answer.Status, Body: answer.Body, CreatedAt: millis(at)}
	a.known[key.ID] = row
	a.fresh = append(a.fresh, row)
}

// write stores the answers that were added, in the keys' order like everybody.
func (a *answers) write(ctx context.Context, t tx) error {
	slices.SortFunc(a.fresh, func(x, y *idempotencyRow) int { return bytes.Compare(x.ID, y.ID) })
	const columns = 5
	args := make([]any, 0, columns*len(a.fresh))
	for _, row := range a.fresh {
		args = append(args, row.ID, row.Hash, row.Status, row.Body, row.CreatedAt)
	}
	return insert(ctx, t, "idempotency_keys (id, hash, status, body, created_at)", columns, args, "")
}

// RememberAnswer keeps what came of an act for retries with the same key. It is
// for acts that are idempotent by themselves, such as those on a lock, and so
// need not be remembered in their own transaction: ask AnsweredBefore, act, and
// remember before anybody is answered. Who dies in between has answered nobody,
// and the retry finds the act done.
//
// It returns failure, or the answer that another request with the key was
// quicker to have kept, as a *models.Replay. Where it cannot be kept, what was
// done stays done, and the error wraps models.ErrUnknown: the same request
// again tells. A nil key keeps nothing.
func (s *Store) RememberAnswer(ctx context.Context, op models.Op, result any, failure error) error {
	if op.Key == nil {
		return failure
	}
	err := s.inTx(ctx, func(t tx) error { return s.remember(ctx, t, op, result, failure) })
	switch {
	case s.dialect.duplicate(err):
		return s.AnsweredBefore(ctx, op.Key, failure)
	case err != nil:
		return fmt.Errorf("%w: remember the answer: %w", models.ErrUnknown, err)
	}
	return failure
}
