package gate

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"scrip/models"
)

// Memory is the gate for a single instance of this program, in its memory. It
// is cold after a start, and never away: no method returns an error. It is safe
// for concurrent use. Its methods do what those of Redis do; see there.
type Memory struct {
	now     models.Clock
	touches touches
	guesses guesses

	mu      sync.RWMutex
	copies  map[models.ID]*counters // grows by one for every template ever asked for
	touched map[models.ID]int64     // when last, in milliseconds
}

// NewMemory makes an empty gate.
func NewMemory(now models.Clock) *Memory {
	return &Memory{now: now, copies: map[models.ID]*counters{}, touched: map[models.ID]int64{}}
}

// Reserve asks for one unit each; see Redis.Reserve.
func (m *Memory) Reserve(_ context.Context, asks []models.Reservation) []models.GateAnswer {
	answers := make([]models.GateAnswer, len(asks))
	ms := m.now().UnixMilli()
	for _, b := range reservationBatches(asks) {
		m.touch(b.template, ms)
		m.of(b.template).reserve(asks, b, ms, answers)
	}
	return answers
}

// Finish tells what became of claims; see Redis.Finish.
func (m *Memory) Finish(_ context.Context, outcomes []models.GateOutcome) error {
	for _, b := range outcomeBatches(outcomes) {
		m.of(b.template).finish(outcomes, b)
	}
	return nil
}

// Begin starts a rebuild; see Redis.Begin.
func (m *Memory) Begin(_ context.Context, load models.GateLoad) (bool, error) {
	return m.of(load.TemplateID).begin(load), nil
}

// Load adds users who hold coupons; see Redis.Load.
func (m *Memory) Load(
	_ context.Context, template models.ID, epoch, limit int64, holders []models.Holder,
) (bool, error) {
	return m.of(template).load(epoch, limit, holders), nil
}

// Open ends a rebuild; see Redis.Open.
func (m *Memory) Open(_ context.Context, load models.GateLoad) (bool, error) {
	return m.of(load.TemplateID).open(load), nil
}

// SetStock tells of a stock edit; see Redis.SetStock.
func (m *Memory) SetStock(_ context.Context, template models.ID, epoch, edit, stock int64) error {
	m.of(template).setStock(epoch, edit, stock)
	return nil
}

// Pending lists what was neither confirmed nor released; see Redis.Pending.
func (m *Memory) Pending(
	_ context.Context, template models.ID, olderThan time.Time, most int,
) ([]models.PendingClaim, error) {
	return m.of(template).oldest(olderThan.UnixMilli(), most), nil
}

// Touched lists the templates that were asked for since then; see Redis.Touched.
func (m *Memory) Touched(_ context.Context, since time.Time, most int) ([]models.ID, error) {
	if most <= 0 {
		return nil, nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var found []models.ID
	for template, ms := range m.touched {
		if ms >= touchedSince(since) {
			found = append(found, template)
		}
	}
	slices.SortFunc(found, func(a, b models.ID) int {
		return cmp.Or(cmp.Compare(m.touched[a], m.touched[b]), cmp.Compare(a.String(), b.String()))
	})
	return found[:min(most, len(found))], nil
}

// State describes a template's copy; see Redis.State.
func (m *Memory) State(_ context.Context, template models.ID) (models.GateState, error) {
	return m.of(template).state(), nil
}

// States is State for many, in their order.
func (m *Memory) States(_ context.Context, templates []models.ID) ([]models.GateState, error) {
	states := make([]models.GateState, len(templates))
	for i, template := range templates {
		states[i] = m.of(template).state()
	}
	return states, nil
}

// Ping does nothing.
func (m *Memory) Ping(context.Context) error { return nil }

// Check finds nothing amiss.
func (m *Memory) Check(context.Context) error { return nil }

// Away is always false.
func (m *Memory) Away() bool { return false }

// Close does nothing: the gate goes on as before.
func (m *Memory) Close() error { return nil }

func (m *Memory) touch(template models.ID, ms int64) {
	if !m.touches.due(template, ms) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.touched[template] = max(m.touched[template], ms)
}

// of finds the template's counters, or makes some that are cold.
func (m *Memory) of(template models.ID) *counters {
	m.mu.RLock()
	c := m.copies[template]
	m.mu.RUnlock()
	if c != nil {
		return c
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.copies[template] == nil {
		m.copies[template] = &counters{}
	}
	return m.copies[template]
}
