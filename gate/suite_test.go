package gate_test

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/gate"
	"scrip/models"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	suite(t, func(_ *testing.T, now models.Clock) gates { return gate.NewMemory(now) })
}

// suite runs over every kind of gate, so that they cannot differ.
func suite(t *testing.T, newGate func(t *testing.T, now models.Clock) gates) {
	t.Helper()
	for i, test := range []struct {
		name string
		run  func(f *fixture)
	}{
		{"answers", testAnswers},
		{"the same claim again", testAgain},
		{"one batch", testBatch},
		{"several templates", testSeveralTemplates},
		{"several states", testStates},
		{"a huge batch", testHugeBatch},
		{"limit n", testLimitN},
		{"confirm", testConfirm},
		{"release", testRelease},
		{"record", testRecord},
		{"more than the limit", testOverLimit},
		{"outcomes of another epoch", testOtherEpoch},
		{"a batch of outcomes", testFinishBatch},
		{"rebuild", testRebuild},
		{"holders", testHolders},
		{"stock edits", testStock},
		{"stock edits while loading", testLateStock},
		{"stock set or lifted", testStockKind},
		{"records while loading", testLateRecord},
		{"unlimited", testUnlimited},
		{"pending", testPending},
		{"touched", testTouched},
		{"moves", testMoves},
		{"odd users", testOddUsers},
		{"nothing asked", testNothing},
		{"guesses", testGuesses},
		{"several counters of guesses", testGuessCounters},
		{"race of guesses", testGuessRace},
		{"no span has too many guesses", testGuessBound},
		{"race for the last units", testRace},
		{"race of releases", testReleaseRace},
		{"alive", testAlive},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			clock := newHandClock()
			g := newGate(t, clock.now)
			// The gates of all tests may be on one server: keep apart by ids.
			id := models.ID(i+1) * 1000
			test.run(&fixture{T: t, gate: g, clock: clock, id: id, limit: 1, claim: id * 1_000_000})
		})
	}
}

func testAnswers(f *fixture) {
	f.wantCold()
	f.rebuild(2)
	f.wantCounts(2, 0, 0)
	f.wantAnswers(f.reserve("a"), taken)
	f.wantAnswers(f.reserve("a"), limit)
	f.wantAnswers(f.reserve("b"), taken)
	f.wantCounts(0, 2, 2)
	f.wantAnswers(f.reserve("c"), busy)
	f.wantAnswers(f.reserve("a"), limit)

	first := f.id*1_000_000 + 2 // wantCold asked once
	f.finish(models.GateConfirm, first, "a")
	f.wantAnswers(f.reserve("c"), busy)
	f.finish(models.GateConfirm, first+2, "b")
	f.wantAnswers(f.reserve("c"), soldOut)
	f.wantAnswers(f.reserve("b"), limit)
	f.wantCounts(0, 0, 2)

	f.epoch++
	f.wantAnswers(f.reserve("d"), cold)
	f.epoch -= 2
	f.wantAnswers(f.reserve("d"), cold)
}

func testAgain(f *fixture) {
	f.rebuild(1)
	f.wantAnswers(f.reserve("a"), taken)
	f.wantUnmoved(func() {
		f.wantAnswers([]models.GateAnswer{f.again(f.claim, "a")}, taken)
	})
	f.wantCounts(0, 1, 1)
	f.finish(models.GateConfirm, f.claim, "a")
	f.wantAnswers([]models.GateAnswer{f.again(f.claim, "a")}, limit)
}

func testBatch(f *fixture) {
	f.rebuild(3)
	got := f.gate.Reserve(f.Context(), []models.Reservation{
		f.ask(1, "a"), f.ask(2, "b"),
		f.ask(1, "a"), // the same claim
		f.ask(3, "a"), // the same user
		f.ask(4, "c"), f.ask(5, "d"),
		f.ask(4, "c"), f.ask(6, "b"),
	})
	f.wantAnswers(got, taken, taken, taken, limit, taken, busy, taken, limit)
	f.wantCounts(0, 3, 3)
}

func testSeveralTemplates(f *fixture) {
	other := *f
	other.id, other.limit = f.id+1, 2
	unknown := *f
	unknown.id = f.id + 2
	f.rebuild(1)
	other.rebuild(9)
	old := f.ask(1, "x")
	old.Epoch--
	got := f.gate.Reserve(f.Context(), []models.Reservation{
		other.ask(11, "a"), f.ask(12, "a"), unknown.ask(13, "a"), other.ask(14, "a"),
		f.ask(15, "b"), old, other.ask(16, "a"), f.ask(17, "a"),
	})
	f.wantAnswers(got, taken, taken, cold, taken, busy, cold, limit, limit)
	f.wantCounts(0, 1, 1)
	other.wantCounts(7, 2, 1)

	f.must(f.gate.Finish(f.Context(), []models.GateOutcome{
		other.outcome(models.GateRelease, 11, "a"),
		f.outcome(models.GateConfirm, 12, "a"),
		unknown.outcome(models.GateRelease, 13, "a"),
		other.outcome(models.GateConfirm, 14, "a"),
	}))
	f.wantCounts(0, 0, 1)
	other.wantCounts(8, 0, 0)
}

// They come in the order of the question, as each would come alone.
func testStates(f *fixture) {
	other := *f
	other.id = f.id + 1
	f.rebuild(3)
	other.rebuild(5)
	f.reserve("a")
	got, err := f.gate.States(f.Context(), []models.ID{other.id, f.id + 2, f.id})
	f.must(err)
	want := []models.GateState{other.state(), {}, f.state()}
	if diff := cmp.Diff(want, got); diff != "" || want[0].Left != 5 || want[2].Left != 2 {
		f.Errorf("(-want +got):\n%s", diff)
	}
	if none, err := f.gate.States(f.Context(), nil); err != nil || len(none) > 0 {
		f.Errorf("of no template: %v, %v", none, err)
	}
}

func testHugeBatch(f *fixture) {
	const stock, users = 2100, 2500
	f.limit = 2
	f.rebuild(stock)
	names := make([]string, users)
	want := make([]models.GateAnswer, users)
	for i := range names {
		names[i], want[i] = fmt.Sprint("user", i), taken
		if i >= stock {
			want[i] = busy
		}
	}
	f.wantAnswers(f.reserve(names...), want...)
	f.wantCounts(0, stock, 0)

	outcomes := make([]models.GateOutcome, users)
	for i := range outcomes {
		outcomes[i] = f.outcome(models.GateRelease, f.claim-users+1+models.ID(i), names[i])
	}
	f.must(f.gate.Finish(f.Context(), outcomes))
	f.wantCounts(stock, 0, 0)
}

func testLimitN(f *fixture) {
	f.limit = 3
	f.rebuild(10, models.Holder{UserID: "b", Count: 2}, models.Holder{UserID: "c", Count: 3})
	f.wantAnswers(f.reserve("a", "a", "b", "a", "b", "a", "c"), taken, taken, taken, taken, limit, limit, limit)
	f.wantCounts(6, 4, 3)
	f.finish(models.GateRelease, f.claim-4, "b")
	f.wantCounts(7, 3, 2)
	f.wantAnswers(f.reserve("b"), taken)
	f.wantAnswers(f.reserve("b"), limit)
}

func testConfirm(f *fixture) {
	f.rebuild(5)
	f.wantAnswers(f.reserve("a"), taken)
	f.finish(models.GateConfirm, f.claim, "a")
	f.wantCounts(4, 0, 1)
	f.wantUnmoved(func() {
		f.finish(models.GateConfirm, f.claim, "a")
		f.finish(models.GateConfirm, 99, "z")
		f.finish(models.GateRelease, f.claim, "a")
	})
	f.wantAnswers(f.reserve("a"), limit)
}

func testRelease(f *fixture) {
	f.rebuild(1)
	f.wantAnswers(f.reserve("a"), taken)
	f.finish(models.GateRelease, f.claim, "a")
	f.wantCounts(1, 0, 0)
	f.wantUnmoved(func() {
		f.finish(models.GateRelease, f.claim, "a")
		f.finish(models.GateRelease, 99, "a")
		f.finish(models.GateConfirm, f.claim, "a")
	})
	f.wantAnswers(f.reserve("a"), taken)
	f.wantUnmoved(func() { f.finish(models.GateRelease, f.claim-1, "a") })
	f.wantAnswers(f.reserve("b"), busy)
}

func testRecord(f *fixture) {
	f.rebuild(2)
	f.finish(models.GateRecord, 7, "a")
	f.wantCounts(1, 0, 1)
	f.wantAnswers(f.reserve("a", "b"), limit, taken)
	f.finish(models.GateRecord, f.claim, "b") // was pending: only confirmed
	f.wantCounts(0, 0, 2)
	f.finish(models.GateRecord, 8, "c")
	f.wantCounts(-1, 0, 3)
	f.wantAnswers(f.reserve("d"), soldOut)
}

// The database may know of a coupon that the gate does not, while the gate has
// the user's next claim pending: releasing that must not forget the coupon.
func testOverLimit(f *fixture) {
	f.rebuild(9)
	f.wantAnswers(f.reserve("a"), taken)
	f.finish(models.GateRecord, 7, "a")
	f.wantCounts(7, 1, 1)
	f.finish(models.GateRelease, f.claim, "a")
	f.wantCounts(8, 0, 1)
	f.wantAnswers(f.reserve("a"), limit)

	f.limit = 2
	f.rebuild(9, models.Holder{UserID: "b", Count: 3}, models.Holder{UserID: "c", Count: 1})
	f.wantAnswers(f.reserve("b", "c"), limit, taken)
	f.finish(models.GateRecord, 8, "c")
	f.finish(models.GateRelease, f.claim, "c")
	f.wantAnswers(f.reserve("c"), limit)
	f.wantCounts(8, 0, 2)
}

func testOtherEpoch(f *fixture) {
	f.rebuild(5)
	f.wantAnswers(f.reserve("a"), taken)
	for _, epoch := range []int64{f.epoch - 1, f.epoch + 1} {
		other := *f
		other.epoch = epoch
		f.wantUnmoved(func() {
			other.finish(models.GateConfirm, f.claim, "a")
			other.finish(models.GateRelease, f.claim, "a")
			other.finish(models.GateRecord, 7, "b")
			other.stock(1, 10)
		})
	}
	f.wantCounts(4, 1, 1)
}

func testFinishBatch(f *fixture) {
	f.rebuild(4)
	f.wantAnswers(f.reserve("a", "b", "c"), taken, taken, taken)
	a, b, c := f.claim-2, f.claim-1, f.claim
	before := f.state().Moves
	f.must(f.gate.Finish(f.Context(), []models.GateOutcome{
		f.outcome(models.GateConfirm, a, "a"),
		f.outcome(models.GateRelease, b, "b"),
		f.outcome(models.GateRelease, b, "b"),
		f.outcome(models.GateRelease, a, "a"),
		f.outcome(models.GateRecord, c, "c"),
		f.outcome(models.GateRecord, 7, "b"),
		f.outcome(models.GateRelease, 8, "d"),
	}))
	f.wantCounts(1, 0, 3)
	if moves := f.state().Moves; moves != before+1 {
		f.Errorf("one call moved from %d to %d", before, moves)
	}
}

func testRebuild(f *fixture) {
	f.epoch = 5
	wantOf := func(name string, got, want bool) {
		f.Helper()
		if got != want {
			f.Errorf("%s: got %t, want %t", name, got, want)
		}
	}
	wantOf("load of nothing begun", f.hold(), false)
	wantOf("open of nothing begun", f.openWith(1), false)
	wantOf("begin", f.begin(), true)
	wantOf("begin twice", f.begin(), false)
	f.wantAnswers(f.reserve("a"), cold)
	if got, want := f.state(), (models.GateState{Epoch: 5, Moves: 1}); got != want {
		f.Errorf("while loading\n got %+v\nwant %+v", got, want)
	}

	for _, epoch := range []int64{4, 6} {
		other := *f
		other.epoch = epoch
		wantOf("load of another epoch", other.hold(models.Holder{UserID: "z", Count: 1}), false)
		wantOf("open of another epoch", other.openWith(1), false)
	}
	wider := *f
	wider.limit = 2
	wantOf("load with another limit", wider.hold(models.Holder{UserID: "z", Count: 1}), false)

	wantOf("load", f.hold(models.Holder{UserID: "b", Count: 1}), true)
	wantOf("open", f.openWith(3), true)
	wantOf("open twice", f.openWith(9), false)
	wantOf("load too late", f.hold(models.Holder{UserID: "c", Count: 1}), false)
	f.wantCounts(3, 0, 1)

	older := *f
	older.epoch = 4
	wantOf("begin of an older epoch", older.begin(), false)
	wantOf("begin of the same epoch", f.begin(), false)
	f.wantAnswers(f.reserve("a", "b"), taken, limit)

	// A newer epoch takes over, even from one that is still being loaded, and
	// nothing of the old one stays.
	f.rebuild(1)
	f.wantCounts(1, 0, 0)
	f.epoch = 10
	wantOf("begin", f.begin(), true)
	f.epoch = 11
	wantOf("begin of a newer epoch", f.begin(), true)
	f.epoch = 10
	wantOf("open after a newer epoch began", f.openWith(1), false)
	f.epoch = 11
	wantOf("open", f.openWith(0), true)
	f.wantAnswers(f.reserve("a"), soldOut)
}

func testHolders(f *fixture) {
	f.limit = 2
	holders := make([]models.Holder, 2500)
	for i := range holders {
		holders[i] = models.Holder{UserID: fmt.Sprint("user", i), Count: int64(i%2 + 1)}
	}
	f.rebuild(10, holders...)
	f.wantCounts(10, 0, 1250)
	f.wantAnswers(f.reserve("user0", "user0", "user1", "user2499"), taken, limit, limit, limit)

	// What a user holds may be spread over chunks, and over one chunk.
	f.limit, f.epoch = 4, f.epoch+1
	f.begin()
	f.hold(models.Holder{UserID: "a", Count: 1}, models.Holder{UserID: "b", Count: 1}, models.Holder{UserID: "a", Count: 1})
	f.hold(models.Holder{UserID: "a", Count: 1}, models.Holder{UserID: "c", Count: 4})
	f.openWith(10)
	f.wantCounts(10, 0, 1)
	f.wantAnswers(f.reserve("a", "a", "c"), taken, limit, limit)

	// More than the limit is remembered too.
	f.limit = 1
	f.rebuild(10, models.Holder{UserID: "a", Count: 1}, models.Holder{UserID: "a", Count: 1})
	f.finish(models.GateRecord, 7, "b")
	f.wantCounts(9, 0, 2)
}

func testStock(f *fixture) {
	f.total, f.edits = 10, 3
	f.rebuild(1)
	f.wantUnmoved(func() { f.stock(3, 100) })
	f.wantAnswers(f.reserve("a", "b"), taken, busy)
	f.stock(4, 12)
	f.wantCounts(2, 1, 1)
	f.wantUnmoved(func() { f.stock(4, 12); f.stock(4, 500); f.stock(1, 500) })
	f.wantAnswers(f.reserve("b"), taken)

	f.stock(5, 8)
	f.wantCounts(-3, 2, 2)
	f.wantAnswers(f.reserve("c"), busy)
	f.finish(models.GateConfirm, f.claim-1, "b")
	f.finish(models.GateRelease, f.id*1_000_000+1, "a")
	f.wantCounts(-2, 0, 1)
	f.wantAnswers(f.reserve("c"), soldOut)

	f.stock(9, 11) // overtook 6, 7 and 8
	f.wantUnmoved(func() { f.stock(7, 0) })
	f.wantAnswers(f.reserve("c", "d"), taken, busy)
	f.stock(10, 11) // changed nothing, but is an edit
	f.wantUnmoved(func() { f.stock(10, 50) })
	f.wantCounts(0, 1, 2)
}

func testLateStock(f *fixture) {
	for _, test := range []struct {
		name    string
		edit    int64 // comes while loading
		stock   int64
		loading int64 // the newest edit in what is opened with
		want    int64
	}{
		{"newer", 5, 130, 4, 50},
		{"newer by far", 9, 70, 4, -10},
		{"in it already", 4, 100, 4, 20},
		{"older", 3, 900, 4, 20},
		{"overtaken", 5, 130, 6, 20},
		{"newer, the same stock", 5, 100, 4, 20},
	} {
		f.epoch++
		f.total, f.edits = 90, 2
		f.begin()
		f.stock(test.edit, test.stock)
		f.wantUnmoved(func() { f.stock(1, 1) })
		f.total, f.edits = 100, test.loading
		if !f.openWith(20) {
			f.Fatalf("%s: not opened", test.name)
		}
		f.wantCounts(test.want, 0, 0)
		newest := max(test.edit, test.loading)
		f.wantUnmoved(func() { f.stock(newest, 1) })
		f.stock(newest+1, 1000)
		if got := f.state().Left; got != 920 {
			f.Errorf("%s: %d left of 1000, 80 being claimed", test.name, got)
		}
	}
}

// What is left of a stock cannot be told from a copy that had none.
func testStockKind(f *fixture) {
	for _, test := range []struct{ before, after int64 }{
		{10, models.GateUnlimited}, {models.GateUnlimited, 10},
	} {
		f.total = test.before
		f.rebuild(test.before)
		f.stock(1, test.after)
		f.wantCold()
		f.wantUnmoved(func() {
			f.stock(2, 10)
			f.finish(models.GateRecord, 7, "b")
		})
		if f.begin() {
			f.Error("the same epoch begins again")
		}

		f.epoch++
		f.begin()
		f.stock(1, test.after)
		if f.openWith(test.before) {
			f.Error("opened with a guess")
		}
		f.wantCold()
	}
	f.total = models.GateUnlimited
	f.rebuild(models.GateUnlimited)
	f.stock(1, models.GateUnlimited)
	f.wantCounts(models.GateUnlimited, 0, 0)
}

// Claims that pass the gate by while it is being loaded report themselves
// under the new epoch; what is loaded is how things stood before them.
func testLateRecord(f *fixture) {
	f.limit, f.epoch = 2, 1
	f.begin()
	f.finish(models.GateRecord, 7, "a")
	f.hold(models.Holder{UserID: "a", Count: 1}, models.Holder{UserID: "b", Count: 1})
	f.finish(models.GateRecord, 8, "b")
	f.finish(models.GateRecord, 9, "c")
	f.wantUnmoved(func() {
		f.finish(models.GateConfirm, 7, "a")
		f.finish(models.GateRelease, 8, "b")
	})
	f.openWith(5)
	f.wantCounts(2, 0, 2)
	f.wantAnswers(f.reserve("a", "b", "c"), limit, limit, taken)

	f.rebuild(5)
	f.wantCounts(5, 0, 0)
	f.epoch++
	f.total = models.GateUnlimited
	f.begin()
	f.finish(models.GateRecord, 7, "a")
	f.openWith(models.GateUnlimited)
	f.wantCounts(models.GateUnlimited, 0, 0)
}

func testUnlimited(f *fixture) {
	f.total = models.GateUnlimited
	f.rebuild(models.GateUnlimited)
	f.wantAnswers(f.reserve("a", "b", "a"), taken, taken, limit)
	f.finish(models.GateRelease, f.claim-1, "b")
	f.finish(models.GateRecord, 7, "c")
	f.wantCounts(models.GateUnlimited, 1, 2)

	f.total = math.MaxInt32
	f.rebuild(math.MaxInt32) // a stock, if a large one
	f.wantAnswers(f.reserve("a"), taken)
	f.wantCounts(math.MaxInt32-1, 1, 1)
}

func testPending(f *fixture) {
	list := func(age time.Duration, most int) []models.PendingClaim {
		f.Helper()
		found, err := f.gate.Pending(f.Context(), f.id, f.clock.now().Add(-age), most)
		f.must(err)
		return found
	}
	f.rebuild(10)
	f.reserve("b", "a")
	first := models.PendingClaim{ClaimID: f.claim - 1, UserID: "b", Since: f.clock.now()}
	second := models.PendingClaim{ClaimID: f.claim, UserID: "a", Since: f.clock.now()}
	f.clock.advance(5 * time.Second)
	f.reserve("c", "d", "e")
	third := models.PendingClaim{ClaimID: f.claim - 2, UserID: "c", Since: f.clock.now()}
	f.finish(models.GateConfirm, f.claim-1, "d")
	f.finish(models.GateRelease, f.claim, "e")
	f.again(first.ClaimID, "b") // keeps its time
	f.clock.advance(time.Millisecond)

	for _, test := range []struct {
		age  time.Duration
		most int
		want []models.PendingClaim
	}{
		{0, 10, []models.PendingClaim{first, second, third}},
		{0, 2, []models.PendingClaim{first, second}},
		{0, 0, nil},
		{time.Millisecond, 10, []models.PendingClaim{first, second}},
		{5 * time.Second, 10, []models.PendingClaim{first, second}},
		{5*time.Second + time.Millisecond, 10, nil},
	} {
		if diff := cmp.Diff(test.want, list(test.age, test.most)); diff != "" {
			f.Errorf("older than %s, %d at most (-want +got):\n%s", test.age, test.most, diff)
		}
	}
	f.epoch++
	f.begin()
	if found := list(0, 10); found != nil {
		f.Errorf("pending while loading: %v", found)
	}
}

func testTouched(f *fixture) {
	start := f.clock.now()
	touched := func(since time.Time, most int) []models.ID {
		f.Helper()
		found, err := f.gate.Touched(f.Context(), since, most)
		f.must(err)
		// Other tests may share the server.
		return slices.DeleteFunc(found, func(id models.ID) bool { return id < f.id || id > f.id+9 })
	}
	for i := range 3 {
		other := *f
		other.id += models.ID(i)
		other.rebuild(5)
		other.reserve("a", "b")
		f.clock.advance(10 * time.Second)
	}
	f.reserve("c") // the first one again, which makes it the last
	if diff := cmp.Diff([]models.ID{f.id + 1, f.id + 2, f.id}, touched(start, 1000)); diff != "" {
		f.Errorf("touched (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]models.ID{f.id + 2, f.id}, touched(start.Add(20*time.Second), 1000)); diff != "" {
		f.Errorf("touched after 20 s (-want +got):\n%s", diff)
	}
	if found := touched(f.clock.now().Add(time.Minute), 1000); len(found) != 0 {
		f.Errorf("touched in the future: %v", found)
	}
	if found := touched(start, 0); len(found) != 0 {
		f.Errorf("none asked for: %v", found)
	}

	// However often within a second, and whatever the second: it is listed.
	for range 5 {
		f.clock.advance(400 * time.Millisecond)
		f.reserve("d")
		if found := touched(f.clock.now(), 1000); !slices.Contains(found, f.id) {
			f.Errorf("asked for just now, and not listed: %v", found)
		}
	}
}

func testMoves(f *fixture) {
	before := f.state().Moves
	wantMoved := func(name string, act func()) {
		f.Helper()
		act()
		after := f.state().Moves
		if after <= before {
			f.Errorf("%s: moves go from %d to %d", name, before, after)
		}
		before = after
	}
	wantMoved("a rebuild", func() { f.rebuild(1) })
	wantMoved("taken", func() { f.reserve("a") })
	f.wantUnmoved(func() { f.reserve("a", "b", "c") })
	wantMoved("confirm", func() { f.finish(models.GateConfirm, f.id*1_000_000+1, "a") })
	f.wantUnmoved(func() { f.reserve("a", "b", "c") })
	wantMoved("stock", func() { f.stock(1, 1) })
	wantMoved("taken", func() { f.reserve("d") })
	wantMoved("release", func() { f.finish(models.GateRelease, f.claim, "d") })
	wantMoved("record", func() { f.finish(models.GateRecord, 7, "e") })
	wantMoved("another rebuild", func() { f.rebuild(1) })
}

func testOddUsers(f *fixture) {
	users := []string{"", " ", "a b", "0 a", "nil", "'\"\r\n*3\r\n", "用户", "\x00\xff", "A", "a"}
	f.rebuild(int64(len(users)))
	for _, user := range users {
		f.wantAnswers(f.reserve(user), taken)
	}
	first := f.claim - models.ID(len(users)) + 1
	f.clock.advance(time.Second)
	pending, err := f.gate.Pending(f.Context(), f.id, f.clock.now(), 100)
	f.must(err)
	for i, claim := range pending {
		if claim.ClaimID != first+models.ID(i) || claim.UserID != users[i] {
			f.Errorf("claim %d is pending for %q, want %q", claim.ClaimID, claim.UserID, users[i])
		}
		f.finish(models.GateRelease, claim.ClaimID, claim.UserID)
	}
	f.wantCounts(int64(len(users)), 0, 0)
}

func testNothing(f *fixture) {
	f.wantAnswers(f.gate.Reserve(f.Context(), nil), []models.GateAnswer{}...)
	f.must(f.gate.Finish(f.Context(), nil))
	if got := f.state(); got != (models.GateState{}) {
		f.Errorf("a template never heard of: %+v", got)
	}
}

func testRace(f *fixture) {
	const units, users, callers, size = 100, 300, 8, 16
	f.rebuild(units)
	var next, took atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for {
				last := next.Add(size)
				if last > 3*users+size {
					return
				}
				asks := make([]models.Reservation, size)
				for i := range asks { // every user comes three times
					n := last - size + int64(i)
					asks[i] = f.ask(f.id*1_000_000+models.ID(n+1), fmt.Sprint("user", n%users))
				}
				for _, answer := range f.gate.Reserve(f.Context(), asks) {
					switch answer {
					case taken:
						took.Add(1)
					case away, cold, soldOut:
						f.Errorf("unexpected answer %d", answer)
					case limit, busy:
					}
				}
			}
		})
	}
	all.Wait()
	if took.Load() != units {
		f.Errorf("%d units, %d taken", units, took.Load())
	}
	f.wantCounts(0, units, units)
}

func testReleaseRace(f *fixture) {
	const units, callers = 50, 8
	f.rebuild(units)
	outcomes := make([]models.GateOutcome, units)
	for i := range outcomes {
		f.reserve(fmt.Sprint("user", i))
		outcomes[i] = f.outcome(models.GateRelease, f.claim, fmt.Sprint("user", i))
	}
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for part := range slices.Chunk(outcomes, 10) {
				if err := f.gate.Finish(f.Context(), part); err != nil {
					f.Error(err)
				}
			}
		})
	}
	all.Wait()
	f.wantCounts(units, 0, 0)
}

func testAlive(f *fixture) {
	f.must(f.gate.Ping(f.Context()))
	f.must(f.gate.Check(f.Context()))
	if f.gate.Away() {
		f.Error("away")
	}
}
