package claims_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"scrip/claims"
	"scrip/gate"
	"scrip/models"
)

// byCodes makes an active template that is issued by codes.
func (w world) byCodes(tb testing.TB, edit func(*models.TemplateSpec)) models.Template {
	tb.Helper()
	tpl := w.template(tb, nil, 1)
	spec := tpl.TemplateSpec
	spec.Issue = models.IssueCode
	if edit != nil {
		edit(&spec)
	}
	spec.Normalize()
	draft := must(w.CreateTemplate(tb.Context(), w.op(), "", spec))(tb)
	return must(w.MoveTemplate(tb.Context(), w.op(), draft.ID, models.ActionPublish))(tb)
}

func (w world) share(tb testing.TB, template models.ID, code string, limit int64) {
	tb.Helper()
	must(w.CreateSharedCode(tb.Context(), w.op(), template, limit, hashOf(code), func(models.ID) []byte { return []byte(code) }))(tb)
}

func code(text, user string) models.CodeClaim { return models.CodeClaim{Code: text, UserID: user} }

// keyed is an op with an idempotency key whose answer is its code.
func (w world) keyed(name string) models.Op {
	op := w.op()
	op.Key = &models.IdempotencyKey{ID: [32]byte([]byte(fmt.Sprintf("%-32s", name))), Render: func(result any, err error) (models.Replay, bool) {
		var refusal *models.Error
		if errors.As(err, &refusal) {
			return models.Replay{Status: 409, Body: []byte(refusal.Code)}, true
		}
		return models.Replay{Status: 201, Body: []byte(fmt.Sprint(result))}, err == nil
	}}
	return op
}

func TestAClaimByCode(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		s, ctx := w.service(t), t.Context()
		tpl := w.byCodes(t, nil)
		w.share(t, tpl.ID, "ONE-1", 1)
		w.share(t, tpl.ID, "TWO", 1)
		first := must(s.ClaimCode(ctx, w.op(), code(" one-i ", "ann")))(t)
		if first.TemplateID != tpl.ID || first.UserID != "ann" || first.IssueNo != 1 {
			t.Errorf("got %+v", first)
		}
		wantHas := func(err error, want models.Code, ids ...models.ID) {
			t.Helper()
			var refusal *models.Error
			if !errors.As(err, &refusal) || refusal.Code != want || !slices.Equal(refusal.CouponIDs, ids) {
				t.Errorf("got %v, want %s with %v", err, want, ids)
			}
		}
		for range 2 { // pressed again, and by the other code, which stays good
			_, err := s.ClaimCode(ctx, w.op(), code("ONE1", "ann"))
			wantHas(err, models.CodeAlreadyClaimed, first.ID)
			_, err = s.ClaimCode(ctx, w.op(), code("TWO", "ann"))
			wantHas(err, models.CodeAlreadyClaimed, first.ID)
			_, err = s.ClaimCode(ctx, w.op(), code("ONE1", "bob"))
			wantHas(err, models.CodeInvalidCode)
		}
		_, err := s.Claim(ctx, w.op(), tpl.ID, "bob", nil)
		wantCode(t, err, models.CodeNotEligible)
		must(s.ClaimCode(ctx, w.op(), code("two", "bob")))(t)

		// Whoever has claimed by a code finds its coupon for ever.
		s.TemplateChanged(ctx, must(w.MoveTemplate(ctx, w.op(), tpl.ID, models.ActionEnd))(t))
		_, err = s.ClaimCode(ctx, w.op(), code("ONE1", "ann"))
		wantHas(err, models.CodeAlreadyClaimed, first.ID)
		w.settled(t, s, tpl.ID)
	})
}

func TestBelowTheLimit(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		s, ctx := w.service(t), t.Context()
		tpl := w.byCodes(t, func(s *models.TemplateSpec) { s.PerUserLimit = 3 })
		w.share(t, tpl.ID, "SINGLE", 1)
		w.share(t, tpl.ID, "SHARED", 2)
		single := must(s.ClaimCode(ctx, w.op(), code("SINGLE", "ann")))(t)
		_, err := s.ClaimCode(ctx, w.op(), code("SINGLE", "ann")) // the button pressed twice
		var refusal *models.Error
		if !errors.As(err, &refusal) || refusal.Code != models.CodeAlreadyClaimed || !slices.Equal(refusal.CouponIDs, []models.ID{single.ID}) {
			t.Errorf("got %v", err)
		}
		must(s.ClaimCode(ctx, w.op(), code("SHARED", "ann")))(t)
		must(s.ClaimCode(ctx, w.op(), code("SHARED", "ann")))(t)
		_, err = s.ClaimCode(ctx, w.op(), code("SHARED", "ann"))
		if !errors.As(err, &refusal) || refusal.Code != models.CodeLimitReached || len(refusal.CouponIDs) != 3 {
			t.Errorf("got %v", err)
		}
		_, err = s.ClaimCode(ctx, w.op(), code("SHARED", "bob"))
		wantCode(t, err, models.CodeInvalidCode)
		w.settled(t, s, tpl.ID)
	})
}

// reasons reads the counter of wrong codes.
func reasons(t *testing.T, s *claims.Service) map[string]int {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	for _, c := range s.Collectors() {
		if err := registry.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			got[metric.GetLabel()[0].GetValue()] = int(metric.GetCounter().GetValue())
		}
	}
	return got
}

func TestOneAnswerToEveryWrongCode(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		s := w.service(t)
		made := func(code string, edit func(*models.TemplateSpec), steps ...models.TemplateAction) {
			t.Helper()
			tpl := w.byCodes(t, edit)
			w.share(t, tpl.ID, code, 1)
			for _, step := range steps {
				must(w.MoveTemplate(t.Context(), w.op(), tpl.ID, step))(t)
			}
		}
		ctx := t.Context()
		past, future := w.Now().Add(-time.Hour), w.Now().Add(time.Hour)
		made("USED", nil)
		must(s.ClaimCode(ctx, w.op(), code("USED", "somebody")))(t)
		made("ENDED", nil, models.ActionEnd)
		made("LATE", func(s *models.TemplateSpec) { s.ClaimWindow = &models.Window{Until: &past} })
		made("STALE", func(s *models.TemplateSpec) {
			earlier := past.Add(-time.Hour)
			s.Validity = models.Validity{From: &earlier, Until: &past}
		})
		made("PRIVATE", func(s *models.TemplateSpec) {
			s.Audience = models.Audience{Kind: models.AudienceUsers, UserIDs: []string{"vip"}}
		})
		made("PAUSED", nil, models.ActionPause)
		made("EARLY", func(s *models.TemplateSpec) { s.ClaimWindow = &models.Window{From: &future} })
		made("EMPTY", func(s *models.TemplateSpec) { s.Stock = new(int64(0)) })
		made("OTHERS", nil)

		merchant := w.op()
		merchant.Actor = models.Principal{Role: models.RoleMerchant, MerchantID: "m1", Credential: "key:9"}
		for i, c := range []struct {
			code string
			op   models.Op
		}{
			{"nonsense", w.op()},
			{"", w.op()},
			{"USED", w.op()},
			{"ENDED", w.op()},
			{"LATE", w.op()},
			{"STALE", w.op()},
			{"PRIVATE", w.op()},
			{"OTHERS", merchant},
			{"USED", merchant},
		} {
			began := time.Now()
			_, err := s.ClaimCode(ctx, c.op, code(c.code, fmt.Sprint("user", i)))
			took := time.Since(began)
			var refusal *models.Error
			if !errors.As(err, &refusal) || !cmp.Equal(refusal, models.Refuse(models.CodeInvalidCode, "this code is not valid")) {
				t.Errorf("%q: got %v", c.code, err)
			}
			if took < 50*time.Millisecond {
				t.Errorf("%q: answered after %v already", c.code, took)
			}
		}
		for text, want := range map[string]models.Code{"PAUSED": models.CodePaused, "EARLY": models.CodeNotStarted, "EMPTY": models.CodeSoldOut} {
			_, err := s.ClaimCode(ctx, w.op(), code(text, "ann"))
			wantCode(t, err, want)
		}
		must(s.ClaimCode(ctx, w.op(), code("PRIVATE", "vip")))(t)
		must(s.ClaimCode(ctx, w.op(), code("OTHERS", "ann")))(t)
		if diff := cmp.Diff(map[string]int{"unknown": 2, "used": 1, "expired": 3, "foreign": 3}, reasons(t, s)); diff != "" {
			t.Errorf("reasons (-want +got):\n%s", diff)
		}
		w.sound(t)
	})
}

func TestTheSameKeyGetsTheSameAnswerToACode(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		s, ctx := w.service(t), t.Context()
		tpl := w.byCodes(t, nil)
		w.share(t, tpl.ID, "WORD", 1)
		told := func(key, text, user string) string {
			t.Helper()
			coupon, err := s.ClaimCode(ctx, w.keyed(key), code(text, user))
			var replay *models.Replay
			if errors.As(err, &replay) {
				return "again " + string(replay.Body)
			}
			var refusal *models.Error
			if errors.As(err, &refusal) {
				return string(refusal.Code)
			}
			if err != nil {
				t.Fatal(err)
			}
			return coupon.UserID
		}
		for _, c := range [][4]string{
			{"k1", "WORD", "ann", "ann"},
			{"k2", "WORD", "bob", "code_invalid"},
			{"k2", "WORD", "bob", "again code_invalid"},
			{"k3", "WORD", "ann", "already_claimed"},
			{"k3", "WORD", "ann", "again already_claimed"},
			{"k4", "nothing", "cid", "code_invalid"},
			{"k4", "nothing", "cid", "again code_invalid"},
		} {
			if got := told(c[0], c[1], c[2]); got != c[3] {
				t.Errorf("%v: %s", c, got)
			}
		}
		if got := told("k1", "WORD", "ann"); !strings.HasPrefix(got, "again ") || !strings.Contains(got, "ann") {
			t.Errorf("got %s", got)
		}
		w.settled(t, s, tpl.ID)
	})
}

func TestAHundredWantOneCode_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		tpl := w.byCodes(t, nil)
		w.share(t, tpl.ID, "ONLY-ONE", 1)
		w.share(t, tpl.ID, "FOR-TEN", 10)
		servers := []*claims.Service{w.service(t), w.service(t)}
		for text, want := range map[string]int64{"only one": 1, "for ten": 10} {
			var right, wrong atomic.Int64
			var contenders sync.WaitGroup
			for i := range 100 {
				contenders.Go(func() {
					_, err := servers[i%2].ClaimCode(t.Context(), w.op(), code(text, fmt.Sprint(text, i)))
					switch {
					case err == nil:
						right.Add(1)
					case models.IsCode(err, models.CodeInvalidCode):
						wrong.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			contenders.Wait()
			if right.Load() != want || wrong.Load() != 100-want {
				t.Errorf("%s: %d coupons, %d refused", text, right.Load(), wrong.Load())
			}
		}
		w.settled(t, servers[0], tpl.ID)
	})
}

func TestAButtonPressedManyTimesGivesOneCoupon_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		tpl := w.byCodes(t, func(s *models.TemplateSpec) { s.PerUserLimit = 5 })
		w.share(t, tpl.ID, "ONLY-ONE", 1)
		servers := []*claims.Service{w.service(t), w.service(t)}
		var told tally
		var presses sync.WaitGroup
		for i := range 30 {
			presses.Go(func() {
				coupon, err := servers[i%2].ClaimCode(t.Context(), w.op(), code("ONLYONE", "ann"))
				told.note(t, coupon, err)
			})
		}
		presses.Wait()
		if len(told.ids) != 1 || told.codes[models.CodeAlreadyClaimed] != 29 {
			t.Errorf("%d coupons, %v", len(told.ids), told.codes)
		}
		w.settled(t, servers[0], tpl.ID)
	})
}

// limited is a service that counts wrong codes by a clock of its own.
func (w world) limited(t *testing.T, g claims.Guesses) *claims.Service {
	t.Helper()
	cfg := config()
	cfg.Codes.Guesses = g
	return w.serviceOf(t, cfg)
}

func TestTooManyWrongCodes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		user, address := claims.GuessLimit{Burst: 10, Every: time.Hour}, claims.GuessLimit{Burst: 15, Every: time.Hour}
		s := w.limited(t, claims.Guesses{User: user, Address: address, Shared: w.gate, Local: gate.NewMemory(w.Now)})
		ctx, tpl := t.Context(), w.byCodes(t, nil)
		w.share(t, tpl.ID, "WORD", 100)
		try := func(text, user, address string) error {
			_, err := s.ClaimCode(ctx, w.op(), models.CodeClaim{Code: text, UserID: user, Address: address})
			return err
		}
		for i := range 20 { // right ones are not counted
			must(s.ClaimCode(ctx, w.op(), models.CodeClaim{Code: "word", UserID: fmt.Sprint("user", i), Address: "10.0.0.1"}))(t)
		}
		var wrong, refused atomic.Int64
		var guesses sync.WaitGroup
		for i := range 30 {
			guesses.Go(func() {
				switch err := try(fmt.Sprint("guess", i), "mal", "10.0.0.1"); {
				case models.IsCode(err, models.CodeInvalidCode):
					wrong.Add(1)
				case models.IsCode(err, models.CodeRateLimited):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		guesses.Wait()
		if wrong.Load() != 10 || refused.Load() != 20 {
			t.Errorf("%d were looked up and %d refused", wrong.Load(), refused.Load())
		}
		err := try("WORD", "mal", "10.0.0.1") // not even a right one
		var refusal *models.Error
		if !errors.As(err, &refusal) || refusal.Code != models.CodeRateLimited || refusal.RetryAfter <= 0 || refusal.RetryAfter > time.Hour ||
			refusal.Limit == nil || refusal.Limit.Quota != 10 || refusal.Limit.Window != 10*time.Hour {
			t.Errorf("got %+v", refusal)
		}
		for i := range 6 { // another account from the same place has what is left there
			want := models.CodeInvalidCode
			if i == 5 {
				want = models.CodeRateLimited
			}
			wantCode(t, try("guess", "mel", "10.0.0.1"), want)
		}
		wantCode(t, try("guess", "mel", "10.0.0.2"), models.CodeInvalidCode)
		if err := try("WORD", "ann", ""); err != nil {
			t.Errorf("a server asks for ann: %v", err)
		}
		got := reasons(t, s)
		if got["user"] == 0 || got["address"] == 0 || got["unknown"] < 16 {
			t.Errorf("metrics: %v", got)
		}
	})
}

// lostGuesser is a gate that nobody reaches.
type lostGuesser struct{}

func (lostGuesser) Guess(context.Context, []models.Guess) ([]time.Duration, error) {
	return nil, gate.ErrAway
}

func TestWithoutAGateAnInstanceCountsAlone(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		limit := claims.GuessLimit{Burst: 6, Every: time.Hour}
		s := w.limited(t, claims.Guesses{User: limit, All: limit, Shared: lostGuesser{}, Local: gate.NewMemory(w.Now)})
		for i, want := range []models.Code{
			models.CodeInvalidCode, models.CodeInvalidCode, models.CodeInvalidCode, models.CodeRateLimited,
		} {
			_, err := s.ClaimCode(t.Context(), w.op(), code("guess", fmt.Sprint("user", i))) // half of what all may have
			wantCode(t, err, want)
		}
	})
}
