package store_test

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"scrip/enginetest"
	"scrip/models"
	"scrip/store"
)

func TestMain(m *testing.M) {
	code := enginetest.Main(m).Run()
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener")); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// migrate makes the tables once, for all tests to copy.
func migrate(ctx context.Context, dsn, dir string) error {
	_, err := store.Migrate(ctx, store.Options{DSN: dsn, DataDir: dir, MaxOpenConns: 4})
	return err
}

// onBoth runs a test over each kind of database, each time on a fresh one.
func onBoth(t *testing.T, test func(t *testing.T, f fixture)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, newFixture(t, store.Options{DataDir: enginetest.FilledDir(t, migrate)}))
	})
	t.Run("mysql", func(t *testing.T) {
		t.Parallel()
		test(t, newFixture(t, store.Options{DSN: enginetest.FilledDSN(t, migrate)}))
	})
}

// fixture is a fresh store with short ways to what most tests need.
type fixture struct {
	*store.Store
	opts store.Options
}

func newFixture(t *testing.T, opts store.Options) fixture {
	t.Helper()
	opts.MaxOpenConns = 8
	return fixture{Store: open(t, opts), opts: opts}
}

func open(t *testing.T, opts store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// another opens the same database as a second server would.
func (f fixture) another(t *testing.T) *store.Store {
	t.Helper()
	return open(t, f.opts)
}

func platform() models.Principal {
	return models.Principal{Role: models.RolePlatform, Credential: "key:1"}
}

func merchant(id string) models.Principal {
	return models.Principal{Role: models.RoleMerchant, MerchantID: id, Credential: "key:" + id}
}

func (f fixture) op(actor models.Principal) models.Op {
	return models.Op{Actor: actor, RequestID: "test", At: f.Now()}
}

func tenOff() models.Rule {
	return models.Rule{
		Name: "10 off", Kind: models.KindAmountOff, Stacking: models.DefaultStacking(),
		Effect: models.Effect{AmountOff: new(int64(10)), Currency: "USD"},
	}
}

func spec(rule models.ID, stock *int64, limit int64) models.TemplateSpec {
	s := models.TemplateSpec{
		Name: "sale", RuleID: rule, Currency: "USD", Stock: stock, PerUserLimit: limit,
		Validity:     models.Validity{DaysAfterClaim: new(7)},
		ReturnPolicy: models.DefaultReturnPolicy(),
	}
	s.Normalize()
	return s
}

func (f fixture) rule(t *testing.T, actor models.Principal) models.Rule {
	t.Helper()
	rule := tenOff()
	rule.MerchantID = actor.MerchantID
	return must(f.CreateRule(t.Context(), f.op(actor), rule))(t)
}

// template makes a template that can be claimed from.
func (f fixture) template(t *testing.T, stock *int64, limit int64) *models.Template {
	t.Helper()
	draft := must(f.CreateTemplate(t.Context(), f.op(platform()), "", spec(f.rule(t, platform()).ID, stock, limit)))(t)
	active := must(f.MoveTemplate(t.Context(), f.op(platform()), draft.ID, models.ActionPublish))(t)
	return &active
}

// claim is a user's wish as the claim service would hand it over.
func (f fixture) claim(t *testing.T, template *models.Template, user string) models.Claim {
	t.Helper()
	now := f.Now()
	from, until, err := template.Span(now)
	if err != nil {
		t.Fatal(err)
	}
	return models.Claim{
		ID: must(f.NextID())(t), UserID: user, Code: models.NewCode(), Template: template,
		At: now, ValidFrom: from, ExpiresAt: until,
	}
}

// sound fails the test unless every invariant holds.
func (f fixture) sound(t *testing.T) {
	t.Helper()
	checked, broken, err := f.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(checked) == 0 {
		t.Error("nothing was checked")
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

const day = 24 * time.Hour
