package jobs

import (
	"context"
	"fmt"
	"time"

	"scrip/models"
)

type reconcileGate interface {
	Touched(ctx context.Context, since time.Time, most int) ([]models.ID, error)
	State(ctx context.Context, template models.ID) (models.GateState, error)
}

type reconcileStore interface {
	Definition(ctx context.Context, id models.ID) (models.Template, error)
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
	for _, id := range templates {
		state, epoch, differs, err := Drift(ctx, j.Gate, j.Store, id)
		if err != nil {
			return changed, false, fmt.Errorf("template %s: %w", id, err)
		}
		if !differs {
			continue
		}
		if before, known := j.drift[id]; !known || before != state {
			drift[id] = state
			continue
		}
		if err := j.Rebuild.Rebuild(ctx, id, epoch); err != nil {
			return changed, false, fmt.Errorf("template %s: %w", id, err)
		}
		changed++
	}
	j.drift, j.seen = drift, started.Add(-quietFor)
	return changed, false, nil
}

// Drift compares one template's copy in the gate with the store. A gate that is
// cold, or in the middle of something, is not compared.
func Drift(ctx context.Context, g reconcileGate, st reconcileStore, id models.ID) (state models.GateState, epoch int64, differs bool, err error) {
	before, err := g.State(ctx, id)
	if err != nil || !before.Open || before.Pending > 0 {
		return before, 0, false, err
	}
	def, err := st.Definition(ctx, id)
	if err != nil {
		return before, 0, false, err
	}
	state, err = g.State(ctx, id)
	if err != nil || state != before || state.Epoch != def.Epoch || def.Stock == nil {
		return state, def.Epoch, false, err
	}
	return state, def.Epoch, state.Left != *def.Stock-def.Claimed, nil
}
