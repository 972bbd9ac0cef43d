package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"scrip/models"
)

// keyed is an op with a key that renders a result as its text, and keeps
// results and refusals that are conflicts.
func (f fixture) keyed(key, hash byte) models.Op {
	op := f.op(platform())
	op.Key = &models.IdempotencyKey{ID: [32]byte{key}, Hash: [32]byte{hash}}
	op.Key.Render = func(result any, err error) (models.Replay, bool) {
		if err != nil {
			return models.Replay{Status: 409, Body: []byte(err.Error())}, models.IsCode(err, models.CodeLockCancelled)
		}
		text, _ := result.(string)
		return models.Replay{Status: 201, Body: []byte(text)}, true
	}
	return op
}

func TestRememberAnswer(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		if err := f.RememberAnswer(ctx, f.op(platform()), "x", nil); err != nil {
			t.Errorf("without a key: %v", err)
		}
		if err := f.RememberAnswer(ctx, f.keyed(1, 1), "first", nil); err != nil {
			t.Fatal(err)
		}
		// Who comes second under the key gets the first one's answer, before the
		// act as after it.
		wantReplay(t, f.AnsweredBefore(ctx, f.keyed(1, 1).Key, nil), 201, "first")
		wantReplay(t, f.RememberAnswer(ctx, f.keyed(1, 1), "second", nil), 201, "first")
		wantCode(t, f.RememberAnswer(ctx, f.keyed(1, 2), "other", nil), models.CodeKeyReused)

		// A decided refusal is kept, and given out; what was never tried is not kept.
		refusal := models.Refuse(models.CodeLockCancelled, "no")
		wantCode(t, f.RememberAnswer(ctx, f.keyed(2, 1), nil, refusal), models.CodeLockCancelled)
		wantReplay(t, f.RememberAnswer(ctx, f.keyed(2, 1), "late", nil), 409, refusal.Error())
		wantCode(t, f.RememberAnswer(ctx, f.keyed(3, 1), nil, models.Busy("full")), models.CodeBusy)
		if err := f.AnsweredBefore(ctx, f.keyed(3, 1).Key, nil); err != nil {
			t.Errorf("a busy answer was kept: %v", err)
		}

		gone, cancel := context.WithCancelCause(ctx)
		cancel(errors.New("the caller has gone"))
		if err := f.RememberAnswer(gone, f.keyed(4, 1), "x", nil); !errors.Is(err, models.ErrUnknown) {
			t.Errorf("not kept: %v", err)
		}
	})
}

// TestRememberAnswer_Race: one answer is kept, and everybody has it.
func TestRememberAnswer_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		const many = 16
		var all sync.WaitGroup
		answers := make([]string, many)
		for i := range many {
			all.Go(func() {
				own := string(rune('a' + i))
				err := f.RememberAnswer(t.Context(), f.keyed(9, 9), own, nil)
				var replay *models.Replay
				switch {
				case err == nil:
					answers[i] = own
				case errors.As(err, &replay):
					answers[i] = string(replay.Body)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, got := range answers {
			if got != answers[0] {
				t.Fatalf("different answers: %v", answers)
			}
		}
	})
}

func wantReplay(t *testing.T, err error, status int, body string) {
	t.Helper()
	var replay *models.Replay
	if !errors.As(err, &replay) || replay.Status != status || string(replay.Body) != body {
		t.Errorf("got %v, want %d %s", err, status, body)
	}
}
