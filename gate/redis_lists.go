package gate

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"scrip/models"
)

// Pending lists reservations made before olderThan, cut to the millisecond, of
// an open copy that were neither confirmed nor released: the oldest first.
func (r *Redis) Pending(
	ctx context.Context, template models.ID, olderThan time.Time, most int,
) ([]models.PendingClaim, error) {
	if most <= 0 {
		return nil, nil
	}
	args := append(r.scripts.pending.on(template, 2), olderThan.UnixMilli(), most)
	c, err := r.one(ctx, r.slow, r.scripts.pending, args)
	if err != nil {
		return nil, away("pending", err)
	}
	pairs, err := c.StringSlice()
	if err != nil {
		return nil, away("pending", err)
	}
	claims, err := readPending(pairs)
	return claims, away("pending", err)
}

// readPending reads names and scores by turns.
func readPending(pairs []string) ([]models.PendingClaim, error) {
	var claims []models.PendingClaim
	for ; len(pairs) >= 2; pairs = pairs[2:] {
		claim, user, err := parsePendingName(pairs[0])
		if err != nil {
			return nil, fmt.Errorf("%q is pending: %w", pairs[0], err)
		}
		ms, err := strconv.ParseInt(pairs[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is pending: %w", pairs[0], err)
		}
		claims = append(claims, models.PendingClaim{ClaimID: claim, UserID: user, Since: time.UnixMilli(ms).UTC()})
	}
	return claims, nil
}

// Touched lists the templates that were asked for since then, the one whose
// last time is longest ago first: every one of the last 24 hours, and possibly
// some that were asked for within the second before.
func (r *Redis) Touched(ctx context.Context, since time.Time, most int) ([]models.ID, error) {
	if most <= 0 {
		return nil, nil
	}
	var templates []models.ID
	err := r.within(ctx, r.slow, func(ctx context.Context) error {
		found, err := r.client.ZRangeByScore(ctx, touchedKey, &redis.ZRangeBy{
			Min: strconv.FormatInt(touchedSince(since), 10), Max: "+inf", Count: int64(most),
		}).Result()
		if err != nil {
			return err
		}
		for _, text := range found {
			template, err := models.ParseID(text)
			if err != nil {
				return fmt.Errorf("%q was touched: %w", text, err)
			}
			templates = append(templates, template)
		}
		return nil
	})
	return templates, away("touched", err)
}

// State describes a template's copy. Of a cold one only Moves is set; Left is 0
// while loading.
func (r *Redis) State(ctx context.Context, template models.ID) (models.GateState, error) {
	states, err := r.states(ctx, r.timeout, []models.ID{template})
	if err != nil {
		return models.GateState{}, err
	}
	return states[0], nil
}

// States is State for many, in their order and in one round trip; each as it was
// at a moment of its own.
func (r *Redis) States(ctx context.Context, templates []models.ID) ([]models.GateState, error) {
	return r.states(ctx, r.slow, templates)
}

func (r *Redis) states(ctx context.Context, limit time.Duration, templates []models.ID) ([]models.GateState, error) {
	if len(templates) == 0 {
		return nil, nil
	}
	calls := make([]*call, len(templates))
	for i, template := range templates {
		calls[i] = r.scripts.state.call(ctx, r.scripts.state.on(template, 0))
	}
	err := r.within(ctx, limit, func(ctx context.Context) error { return r.run(ctx, calls) })
	states := make([]models.GateState, len(calls))
	for i := 0; err == nil && i < len(calls); i++ {
		states[i], err = readState(calls[i])
	}
	return states, away("state", err)
}

func readState(c *call) (models.GateState, error) {
	n, err := c.Int64Slice()
	if err != nil || len(n) != 6 {
		return models.GateState{}, fmt.Errorf("unexpected answer %v: %w", n, err)
	}
	return models.GateState{Open: n[0] == 1, Epoch: n[1], Left: n[2], Pending: n[3], Users: n[4], Moves: n[5]}, nil
}
