package claims_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scrip/claims"
	"scrip/enginetest"
	"scrip/gate"
	"scrip/models"
	"scrip/store"
)

// tally counts what contenders were told.
type tally struct {
	mu    sync.Mutex
	codes map[models.Code]int
	ids   []models.ID
}

func (r *tally) note(t *testing.T, coupon models.Coupon, err error) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var refusal *models.Error
	switch {
	case err == nil:
		r.ids = append(r.ids, coupon.ID)
	case errors.As(err, &refusal):
		if r.codes == nil {
			r.codes = map[models.Code]int{}
		}
		r.codes[refusal.Code]++
	default:
		t.Error(err)
	}
}

func TestAFlashSaleOverTwoServers_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		const stock, users = 100, 250
		tpl := w.template(t, new(int64(stock)), 1)
		servers := []*claims.Service{w.service(t), w.service(t)}
		var told tally
		var contenders sync.WaitGroup
		for i := range 2 * users { // everybody presses twice
			contenders.Go(func() {
				coupon, err := servers[i%2].Claim(t.Context(), w.op(), tpl.ID, fmt.Sprint("user", i%users), nil)
				told.note(t, coupon, err)
			})
		}
		contenders.Wait()
		slices.Sort(told.ids)
		if len(slices.Compact(told.ids)) != stock {
			t.Errorf("sold %d of %d; refused %v", len(told.ids), stock, told.codes)
		}
		if told.codes[models.CodeBusy] > 0 {
			t.Errorf("%d were sent away though there was room", told.codes[models.CodeBusy])
		}
		w.settled(t, servers[0], tpl.ID)
	})
}

func TestEachRefusalHasItsCode(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		s, ctx := w.service(t), t.Context()
		_, err := s.Claim(ctx, w.op(), 1, "ann", nil)
		wantCode(t, err, models.CodeNotFound)

		tpl := w.template(t, new(int64(1)), 1)
		first := must(s.Claim(ctx, w.op(), tpl.ID, "ann", nil))(t)
		for range 2 {
			_, err = s.Claim(ctx, w.op(), tpl.ID, "ann", nil)
			wantCode(t, err, models.CodeAlreadyClaimed)
			_, err = s.Claim(ctx, w.op(), tpl.ID, "bob", nil)
			wantCode(t, err, models.CodeSoldOut)
		}
		for _, step := range []struct {
			action models.TemplateAction
			code   models.Code
		}{{models.ActionPause, models.CodePaused}, {models.ActionEnd, models.CodeEnded}} {
			s.TemplateChanged(ctx, must(w.MoveTemplate(ctx, w.op(), tpl.ID, step.action))(t))
			_, err = s.Claim(ctx, w.op(), tpl.ID, "bob", nil)
			wantCode(t, err, step.code)
			// Whoever has the coupon learns so whatever became of the template.
			_, err = s.Claim(ctx, w.op(), tpl.ID, "ann", nil)
			wantCode(t, err, models.CodeAlreadyClaimed)
			var refusal *models.Error
			if !errors.As(err, &refusal) || !slices.Equal(refusal.CouponIDs, []models.ID{first.ID}) {
				t.Errorf("got %+v", refusal)
			}
		}
		foreign := w.op()
		foreign.Actor = models.Principal{Role: models.RoleMerchant, MerchantID: "m1"}
		_, err = s.Claim(ctx, foreign, tpl.ID, "ann", nil)
		wantCode(t, err, models.CodeNotFound)
	})
}

func TestNoClaimIsGrantedAfterAPause(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		here, elsewhere := w.service(t), w.service(t)
		tpl := w.template(t, nil, 1)
		must(here.Claim(t.Context(), w.op(), tpl.ID, "ann", nil))(t)
		must(elsewhere.Claim(t.Context(), w.op(), tpl.ID, "bob", nil))(t)
		// Only here is told; elsewhere still believes its cached definition.
		here.TemplateChanged(t.Context(), must(w.MoveTemplate(t.Context(), w.op(), tpl.ID, models.ActionPause))(t))
		for _, s := range []*claims.Service{here, elsewhere} {
			_, err := s.Claim(t.Context(), w.op(), tpl.ID, "cid", nil)
			wantCode(t, err, models.CodePaused)
		}
		w.settled(t, here, tpl.ID)
	})
}

func TestMoreStockIsSoldAndLessIsNot(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		s, ctx := w.service(t), t.Context()
		tpl := w.template(t, new(int64(1)), 1)
		must(s.Claim(ctx, w.op(), tpl.ID, "ann", nil))(t)
		_, err := s.Claim(ctx, w.op(), tpl.ID, "bob", nil)
		wantCode(t, err, models.CodeSoldOut)
		s.TemplateChanged(ctx, must(w.AddStock(ctx, w.op(), tpl.ID, 3))(t))
		must(s.Claim(ctx, w.op(), tpl.ID, "bob", nil))(t)
		s.TemplateChanged(ctx, must(w.AddStock(ctx, w.op(), tpl.ID, -1))(t))
		must(s.Claim(ctx, w.op(), tpl.ID, "cid", nil))(t)
		_, err = s.Claim(ctx, w.op(), tpl.ID, "dan", nil)
		wantCode(t, err, models.CodeSoldOut)
		_, err = w.AddStock(ctx, w.op(), tpl.ID, -1)
		wantCode(t, err, models.CodeStockBelow)
		w.settled(t, s, tpl.ID)
	})
}

func TestAGateThatLostAllOversellsNothing_Race(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.Options{DataDir: enginetest.FilledDir(t, migrate)}, gate.NewMemory(time.Now))
	tpl := w.template(t, new(int64(50)), 1)
	var told tally
	for round := range 4 { // each with a gate that knows nothing
		w.gate = gate.NewMemory(time.Now)
		s := w.service(t)
		var contenders sync.WaitGroup
		for i := range 30 {
			contenders.Go(func() {
				coupon, err := s.Claim(t.Context(), w.op(), tpl.ID, fmt.Sprintf("user%d", round*20+i), nil)
				told.note(t, coupon, err)
			})
		}
		contenders.Wait()
		w.settled(t, s, tpl.ID)
	}
	if len(told.ids) != 50 {
		t.Errorf("sold %d of 50; refused %v", len(told.ids), told.codes)
	}
}

// awayGate is a gate that nobody reaches.
type awayGate struct{ filter }

func (awayGate) Reserve(_ context.Context, asks []models.Reservation) []models.GateAnswer {
	return make([]models.GateAnswer, len(asks))
}

func (awayGate) Finish(context.Context, []models.GateOutcome) error { return gate.ErrAway }

func TestWithoutAGateTheStoreDecides_Race(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.Options{DataDir: enginetest.FilledDir(t, migrate)}, gate.NewMemory(time.Now))
	whole := w.gate
	w.gate = awayGate{whole}
	s := w.service(t)
	tpl := w.template(t, new(int64(20)), 1)
	var told tally
	var contenders sync.WaitGroup
	for i := range 40 {
		contenders.Go(func() {
			coupon, err := s.Claim(t.Context(), w.op(), tpl.ID, fmt.Sprint("user", i), nil)
			told.note(t, coupon, err)
		})
	}
	contenders.Wait()
	if len(told.ids) != 20 || told.codes[models.CodeSoldOut] != 20 {
		t.Errorf("sold %d of 20; refused %v", len(told.ids), told.codes)
	}
	w.gate = whole
	w.settled(t, w.service(t), tpl.ID)
}

// forgetfulStore loses the answers to commits: half of them were carried out.
type forgetfulStore struct {
	*store.Store
	calls atomic.Int64
	lose  atomic.Bool
}

func (f *forgetfulStore) CommitClaims(ctx context.Context, batch []models.Claim) ([]models.Verdict, error) {
	if !f.lose.Load() {
		return f.Store.CommitClaims(ctx, batch)
	}
	if f.calls.Add(1)%2 == 0 {
		if _, err := f.Store.CommitClaims(ctx, batch); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: the line was cut", models.ErrUnknown)
}

func TestAnUnknownOutcomeIsSettledOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		forgetful := &forgetfulStore{Store: w.Store}
		s, err := claims.New(config(), forgetful, w.gate, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		tpl := w.template(t, new(int64(6)), 1)
		must(s.Claim(t.Context(), w.op(), tpl.ID, "first", nil))(t)
		forgetful.lose.Store(true)
		for i := range 4 {
			_, err := s.Claim(t.Context(), w.op(), tpl.ID, fmt.Sprint("user", i), nil)
			if !errors.Is(err, models.ErrUnknown) {
				t.Errorf("got %v", err)
			}
		}
		s.Close() // by now the gate has been told what it is told
		if state := must(w.gate.State(t.Context(), tpl.ID))(t); state.Pending != 4 {
			t.Errorf("%d of 4 are pending: nobody knows what became of them", state.Pending)
		}
		forgetful.lose.Store(false)
		s = w.service(t)
		// The same request again tells: who has it is told so, the others get it.
		for i := range 4 {
			_, err := s.Claim(t.Context(), w.op(), tpl.ID, fmt.Sprint("user", i), nil)
			if i%2 == 1 {
				wantCode(t, err, models.CodeAlreadyClaimed)
			} else if err != nil {
				t.Errorf("user %d: %v", i, err)
			}
		}
		w.settled(t, s, tpl.ID)
		must(s.Claim(t.Context(), w.op(), tpl.ID, "last", nil))(t)
		_, err = s.Claim(t.Context(), w.op(), tpl.ID, "late", nil)
		wantCode(t, err, models.CodeSoldOut)
	})
}

func TestClaimable(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		s, ctx := w.service(t), t.Context()
		open, taken, sold, paused := w.template(t, nil, 1), w.template(t, nil, 1), w.template(t, new(int64(1)), 1), w.template(t, nil, 1)
		must(s.Claim(ctx, w.op(), taken.ID, "ann", nil))(t)
		must(s.Claim(ctx, w.op(), sold.ID, "bob", nil))(t)
		must(w.MoveTemplate(ctx, w.op(), paused.ID, models.ActionPause))(t)
		ids := func(user string, page models.Page) []models.ID {
			var out []models.ID
			for _, tpl := range must(s.Claimable(ctx, w.op().Actor, user, nil, page))(t) {
				out = append(out, tpl.ID)
			}
			return out
		}
		if got := ids("ann", models.Page{Limit: 10}); !slices.Equal(got, []models.ID{open.ID}) {
			t.Errorf("ann may claim %v", got)
		}
		if got := ids("cid", models.Page{Limit: 1}); !slices.Equal(got, []models.ID{taken.ID}) {
			t.Errorf("the first page is %v", got)
		}
		if got := ids("cid", models.Page{Limit: 1, Before: taken.ID}); !slices.Equal(got, []models.ID{open.ID}) {
			t.Errorf("the second page is %v", got)
		}
	})
}

func TestStoredTagsOpenATemplate(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		s, ctx := w.service(t), t.Context()
		tpl := w.template(t, nil, 1)
		tagged := must(w.EditTemplate(ctx, w.op(), tpl.ID, tpl.Version, func(t *models.Template) error {
			t.Audience = models.Audience{Kind: models.AudienceTags, Tags: []string{"vip"}}
			return nil
		}))(t)
		s.TemplateChanged(ctx, tagged)
		for _, u := range []models.User{
			{UserID: "ann", Tags: []string{"new", "vip"}},
			{UserID: "bob", Tags: []string{"new"}},
			{MerchantID: "m1", UserID: "cid", Tags: []string{"vip"}},
		} {
			if _, _, err := w.PutUser(ctx, w.op(), u); err != nil {
				t.Fatal(err)
			}
		}
		offers := func(user string, tags ...string) int {
			return len(must(s.Claimable(ctx, w.op().Actor, user, tags, models.Page{Limit: 9}))(t))
		}
		for user, want := range map[string]int{"ann": 1, "bob": 0, "cid": 0} { // cid's is another owner's tag
			if got := offers(user); got != want {
				t.Errorf("%s is offered %d", user, got)
			}
			if _, err := s.Claim(ctx, w.op(), tpl.ID, user, nil); (err == nil) != (want == 1) {
				t.Errorf("%s: %v", user, err)
			}
		}
		if offers("bob", "vip") != 1 {
			t.Error("the tags of the request count no more")
		}
		must(s.Claim(ctx, w.op(), tpl.ID, "bob", []string{"vip"}))(t)
	})
}

// A grant says that the definition holds, so that a template that sells need not be
// read again and again.
func TestAGrantProvesTheDefinition(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		cfg := config()
		cfg.DefinitionTTL = time.Hour
		s, tpl := w.serviceOf(t, cfg), w.template(t, new(int64(2)), 1)
		claim := func(user string) time.Time {
			_, err := s.Claim(t.Context(), w.op(), tpl.ID, user, nil)
			if refused := user == "cid"; models.IsCode(err, models.CodeSoldOut) != refused || err != nil && !refused {
				t.Errorf("%s: %v", user, err)
			}
			return s.BelievedUntil(tpl.ID)
		}
		first, second, refused := claim("ann"), claim("bob"), claim("cid")
		if !second.After(first) || !refused.Equal(second) {
			t.Errorf("believed until %v, after another grant until %v, after a refusal until %v", first, second, refused)
		}
	})
}
