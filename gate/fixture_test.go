package gate_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

// The answers, short.
const (
	away    = models.GateAway
	taken   = models.GateTaken
	limit   = models.GateLimit
	soldOut = models.GateSoldOut
	busy    = models.GateBusy
	cold    = models.GateCold
)

// fixture is one template on one gate. Its methods fail the test if the gate
// returns an error.
type fixture struct {
	*testing.T
	gate  gates
	clock *handClock
	id    models.ID
	epoch int64
	limit int64
	total int64     // the stock
	edits int64     // the newest edit of it
	claim models.ID // the newest claim id
}

func (f *fixture) load(left int64) models.GateLoad {
	return models.GateLoad{
		TemplateID: f.id, Epoch: f.epoch, StockEdits: f.edits, Limit: f.limit, Stock: f.total, Left: left,
	}
}

func (f *fixture) begin() bool {
	f.Helper()
	ok, err := f.gate.Begin(f.Context(), f.load(0))
	f.must(err)
	return ok
}

func (f *fixture) hold(holders ...models.Holder) bool {
	f.Helper()
	ok, err := f.gate.Load(f.Context(), f.id, f.epoch, f.limit, holders)
	f.must(err)
	return ok
}

func (f *fixture) openWith(left int64) bool {
	f.Helper()
	ok, err := f.gate.Open(f.Context(), f.load(left))
	f.must(err)
	return ok
}

// rebuild opens the template's next epoch.
func (f *fixture) rebuild(left int64, holders ...models.Holder) {
	f.Helper()
	f.epoch++
	if !f.begin() || !f.hold(holders...) || !f.openWith(left) {
		f.Fatalf("epoch %d of template %d cannot be loaded", f.epoch, f.id)
	}
}

func (f *fixture) ask(claim models.ID, user string) models.Reservation {
	return models.Reservation{TemplateID: f.id, ClaimID: claim, UserID: user, Epoch: f.epoch}
}

// reserve asks for each user with a new claim id, all in one batch.
func (f *fixture) reserve(users ...string) []models.GateAnswer {
	f.Helper()
	asks := make([]models.Reservation, len(users))
	for i, user := range users {
		f.claim++
		asks[i] = f.ask(f.claim, user)
	}
	return f.gate.Reserve(f.Context(), asks)
}

func (f *fixture) again(claim models.ID, user string) models.GateAnswer {
	f.Helper()
	return f.gate.Reserve(f.Context(), []models.Reservation{f.ask(claim, user)})[0]
}

func (f *fixture) outcome(step models.GateStep, claim models.ID, user string) models.GateOutcome {
	return models.GateOutcome{
		TemplateID: f.id, ClaimID: claim, UserID: user, Epoch: f.epoch, Step: step,
	}
}

func (f *fixture) finish(step models.GateStep, claim models.ID, user string) {
	f.Helper()
	f.must(f.gate.Finish(f.Context(), []models.GateOutcome{f.outcome(step, claim, user)}))
}

func (f *fixture) stock(edit, stock int64) {
	f.Helper()
	f.must(f.gate.SetStock(f.Context(), f.id, f.epoch, edit, stock))
}

func (f *fixture) state() models.GateState {
	f.Helper()
	state, err := f.gate.State(f.Context(), f.id)
	f.must(err)
	return state
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) wantAnswers(got []models.GateAnswer, want ...models.GateAnswer) {
	f.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("answers (-want +got):\n%s", diff)
	}
}

// wantCounts looks at an open copy.
func (f *fixture) wantCounts(left, pending, users int64) {
	f.Helper()
	got := f.state()
	want := models.GateState{
		Open: true, Epoch: f.epoch, Left: left, Pending: pending, Users: users, Moves: got.Moves,
	}
	if got != want {
		f.Errorf("state\n got %+v\nwant %+v", got, want)
	}
}

// wantCold looks at a template without a copy to decide by, open or loading.
func (f *fixture) wantCold() {
	f.Helper()
	f.wantAnswers(f.reserve("whoever"), cold)
	if state := f.state(); state != (models.GateState{Moves: state.Moves}) {
		f.Errorf("not cold: %+v", state)
	}
	pending, err := f.gate.Pending(f.Context(), f.id, f.clock.now().Add(time.Hour), 10)
	f.must(err)
	if len(pending) > 0 {
		f.Errorf("pending in a cold copy: %v", pending)
	}
}

// wantUnmoved has act change nothing.
func (f *fixture) wantUnmoved(act func()) {
	f.Helper()
	before := f.state()
	act()
	if after := f.state(); before != after {
		f.Errorf("something changed:\nbefore %+v\n after %+v", before, after)
	}
}
