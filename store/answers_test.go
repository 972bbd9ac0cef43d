package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"scrip/models"
	"scrip/store"
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

// lockKey is an idempotency key that keeps in a word what became of a Try.
func lockKey(n byte) *models.IdempotencyKey {
	return &models.IdempotencyKey{ID: [32]byte{n}, Hash: [32]byte{1}, Render: func(result any, err error) (models.Replay, bool) {
		verdict, _ := result.(models.LockVerdict)
		if err != nil {
			return models.Replay{Status: 409, Body: []byte(codeOf(err))}, true
		}
		return models.Replay{Status: 201, Body: []byte(told(verdict))}, true
	}}
}

// TestATrysAnswerIsKeptWithItsLock_Race has one Try judged by two servers, of
// which one refuses it. Whoever is first decides: the lock is there if and only
// if the kept answer says so, and both callers are told the same.
func TestATrysAnswerIsKeptWithItsLock_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		s := f.shop(t, allOff())
		var made, refused int
		for n := range byte(30) {
			user := fmt.Sprint("user", n)
			good := s.try(t, "x"+user, user, 5, s.coupons(t, user)...)
			good.Key = lockKey(n)
			bad := good
			bad.ID, bad.Key = must(s.NextID())(t), lockKey(n)
			refuse := func(*models.Try, []models.WalletCoupon) (*models.Frozen, *models.Error) {
				return nil, models.Refuse(models.CodeNotApplicable, "not yet")
			}
			answers := make([]string, 2)
			var both sync.WaitGroup
			for i, judge := range []store.Decide{s.decide, refuse} {
				both.Go(func() {
					try := []models.Try{good, bad}[i]
					verdict := must(s.CommitTries(t.Context(), []models.Try{try}, judge))(t)[0]
					var replay *models.Replay
					if errors.As(verdict.Replay, &replay) {
						answers[i] = string(replay.Body)
					} else {
						answers[i] = told(verdict)
					}
				})
			}
			both.Wait()
			_, err := s.LockByXID(t.Context(), good.XID)
			switch {
			case answers[0] != answers[1], (err == nil) != (answers[0] == "made locked"):
				t.Errorf("told were %v, and looking for the lock says %v", answers, err)
			case err == nil:
				made++
			default:
				refused++
			}
		}
		t.Logf("%d made, %d refused", made, refused)
		f.sound(t)
	})
}

func TestARefundsAnswerIsKeptWithIt(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		s := f.shop(t, allOff())
		now := s.order(t, "x", 100, 4, s.coupons(t, "ann")...).At
		early := s.refundOf("y", "r", 1, now)
		early.Key = f.keyed(1, 1).Key
		early.Key.Render = func(_ any, err error) (models.Replay, bool) {
			return models.Replay{Status: 200, Body: []byte(codeOf(err))}, err == nil || models.IsCode(err, models.CodeNotConfirmed)
		}
		s.locked(t, s.try(t, "y", "ann", 5))
		_, err := s.refund(t, early)
		wantCode(t, err, models.CodeNotConfirmed)
		s.commitEnds(t, s.end(t, "y", models.LockConfirmed, now))
		_, err = s.refund(t, early)
		wantReplay(t, err, 200, string(models.CodeNotConfirmed)) // and nothing was paid
		paid := s.refundOf("x", "r", 1, now)
		paid.Key = f.keyed(2, 1).Key
		paid.Key.Render = early.Key.Render
		if _, err := s.refund(t, paid); err != nil {
			t.Fatal(err)
		}
		_, err = s.refund(t, paid)
		wantReplay(t, err, 200, "")
		f.sound(t)
	})
}
