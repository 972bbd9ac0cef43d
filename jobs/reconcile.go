package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"scrip/models"
)

type reconcileGate interface {
	Touched(ctx context.Context, since time.Time, most int) ([]models.ID, error)
	States(ctx context.Context, templates []models.ID) ([]models.GateState, error)
}

type reconcileStore interface {
	Counts(ctx context.Context, templates []models.ID) (map[models.ID]models.TemplateCount, error)
}

type rebuilder interface {
	Rebuild(ctx context.Context, id models.ID, from int64) error
}

// Reconcile compares the gate with the store, template by template, once claims
// have gone quiet, and has the gate rebuilt where they differ. The gate may
// differ for a while without harm: it only filters.
type Reconcile struct {
	Gate    reconcileGate
	Store   reconcileStore
	Rebuild rebuilder
	Now     models.Clock

	seen  time.Time
	drift map[models.ID]models.GateState // found by the last step
}

// quietFor is how far back a step looks for templates to compare.
const quietFor = time.Minute

// Step compares the templates touched lately. Only a difference that two steps
// find in the same state is one: between the store's commit and word of it
// reaching the gate they differ as they should.
func (j *Reconcile) Step(ctx context.Context) (changed int, more bool, err error) {
	started := j.Now()
	templates, err := j.Gate.Touched(ctx, j.seen, settleTemplates)
	if err != nil {
		return 0, false, fmt.Errorf("list touched templates: %w", err)
	}
	drift := map[models.ID]models.GateState{}
	for chunk := range slices.Chunk(templates, gateChunk) {
		differing, err := differences(ctx, j.Gate, j.Store, chunk)
		if err != nil {
			return changed, false, err
		}
		for id, state := range differing {
			if before, known := j.drift[id]; !known || before != state {
				drift[id] = state
				continue
			}
			if err := j.Rebuild.Rebuild(ctx, id, state.Epoch); err != nil {
				return changed, false, fmt.Errorf("template %s: %w", id, err)
			}
			changed++
		}
	}
	j.drift, j.seen = drift, started.Add(-quietFor)
	return changed, false, nil
}

// differences are the templates whose copies do not say what the store says, and
// what they say. The two are read one after the other: nothing is sure until a
// copy is found unmoved later.
func differences(
	ctx context.Context, g reconcileGate, st reconcileStore, templates []models.ID,
) (map[models.ID]models.GateState, error) {
	states, err := g.States(ctx, templates)
	if err != nil {
		return nil, fmt.Errorf("read the gate: %w", err)
	}
	counts, err := st.Counts(ctx, templates)
	if err != nil {
		return nil, err
	}
	differing := map[models.ID]models.GateState{}
	for i, id := range templates {
		if count, known := counts[id]; known && differs(states[i], count) {
			differing[id] = states[i]
		}
	}
	return differing, nil
}

// differs compares a copy with the store. One that is cold, in the middle of
// something or of another epoch is not compared.
func differs(state models.GateState, count models.TemplateCount) bool {
	return state.Open && state.Pending == 0 && state.Epoch == count.Epoch &&
		count.Stock != nil && state.Left != *count.Stock-count.Claimed
}

// Drift finds those of the templates whose copies in the gate do not say what the
// store says, and say the same when they are looked at again, or in which
// something is pending; and what they say.
func Drift(
	ctx context.Context, g reconcileGate, st reconcileStore, templates []models.ID,
) (map[models.ID]models.GateState, error) {
	differing, err := differences(ctx, g, st, templates)
	if err != nil {
		return nil, err
	}
	states, err := g.States(ctx, templates)
	if err != nil {
		return nil, fmt.Errorf("read the gate: %w", err)
	}
	drifting := map[models.ID]models.GateState{}
	for i, id := range templates {
		before, differs := differing[id]
		if differs && before == states[i] || states[i].Open && states[i].Pending > 0 {
			drifting[id] = states[i]
		}
	}
	return drifting, nil
}
