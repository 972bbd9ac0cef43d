package claims_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"scrip/claims"
	"scrip/enginetest"
	"scrip/gate"
	"scrip/models"
	"scrip/store"
)

// asked counts what claims ask of gate and store.
type asked struct {
	*store.Store
	filter
	times atomic.Int64
}

func (a *asked) Reserve(ctx context.Context, asks []models.Reservation) []models.GateAnswer {
	a.times.Add(1)
	return a.filter.Reserve(ctx, asks)
}

func (a *asked) CommitClaims(ctx context.Context, batch []models.Claim) ([]models.Verdict, error) {
	a.times.Add(1)
	return a.Store.CommitClaims(ctx, batch)
}

func (a *asked) Holdings(ctx context.Context, template models.ID, userID string) ([]models.ID, error) {
	a.times.Add(1)
	return a.Store.Holdings(ctx, template, userID)
}

// Close ends neither: the world does that.
func (a *asked) Close() error { return nil }

func newAsked(t *testing.T) (world, *asked, *claims.Service) {
	t.Helper()
	w := newWorld(t, store.Options{DataDir: enginetest.FilledDir(t, migrate)}, gate.NewMemory(time.Now))
	counting := &asked{Store: w.Store, filter: w.gate}
	s, err := claims.New(config(), counting, counting, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return w, counting, s
}

// quiet waits until a claim by a new user is refused without asking anybody.
func (a *asked) quiet(t *testing.T, w world, s *claims.Service, id models.ID, want models.Code) {
	t.Helper()
	for i := 0; ; i++ {
		before := a.times.Load()
		_, err := s.Claim(t.Context(), w.op(), id, fmt.Sprint("late", i), nil)
		wantCode(t, err, want)
		if a.times.Load() == before {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("gate or store are asked each time")
		}
	}
}

func TestAfterTheLastCouponNobodyIsAsked(t *testing.T) {
	t.Parallel()
	w, counting, s := newAsked(t)
	tpl := w.template(t, new(int64(2)), 1)
	ann := must(s.Claim(t.Context(), w.op(), tpl.ID, "ann", nil))(t)
	must(s.Claim(t.Context(), w.op(), tpl.ID, "bob", nil))(t)
	counting.quiet(t, w, s, tpl.ID, models.CodeSoldOut)

	_, err := s.Claim(t.Context(), w.op(), tpl.ID, "ann", nil)
	wantHas(t, err, ann.ID)
	s.TemplateChanged(t.Context(), must(w.AddStock(t.Context(), w.op(), tpl.ID, 1))(t))
	cid := must(s.Claim(t.Context(), w.op(), tpl.ID, "cid", nil))(t)
	counting.quiet(t, w, s, tpl.ID, models.CodeSoldOut)
	_, err = s.Claim(t.Context(), w.op(), tpl.ID, "cid", nil)
	wantHas(t, err, cid.ID)
	w.settled(t, s, tpl.ID)
}

func TestPressingAgainAsksNobody(t *testing.T) {
	t.Parallel()
	w, counting, s := newAsked(t)
	tpl := w.template(t, nil, 1)
	ann := must(s.Claim(t.Context(), w.op(), tpl.ID, "ann", nil))(t)
	_, err := s.Claim(t.Context(), w.op(), tpl.ID, "ann", nil) // finds out
	wantHas(t, err, ann.ID)
	before := counting.times.Load()
	_, err = s.Claim(t.Context(), w.op(), tpl.ID, "ann", nil)
	wantHas(t, err, ann.ID)
	if n := counting.times.Load() - before; n > 0 {
		t.Errorf("%d questions were asked", n)
	}
}

func TestAPausedTemplateAsksNobodyForLong(t *testing.T) {
	t.Parallel()
	w, counting, s := newAsked(t)
	tpl := w.template(t, nil, 1)
	ann := must(s.Claim(t.Context(), w.op(), tpl.ID, "ann", nil))(t)
	s.TemplateChanged(t.Context(), must(w.MoveTemplate(t.Context(), w.op(), tpl.ID, models.ActionPause))(t))
	counting.quiet(t, w, s, tpl.ID, models.CodePaused)
	_, err := s.Claim(t.Context(), w.op(), tpl.ID, "ann", nil)
	wantHas(t, err, ann.ID)
	s.TemplateChanged(t.Context(), must(w.MoveTemplate(t.Context(), w.op(), tpl.ID, models.ActionResume))(t))
	must(s.Claim(t.Context(), w.op(), tpl.ID, "bob", nil))(t)
}

// wantHas expects the refusal of a user who has this coupon.
func wantHas(t *testing.T, err error, coupon models.ID) {
	t.Helper()
	var refusal *models.Error
	if !errors.As(err, &refusal) || refusal.Code != models.CodeAlreadyClaimed || !slices.Equal(refusal.CouponIDs, []models.ID{coupon}) {
		t.Errorf("got %v, want already_claimed with %s", err, coupon)
	}
}
