package gate_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"scrip/enginetest"
	"scrip/gate"
	"scrip/models"
)

// Whatever is asked of them, in whatever order: both gates say the same.
func TestTwins(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	fromRedis := newRedis(t, clock.now, enginetest.Redis(t).Addr())
	var runs atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		w := &twins{
			T: rt, clock: clock, memory: gate.NewMemory(clock.now), redis: fromRedis,
			base:  models.ID(runs.Add(1)) * 10, // templates of its own
			start: clock.now(),
			limit: int64(rapid.IntRange(1, 3).Draw(rt, "limit")),
		}
		rt.Repeat(map[string]func(*rapid.T){
			"":         func(*rapid.T) { w.compareStates() },
			"reserve":  w.reserve,
			"reserve ": w.reserve, // twice as likely
			"finish":   w.finish,
			"finish ":  w.finish,
			"begin":    w.begin,
			"load":     w.load,
			"open":     w.open,
			"rebuild":  w.rebuild,
			"stock":    w.stock,
			"pending":  w.pending,
			"touched":  w.touched,
			"wait":     w.wait,
		})
	})
}

// twins asks both gates the same questions.
type twins struct {
	*rapid.T
	clock  *handClock
	memory *gate.Memory
	redis  *gate.Redis
	base   models.ID
	start  time.Time
	limit  int64
	epoch  int64 // the newest that was begun
	edits  int64 // the newest edit that was made
}

func (w *twins) both(what string, ask func(g gates) (any, error)) {
	w.Helper()
	fromMemory, err := ask(w.memory)
	if err != nil {
		w.Fatal(err)
	}
	fromRedis, err := ask(w.redis)
	if err != nil {
		w.Fatal(err)
	}
	if diff := cmp.Diff(fromMemory, fromRedis, cmpopts.EquateEmpty()); diff != "" {
		w.Fatalf("%s (-memory +redis):\n%s", what, diff)
	}
}

func (w *twins) compareStates() {
	w.both("states", func(g gates) (any, error) {
		return g.States(w.Context(), []models.ID{w.base, w.base + 1})
	})
}

func (w *twins) template(t *rapid.T) models.ID {
	return w.base + models.ID(rapid.IntRange(0, 1).Draw(t, "template"))
}

// anEpoch is mostly the right one.
func (w *twins) anEpoch(t *rapid.T) int64 {
	return w.epoch + rapid.SampledFrom([]int64{0, 0, 0, 0, 0, -1, 1}).Draw(t, "epoch")
}

func userOf(claim models.ID) string { return fmt.Sprint("user ", claim%5) }

func (w *twins) reserve(t *rapid.T) {
	asks := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) models.Reservation {
		claim := models.ID(rapid.IntRange(1, 25).Draw(t, "claim"))
		return models.Reservation{
			TemplateID: w.template(t), ClaimID: claim, UserID: userOf(claim), Epoch: w.anEpoch(t),
		}
	}), 1, 8).Draw(t, "asks")
	w.both("reserve", func(g gates) (any, error) { return g.Reserve(w.Context(), asks), nil })
}

func (w *twins) finish(t *rapid.T) {
	outcomes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) models.GateOutcome {
		claim := models.ID(rapid.IntRange(1, 25).Draw(t, "claim"))
		steps := []models.GateStep{models.GateConfirm, models.GateRelease, models.GateRecord}
		return models.GateOutcome{
			TemplateID: w.template(t), ClaimID: claim, UserID: userOf(claim), Epoch: w.anEpoch(t),
			Step: rapid.SampledFrom(steps).Draw(t, "step"),
		}
	}), 1, 8).Draw(t, "outcomes")
	w.both("finish", func(g gates) (any, error) { return nil, g.Finish(w.Context(), outcomes) })
}

func (w *twins) loading(t *rapid.T) models.GateLoad {
	load := models.GateLoad{
		TemplateID: w.template(t), Epoch: w.anEpoch(t), Limit: w.limit, StockEdits: w.anEdit(t), Stock: aStock(t),
	}
	load.Left = load.Stock
	if load.Stock <= models.MaxStock {
		load.Left -= rapid.Int64Range(0, load.Stock).Draw(t, "claimed")
	}
	return load
}

func aStock(t *rapid.T) int64 {
	return rapid.OneOf(
		rapid.Int64Range(0, 12), rapid.Int64Range(0, 12), rapid.Int64Range(0, 12),
		rapid.SampledFrom([]int64{models.GateUnlimited, 1<<51 + 1, models.MaxStock}),
	).Draw(t, "stock")
}

// anEdit is mostly the next.
func (w *twins) anEdit(t *rapid.T) int64 {
	edit := max(1, w.edits+rapid.SampledFrom([]int64{1, 1, 1, 0, -1, 2}).Draw(t, "edit"))
	w.edits = max(w.edits, edit)
	return edit
}

func (w *twins) begin(t *rapid.T) {
	load := w.loading(t)
	w.both("begin", func(g gates) (any, error) { return g.Begin(w.Context(), load) })
	w.epoch = max(w.epoch, load.Epoch)
}

func (w *twins) load(t *rapid.T) {
	template, epoch := w.template(t), w.anEpoch(t)
	limit := rapid.SampledFrom([]int64{w.limit, w.limit, w.limit, w.limit + 1}).Draw(t, "limit")
	var holders []models.Holder
	for i := range models.ID(rapid.IntRange(0, 8).Draw(t, "holders")) {
		holders = append(holders, models.Holder{UserID: userOf(i), Count: rapid.Int64Range(1, limit+1).Draw(t, "count")})
	}
	w.both("load", func(g gates) (any, error) { return g.Load(w.Context(), template, epoch, limit, holders) })
}

func (w *twins) open(t *rapid.T) {
	load := w.loading(t)
	w.both("open", func(g gates) (any, error) { return g.Open(w.Context(), load) })
}

// rebuild does all that it takes, so that most steps find an open copy.
func (w *twins) rebuild(t *rapid.T) {
	load := w.loading(t)
	w.epoch++
	load.Epoch = w.epoch
	for i := range models.ID(2) {
		load.TemplateID = w.base + i
		w.both("begin", func(g gates) (any, error) { return g.Begin(w.Context(), load) })
		w.both("open", func(g gates) (any, error) { return g.Open(w.Context(), load) })
	}
}

func (w *twins) stock(t *rapid.T) {
	template, epoch, edit, stock := w.template(t), w.anEpoch(t), w.anEdit(t), aStock(t)
	w.both("stock", func(g gates) (any, error) {
		return nil, g.SetStock(w.Context(), template, epoch, edit, stock)
	})
}

func (w *twins) pending(t *rapid.T) {
	template, most := w.template(t), rapid.IntRange(0, 10).Draw(t, "most")
	age := time.Duration(rapid.IntRange(-1, 3000).Draw(t, "age")) * time.Millisecond
	w.both("pending", func(g gates) (any, error) {
		return g.Pending(w.Context(), template, w.clock.now().Add(-age), most)
	})
}

func (w *twins) touched(t *rapid.T) {
	since := w.clock.now().Add(-time.Duration(rapid.IntRange(0, 5000).Draw(t, "age")) * time.Millisecond)
	w.both("touched", func(g gates) (any, error) {
		found, err := g.Touched(w.Context(), since, 1_000_000)
		return slices.DeleteFunc(found, func(id models.ID) bool { return id < w.base }), err // of earlier runs
	})
}

func (w *twins) wait(t *rapid.T) {
	w.clock.advance(time.Duration(rapid.IntRange(0, 2000).Draw(t, "milliseconds")) * time.Millisecond)
}
