package gate

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"scrip/models"
)

// Reserve asks for one unit each and answers in the order of the asks, GateAway
// for those whose answer is not known. Asking again with the same claim id
// while that is pending changes nothing. What counts is the limit per user
// as it was loaded.
func (r *Redis) Reserve(ctx context.Context, asks []models.Reservation) []models.GateAnswer {
	answers := make([]models.GateAnswer, len(asks)) // all GateAway
	if len(asks) == 0 {
		return answers
	}
	batches := reservationBatches(asks)
	ms := r.now().UnixMilli()
	// The answers say which calls failed; the breaker has counted it.
	_ = r.within(ctx, r.timeout, func(ctx context.Context) error {
		calls := r.reserveCalls(ctx, asks, batches, ms)
		failed := r.runTouching(ctx, calls, batches, ms)
		for i, b := range batches {
			letters, err := calls[i].Text()
			if err == nil {
				err = readLetters(letters, b.at, answers)
			}
			if failed == nil {
				failed = err
			}
		}
		return failed
	})
	return answers
}

func (r *Redis) reserveCalls(ctx context.Context, asks []models.Reservation, batches []batch, ms int64) []*call {
	names := pendingNames(len(asks), func(i int) (models.ID, string) { return asks[i].ClaimID, asks[i].UserID })
	calls := make([]*call, len(batches))
	for i := range batches {
		b := &batches[i]
		args := r.scripts.reserve.on(b.template, 2+2*len(b.at))
		args = append(args, &b.epoch, &ms)
		for _, at := range b.at {
			args = append(args, &asks[at].UserID, &names[at])
		}
		calls[i] = r.scripts.reserve.call(ctx, args)
	}
	return calls
}

// readLetters sets the answers at the given places.
func readLetters(letters string, at []int, answers []models.GateAnswer) error {
	if letters == "C" && len(at) > 0 {
		for _, place := range at {
			answers[place] = models.GateCold
		}
		return nil
	}
	if len(letters) != len(at) {
		return fmt.Errorf("%d answers to %d reservations", len(letters), len(at))
	}
	for i, place := range at {
		switch letters[i] {
		case 'T':
			answers[place] = models.GateTaken
		case 'L':
			answers[place] = models.GateLimit
		case 'S':
			answers[place] = models.GateSoldOut
		case 'B':
			answers[place] = models.GateBusy
		default:
			return fmt.Errorf("unexpected answer %q to a reservation", letters[i])
		}
	}
	return nil
}

// runTouching makes the calls, and before them notes which templates they are
// about, so that there is a way to whatever they leave pending.
func (r *Redis) runTouching(ctx context.Context, calls []*call, batches []batch, ms int64) error {
	args := []any{"zadd", touchedKey, "gt"}
	var due []models.ID
	for _, b := range batches {
		if r.touches.due(b.template, ms) {
			due = append(due, b.template)
			args = append(args, ms, int64(b.template))
		}
	}
	if len(due) == 0 {
		return r.run(ctx, calls)
	}
	touch := redis.NewIntCmd(ctx, args...)
	trim := redis.NewIntCmd(ctx, "zremrangebyscore", touchedKey, "-inf", ms-touchedFor.Milliseconds())
	err := r.run(ctx, calls, touch, trim)
	if touch.Err() != nil {
		for _, template := range due {
			r.touches.undo(template)
		}
	}
	return err
}

// Finish tells what became of claims, the confirms of each template before the
// rest. Outcomes of an epoch that the gate does not hold are passed over. After an error each may or may not have been
// noted: confirm and release may be told again, record may not.
func (r *Redis) Finish(ctx context.Context, outcomes []models.GateOutcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	batches := outcomeBatches(outcomes)
	names := pendingNames(len(outcomes), func(i int) (models.ID, string) { return outcomes[i].ClaimID, outcomes[i].UserID })
	calls := make([]*call, len(batches))
	for i := range batches {
		args := r.finishArgs(&batches[i], outcomes, names)
		calls[i] = r.scripts.finish.call(ctx, args)
	}
	return away("finish", r.within(ctx, r.timeout, func(ctx context.Context) error { return r.run(ctx, calls) }))
}

// finishArgs names the confirms, which come first in a batch, by the claim alone.
func (r *Redis) finishArgs(b *batch, outcomes []models.GateOutcome, names []string) []any {
	args := r.scripts.finish.on(b.template, 2+3*len(b.at))
	confirms := 0
	args = append(args, &b.epoch, &confirms)
	for _, at := range b.at {
		if outcomes[at].Step == models.GateConfirm {
			args = append(args, &names[at])
			confirms++
		} else {
			args = append(args, stepName(outcomes[at].Step), &outcomes[at].UserID, &names[at])
		}
	}
	return args
}

// stepName is the script's word, made an argument without a copy on the heap.
func stepName(step models.GateStep) any {
	if step == models.GateRelease {
		return "release"
	}
	return "record"
}
