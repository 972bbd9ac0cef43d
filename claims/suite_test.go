package claims_test

import (
	"context"
	"crypto/sha256"
	"flag"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"scrip/claims"
	"scrip/enginetest"
	"scrip/gate"
	"scrip/jobs"
	"scrip/models"
	"scrip/store"
)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", checks); err != nil { // the command line may say otherwise
		panic(err)
	}
	code := enginetest.Main(m).Run()
	if code == 0 {
		// otter ends its goroutines when a cache is garbage.
		if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/maypok86/otter/v2.periodicCleanUp[...]")); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// filter is either kind of gate, as far as these tests go.
type filter interface {
	Reserve(ctx context.Context, asks []models.Reservation) []models.GateAnswer
	Finish(ctx context.Context, outcomes []models.GateOutcome) error
	Begin(ctx context.Context, load models.GateLoad) (bool, error)
	Load(ctx context.Context, template models.ID, epoch, limit int64, holders []models.Holder) (bool, error)
	Open(ctx context.Context, load models.GateLoad) (bool, error)
	SetStock(ctx context.Context, template models.ID, epoch, edit, stock int64) error
	State(ctx context.Context, template models.ID) (models.GateState, error)
	States(ctx context.Context, templates []models.ID) ([]models.GateState, error)
	Touched(ctx context.Context, since time.Time, most int) ([]models.ID, error)
	Pending(ctx context.Context, template models.ID, olderThan time.Time, most int) ([]models.PendingClaim, error)
	Guess(ctx context.Context, asks []models.Guess) ([]time.Duration, error)
	Announce(ctx context.Context, template models.ID) error
	Listen(ctx context.Context, heard func(template models.ID))
	Close() error
}

// world is a store, a gate, and as many claim services upon them as are asked
// for.
type world struct {
	*store.Store
	gate filter
}

// migrate makes the tables once, for all tests to copy.
func migrate(ctx context.Context, dsn, dir string) error {
	_, err := store.Migrate(ctx, store.Options{DSN: dsn, DataDir: dir, MaxOpenConns: 4})
	return err
}

// onBoth runs a test on the embedded default, and on MariaDB with Redis.
func onBoth(t *testing.T, test func(t *testing.T, w world)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, newWorld(t, store.Options{DataDir: enginetest.FilledDir(t, migrate)}, gate.NewMemory(time.Now)))
	})
	t.Run("engines", func(t *testing.T) {
		t.Parallel()
		redis, err := gate.NewRedis(gate.RedisOptions{
			Addrs: []string{enginetest.Redis(t).Addr()}, Timeout: time.Second,
		}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		test(t, newWorld(t, store.Options{DSN: enginetest.FilledDSN(t, migrate)}, redis))
	})
}

func newWorld(tb testing.TB, opts store.Options, g filter) world {
	tb.Helper()
	opts.MaxOpenConns = 8
	st, err := store.Open(tb.Context(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := g.Close(); err != nil {
			tb.Error(err)
		}
		if err := st.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return world{Store: st, gate: g}
}

func config() claims.Config {
	return claims.Config{
		MaxBatch: 64, WaitingRoom: 2000, Lanes: 2, Direct: 64,
		CommitTimeout: 10 * time.Second, DefinitionTTL: time.Second,
		Codes: claims.Codes{Hash: hashOf},
	}
}

// hashOf stands for the keyed hash of a code.
func hashOf(typed string) models.CodeHash {
	sum := sha256.Sum256([]byte(models.FoldCode(typed)))
	return models.CodeHash(sum[:16])
}

func (w world) service(t *testing.T) *claims.Service {
	t.Helper()
	return w.serviceOf(t, config())
}

func (w world) serviceOf(tb testing.TB, cfg claims.Config) *claims.Service {
	tb.Helper()
	s, err := claims.New(cfg, w.Store, w.gate, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

func (w world) op() models.Op {
	return models.Op{Actor: models.Principal{Role: models.RolePlatform, Credential: "key:1"}, At: w.Now()}
}

func (w world) template(tb testing.TB, stock *int64, limit int64) models.Template {
	tb.Helper()
	rule := must(w.CreateRule(tb.Context(), w.op(), models.Rule{
		Name: "10 off", Kind: models.KindPercentOff, Stacking: models.DefaultStacking(),
		Effect: models.Effect{PercentOffBP: new(int64(1000))},
	}))(tb)
	spec := models.TemplateSpec{
		Name: "sale", RuleID: rule.ID, Currency: "USD", Stock: stock, PerUserLimit: limit,
		Validity: models.Validity{DaysAfterClaim: new(7)}, ReturnPolicy: models.DefaultReturnPolicy(),
	}
	spec.Normalize()
	draft := must(w.CreateTemplate(tb.Context(), w.op(), "", spec))(tb)
	return must(w.MoveTemplate(tb.Context(), w.op(), draft.ID, models.ActionPublish))(tb)
}

// settled lets the gate come to rest; then every invariant must hold.
func (w world) settled(t *testing.T, s *claims.Service, id models.ID) {
	t.Helper()
	w.atRest(t, s, id)
	w.sound(t)
}

// atRest runs the background jobs, as if time had passed, and demands that the
// gate agrees with the store then.
func (w world) atRest(t *testing.T, s *claims.Service, id models.ID) {
	t.Helper()
	ahead := func() time.Time { return time.Now().Add(time.Hour) }
	settle := &jobs.Settle{Gate: w.gate, Store: w.Store, Now: ahead, After: time.Second}
	reconcile := &jobs.Reconcile{Gate: w.gate, Store: w.Store, Rebuild: s, Now: w.Now}
	for range 4 {
		for _, step := range []func(context.Context) (int, bool, error){settle.Step, reconcile.Step} {
			if _, _, err := step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	drifting, err := jobs.Drift(t.Context(), w.gate, w.Store, []models.ID{id})
	if err != nil || len(drifting) > 0 {
		t.Errorf("the gate still differs: %+v, %v", drifting, err)
	}
}

func (w world) sound(t *testing.T) {
	t.Helper()
	_, broken, err := w.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range broken {
		t.Errorf("broken: %s: %s", v.Invariant, v.Row)
	}
}

func must[T any](value T, err error) func(tb testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return value
	}
}

func wantCode(t *testing.T, err error, code models.Code) {
	t.Helper()
	if !models.IsCode(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}
