package store_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func TestATemplateIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		from, until := f.Now().Add(-day), f.Now().Add(day)
		want := models.TemplateSpec{
			Name: "Größe 大", RuleID: f.rule(t, merchant("m1")).ID, Currency: "USD", TimeZone: "Asia/Tokyo",
			Stock: new(int64(7)), PerUserLimit: 2,
			ClaimWindow:      &models.Window{From: &from, Until: &until},
			Validity:         models.Validity{From: &from, Until: &until},
			Audience:         models.Audience{Kind: models.AudienceUsers, UserIDs: []string{"ann", "Bob"}},
			Issue:            models.IssueDistribution,
			ReturnPolicy:     models.ReturnPolicy{ExtendExpiredDays: 3, BelowMinimum: models.BelowRecompute},
			RemindBeforeDays: []int{3, 1}, Metadata: []byte(`{"a":1}`),
		}
		want.Normalize()
		made := must(f.CreateTemplate(t.Context(), f.op(merchant("m1")), "m1", want))(t)
		read := must(f.Template(t.Context(), merchant("m1"), made.ID))(t)
		if diff := cmp.Diff(made, read); diff != "" {
			t.Errorf("created and read differ: %s", diff)
		}
		if diff := cmp.Diff(want, read.TemplateSpec); diff != "" {
			t.Errorf("sent and read differ: %s", diff)
		}
		if read.State != models.TemplateDraft || read.Version != 1 || read.RuleVersion != 1 || read.MerchantID != "m1" {
			t.Errorf("got %+v", read)
		}
	})
}

func TestOthersThingsDoNotExist(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx, own, other := t.Context(), merchant("m1"), merchant("m2")
		rule := f.rule(t, own)
		tpl := must(f.CreateTemplate(ctx, f.op(own), "m1", spec(rule.ID, nil, 1)))(t)
		key := must(f.CreateAPIKey(ctx, f.op(own), models.APIKey{Role: models.RoleMerchant, MerchantID: "m1"}, [32]byte{1}))(t)
		errs := map[string]error{}
		_, errs["rule"] = f.Rule(ctx, other, rule.ID, 0)
		_, errs["version"] = f.AddRuleVersion(ctx, f.op(other), rule.ID, tenOff())
		_, errs["template"] = f.Template(ctx, other, tpl.ID)
		_, errs["move"] = f.MoveTemplate(ctx, f.op(other), tpl.ID, models.ActionPublish)
		_, errs["stock"] = f.AddStock(ctx, f.op(other), tpl.ID, 1)
		_, errs["stats"] = f.TemplateStats(ctx, other, tpl.ID, f.Now())
		_, errs["coupons"] = f.TemplateCoupons(ctx, other, tpl.ID, models.Page{Limit: 1})
		_, errs["key"] = f.DeleteAPIKey(ctx, f.op(other), key.ID)
		_, errs["nothing"] = f.Template(ctx, own, 1)
		for name, err := range errs {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				wantCode(t, err, models.CodeNotFound)
			})
		}
		_, err := f.CreateTemplate(ctx, f.op(other), "m2", spec(rule.ID, nil, 1))
		wantField(t, err, "rule_id", models.CodeUnknownRef)
		_, err = f.CreateTemplate(ctx, f.op(platform()), "", spec(rule.ID, nil, 1))
		wantField(t, err, "rule_id", models.CodeUnknownRef)
		for name, list := range map[string]int{
			"rules":     len(must(f.Rules(ctx, other, models.Page{Limit: 9}))(t)),
			"templates": len(must(f.Templates(ctx, other, models.TemplateFilter{}, models.Page{Limit: 9}))(t)),
			"keys":      len(must(f.APIKeys(ctx, other, models.Page{Limit: 9}))(t)),
			"audit":     len(must(f.Audit(ctx, other, models.AuditFilter{}, models.Page{Limit: 9}))(t)),
		} {
			if list != 0 {
				t.Errorf("%s: another merchant sees %d", name, list)
			}
		}
	})
}

func wantField(t *testing.T, err error, field string, code models.Code) {
	t.Helper()
	var refusal *models.Error
	if !errors.As(err, &refusal) || len(refusal.Fields) == 0 || refusal.Fields[0].Field != field || refusal.Fields[0].Code != code {
		t.Errorf("got %v, want %s on %s", err, code, field)
	}
}

func TestANewRuleVersionIsForLaterClaims(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		tpl := f.template(t, nil, 2)
		first := f.commit(t, f.claim(t, tpl, "ann"))[0].Coupon
		must(f.AddRuleVersion(ctx, f.op(platform()), tpl.RuleID, tenOff()))(t)
		if got := f.commit(t, f.claim(t, tpl, "ann")); !got[0].Stale {
			t.Errorf("the old definition is still good: %+v", got[0])
		}
		now := must(f.Definition(ctx, tpl.ID))(t)
		second := f.commit(t, f.claim(t, &now, "ann"))[0].Coupon
		if first.RuleVersion != 1 || second.RuleVersion != 2 {
			t.Errorf("versions %d and %d", first.RuleVersion, second.RuleVersion)
		}
		other := tenOff()
		other.Effect.Currency = "EUR"
		_, err := f.AddRuleVersion(ctx, f.op(platform()), tpl.RuleID, other)
		wantField(t, err, "effect.currency", models.CodeCurrencyDiffer)
		if rule := must(f.Rule(ctx, platform(), tpl.RuleID, 0))(t); rule.Version != 2 {
			t.Errorf("a refused version was stored: %d", rule.Version)
		}
		if old := must(f.Rule(ctx, platform(), tpl.RuleID, 1))(t); old.Version != 1 {
			t.Errorf("version 1 reads as %d", old.Version)
		}
		f.sound(t)
	})
}

func TestStepsBetweenStates(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		rule := f.rule(t, platform())
		steps := map[models.TemplateState][]models.TemplateAction{
			models.TemplateDraft:  nil,
			models.TemplateActive: {models.ActionPublish},
			models.TemplatePaused: {models.ActionPublish, models.ActionPause},
			models.TemplateEnded:  {models.ActionEnd},
		}
		ways := map[models.TemplateState]map[models.TemplateAction]models.TemplateState{
			models.TemplateDraft:  {models.ActionPublish: models.TemplateActive, models.ActionEnd: models.TemplateEnded},
			models.TemplateActive: {models.ActionPublish: models.TemplateActive, models.ActionResume: models.TemplateActive, models.ActionPause: models.TemplatePaused, models.ActionEnd: models.TemplateEnded},
			models.TemplatePaused: {models.ActionPause: models.TemplatePaused, models.ActionResume: models.TemplateActive, models.ActionEnd: models.TemplateEnded},
			models.TemplateEnded:  {models.ActionEnd: models.TemplateEnded},
		}
		for state, path := range steps {
			for _, action := range []models.TemplateAction{models.ActionPublish, models.ActionPause, models.ActionResume, models.ActionEnd} {
				tpl := must(f.CreateTemplate(t.Context(), f.op(platform()), "", spec(rule.ID, nil, 1)))(t)
				for _, step := range path {
					tpl = must(f.MoveTemplate(t.Context(), f.op(platform()), tpl.ID, step))(t)
				}
				got, err := f.MoveTemplate(t.Context(), f.op(platform()), tpl.ID, action)
				want, exists := ways[state][action]
				if !exists {
					wantCode(t, err, models.CodeWrongState)
					continue
				}
				if err != nil || got.State != want || (got.Version != tpl.Version) != (want != state) {
					t.Errorf("%s from %s: %s, version %d after %d, %v", action, state, got.State, got.Version, tpl.Version, err)
				}
			}
		}
	})
}

func TestGuardedSteps_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		for _, race := range []struct {
			name string
			act  func(tpl *models.Template) error
			wins int64
		}{
			{"edit of one version", func(tpl *models.Template) error {
				_, err := f.EditTemplate(ctx, f.op(platform()), tpl.ID, tpl.Version, func(t *models.Template) error {
					t.Name = "new"
					return nil
				})
				return err
			}, 1},
			{"taking the last stock away", func(tpl *models.Template) error {
				_, err := f.AddStock(ctx, f.op(platform()), tpl.ID, -3)
				return err
			}, 1},
			{"pause against end", func(tpl *models.Template) error {
				_, err := f.MoveTemplate(ctx, f.op(platform()), tpl.ID, models.ActionEnd)
				return err
			}, 8},
		} {
			tpl := f.template(t, new(int64(5)), 1)
			var won atomic.Int64
			var group sync.WaitGroup
			for range 8 {
				group.Go(func() {
					if race.act(tpl) == nil {
						won.Add(1)
					}
				})
			}
			group.Wait()
			if won.Load() != race.wins {
				t.Errorf("%s: %d of 8 won, want %d", race.name, won.Load(), race.wins)
			}
		}
		f.sound(t)
	})
}

func TestARevokedCouponStaysRevoked_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, nil, 1)
		coupon := f.commit(t, f.claim(t, tpl, "ann"))[0].Coupon
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() {
				got, err := f.RevokeCoupon(t.Context(), f.op(platform()), coupon.ID)
				if err != nil || got.Status != models.CouponRevoked {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
		group.Wait()
		got := f.commit(t, f.claim(t, tpl, "ann"))
		wantCode(t, got[0].Refused, models.CodeAlreadyClaimed)
		stats := must(f.TemplateStats(t.Context(), platform(), tpl.ID, f.Now()))(t)
		if stats.Revoked != 1 || stats.Available != 0 || stats.Claimed != 1 {
			t.Errorf("got %+v", stats)
		}
		f.sound(t)
	})
}

// A dashboard that looks while coupons are sold must find no claim that is counted
// as claimed and as nothing else.
func TestCountsAgreeWhileCouponsAreSold_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		const stock = 200
		tpl := f.template(t, new(int64(stock)), 1)
		var selling sync.WaitGroup
		for seller := range 4 {
			selling.Go(func() {
				for i := range stock / 4 {
					f.commit(t, f.claim(t, tpl, fmt.Sprint(seller, "-", i)))
				}
			})
		}
		for claimed := int64(0); claimed < stock && !t.Failed(); {
			got := must(f.TemplateStats(t.Context(), platform(), tpl.ID, f.Now()))(t)
			if got.Available != got.Claimed || *got.Stock != stock || *got.Remaining != stock-got.Claimed || got.Claimed < claimed {
				t.Errorf("after %d: %+v, %d remaining", claimed, got, *got.Remaining)
			}
			claimed = got.Claimed
		}
		selling.Wait()
	})
}

func TestAnExpiredCouponIsSoAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, nil, 1)
		coupon := f.commit(t, f.claim(t, tpl, "ann"))[0].Coupon
		for _, c := range []struct {
			at   time.Time
			want models.CouponStatus
		}{
			{coupon.ExpiresAt.Add(-time.Millisecond), models.CouponAvailable},
			{coupon.ExpiresAt, models.CouponExpired},
		} {
			for _, status := range []models.CouponStatus{models.CouponAvailable, models.CouponExpired} {
				list := must(f.Coupons(t.Context(), platform(), models.CouponFilter{UserID: "ann", Status: status}, c.at, models.Page{Limit: 5}))(t)
				if (len(list) == 1) != (status == c.want) {
					t.Errorf("at %s: %d listed as %s", c.at, len(list), status)
				}
			}
			stats := must(f.TemplateStats(t.Context(), platform(), tpl.ID, c.at))(t)
			if (stats.Expired == 1) != (c.want == models.CouponExpired) {
				t.Errorf("at %s: %+v", c.at, stats)
			}
		}
	})
}

func TestAChangeIsMadeOncePerKey_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, new(int64(0)), 1)
		key := func(request string) *models.IdempotencyKey {
			k := &models.IdempotencyKey{ID: [32]byte{7}}
			copy(k.Hash[:], request)
			k.Render = func(result any, err error) (models.Replay, bool) {
				if err != nil {
					return models.Replay{}, false
				}
				return models.Replay{Status: 200, Body: fmt.Append(nil, *result.(models.Template).Stock)}, true //nolint:forcetypeassert // a panic fails the test
			}
			return k
		}
		var made, replayed atomic.Int64
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				op := f.op(platform())
				op.Key = key("r")
				_, err := f.AddStock(t.Context(), op, tpl.ID, 5)
				var replay *models.Replay
				switch {
				case err == nil:
					made.Add(1)
				case errors.As(err, &replay) && string(replay.Body) == "5":
					replayed.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		group.Wait()
		if made.Load() != 1 || replayed.Load() != 9 {
			t.Errorf("made %d times, replayed %d", made.Load(), replayed.Load())
		}
		op := f.op(platform())
		op.Key = key("other")
		_, err := f.AddStock(t.Context(), op, tpl.ID, 5)
		wantCode(t, err, models.CodeKeyReused)
		entries := must(f.Audit(t.Context(), platform(), models.AuditFilter{Action: "template.stock"}, models.Page{Limit: 5}))(t)
		if len(entries) != 1 || entries[0].ResourceID != tpl.ID || entries[0].Detail["add"] != float64(5) {
			t.Errorf("got %+v", entries)
		}
	})
}

func TestALeaseHasOneOwner_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		var won atomic.Int64
		var group sync.WaitGroup
		for i := range 10 {
			group.Go(func() {
				_, ok, err := f.AcquireLease(t.Context(), "job", fmt.Sprint("server", i), time.Minute)
				if err != nil {
					t.Error(err)
				}
				if ok {
					won.Add(1)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Errorf("%d owners", won.Load())
		}
		first, ok, err := f.AcquireLease(t.Context(), "other", "a", time.Minute)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		again, ok, err := f.AcquireLease(t.Context(), "other", "a", time.Minute)
		if err != nil || !ok || again.Token != first.Token {
			t.Errorf("renewed with token %d after %d: %v %v", again.Token, first.Token, ok, err)
		}
		if err := f.ReleaseLease(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		next, ok, err := f.AcquireLease(t.Context(), "other", "b", time.Minute)
		if err != nil || !ok || next.Token <= first.Token {
			t.Errorf("taken over with token %d after %d: %v %v", next.Token, first.Token, ok, err)
		}
	})
}

func TestOldRecordsArePurged(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx, tpl := t.Context(), f.template(t, nil, 9)
		for i := range 5 {
			f.commit(t, keyed(f.claim(t, tpl, "ann"), fmt.Sprint("k", i), "r"))
		}
		must(f.SettleClaims(ctx, tpl.ID, []models.ID{must(f.NextID())(t)}))(t)
		if n := must(f.PurgeIdempotencyKeys(ctx, f.Now().Add(-day), 3))(t); n != 0 {
			t.Errorf("%d young keys dropped", n)
		}
		later := f.Now().Add(day)
		first, rest := must(f.PurgeIdempotencyKeys(ctx, later, 3))(t), must(f.PurgeIdempotencyKeys(ctx, later, 3))(t)
		if first != 3 || rest != 2 {
			t.Errorf("dropped %d, then %d", first, rest)
		}
		if n := must(f.PurgeTombstones(ctx, later, 3))(t); n != 1 {
			t.Errorf("dropped %d tombstones", n)
		}
	})
}

func TestACredentialIsKnownByItsHashAlone(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		if has := must(f.HasAPIKeys(ctx))(t); has {
			t.Error("a fresh store has keys")
		}
		key := must(f.CreateAPIKey(ctx, f.op(platform()), models.APIKey{Role: models.RoleService, Name: "shop"}, [32]byte{5}))(t)
		who := must(f.KeyByHash(ctx, [32]byte{5}))(t)
		if diff := cmp.Diff(models.Principal{Role: models.RoleService, Credential: "key:" + key.ID.String()}, who); diff != "" {
			t.Error(diff)
		}
		if hash := must(f.DeleteAPIKey(ctx, f.op(platform()), key.ID))(t); hash != [32]byte{5} {
			t.Errorf("hash %v", hash)
		}
		_, err := f.KeyByHash(ctx, [32]byte{5})
		wantCode(t, err, models.CodeUnauthorized)
	})
}
