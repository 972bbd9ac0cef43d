package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"scrip/failpoint"
	"scrip/models"
)

type settleGate interface {
	Touched(ctx context.Context, since time.Time, most int) ([]models.ID, error)
	Pending(ctx context.Context, template models.ID, olderThan time.Time, most int) ([]models.PendingClaim, error)
	States(ctx context.Context, templates []models.ID) ([]models.GateState, error)
	Finish(ctx context.Context, outcomes []models.GateOutcome) error
}

type settleStore interface {
	SettleClaims(ctx context.Context, template models.ID, claims []models.ID) (granted map[models.ID]bool, err error)
}

// Settle finds out what became of reservations that nobody confirmed or
// released: their server died, or the answer to a commit was lost.
type Settle struct {
	Gate  settleGate
	Store settleStore
	Now   models.Clock
	// After is how old a reservation must be: older than a claim's deadline and
	// the longest transaction together, or claims under way would be buried.
	After time.Duration

	seen time.Time // everything touched before was looked at
}

// Bounds of one step.
const (
	settleTemplates = 10_000
	settleClaims    = 500
	gateChunk       = 200 // templates that the gate is asked about at a time
)

// Step settles what is overdue. The first one looks at every template that the
// gate remembers, later ones at those touched since.
func (j *Settle) Step(ctx context.Context) (changed int, more bool, err error) {
	started := j.Now()
	templates, err := j.Gate.Touched(ctx, j.seen, settleTemplates)
	if err != nil {
		return 0, false, fmt.Errorf("list touched templates: %w", err)
	}
	for chunk := range slices.Chunk(templates, gateChunk) {
		n, full, err := j.settleAll(ctx, chunk, started.Add(-j.After))
		changed, more = changed+n, more || full
		if err != nil {
			return changed, false, err
		}
	}
	if !more {
		// What was reserved just now comes due only later: keep it in sight.
		j.seen = started.Add(-2 * j.After)
	}
	return changed, more, nil
}

// settleAll looks at all of the templates at once: most have nothing pending.
func (j *Settle) settleAll(ctx context.Context, templates []models.ID, olderThan time.Time) (changed int, more bool, err error) {
	states, err := j.Gate.States(ctx, templates)
	if err != nil {
		return 0, false, fmt.Errorf("read the gate: %w", err)
	}
	for i, id := range templates {
		if states[i].Pending == 0 {
			continue
		}
		n, full, err := j.settle(ctx, id, states[i].Epoch, olderThan)
		changed, more = changed+n, more || full
		if err != nil {
			return changed, false, fmt.Errorf("template %s: %w", id, err)
		}
	}
	return changed, more, nil
}

func (j *Settle) settle(ctx context.Context, id models.ID, epoch int64, olderThan time.Time) (n int, full bool, err error) {
	pending, err := j.Gate.Pending(ctx, id, olderThan, settleClaims)
	if err != nil || len(pending) == 0 {
		return 0, false, err
	}
	ids := make([]models.ID, len(pending))
	for i, p := range pending {
		ids[i] = p.ClaimID
	}
	granted, err := j.Store.SettleClaims(ctx, id, ids)
	if err != nil {
		return 0, false, err
	}
	failpoint.Reach(failpoint.SettleCommitted)
	outcomes := make([]models.GateOutcome, len(pending))
	for i, p := range pending {
		outcomes[i] = models.GateOutcome{
			TemplateID: id, ClaimID: p.ClaimID, UserID: p.UserID, Epoch: epoch, Step: models.GateRelease,
		}
		if granted[p.ClaimID] {
			outcomes[i].Step = models.GateConfirm
		}
	}
	if err := j.Gate.Finish(ctx, outcomes); err != nil {
		return len(pending), false, err
	}
	failpoint.Reach(failpoint.SettleTold)
	return len(pending), len(pending) == settleClaims, nil
}
