package store

import (
	"context"
	"fmt"

	"scrip/models"
)

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
