package claims_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"scrip/claims"
	"scrip/models"
)

func (w world) pack(t *testing.T, items ...models.PackItem) models.Pack {
	t.Helper()
	return must(w.CreatePack(t.Context(), w.op(), models.Pack{Name: "pack", Items: items}))(t)
}

func TestAPackIsAllOrNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		s, ctx := w.service(t), t.Context()
		one, two, rare := w.template(t, nil, 1), w.template(t, nil, 2), w.template(t, new(int64(2)), 5)
		pack := w.pack(t, models.PackItem{TemplateID: two.ID, Quantity: 2}, models.PackItem{TemplateID: one.ID, Quantity: 1},
			models.PackItem{TemplateID: rare.ID, Quantity: 1})

		got := must(s.ClaimPack(ctx, w.op(), pack.ID, "ann", nil))(t)
		var templates []models.ID
		for _, c := range got {
			templates = append(templates, c.TemplateID)
		}
		if want := []models.ID{two.ID, two.ID, one.ID, rare.ID}; !slices.Equal(templates, want) {
			t.Errorf("got coupons of %v, want %v", templates, want)
		}
		// Again: what stands in the way are the two limits, not the stock.
		_, err := s.ClaimPack(ctx, w.op(), pack.ID, "ann", nil)
		var refusal *models.Error
		if !errors.As(err, &refusal) || refusal.Code != models.CodeLimitReached || len(refusal.CouponIDs) != 3 {
			t.Errorf("got %+v", err)
		}
		// Who has one of them by a claim gets none of the pack.
		single := must(s.Claim(ctx, w.op(), one.ID, "bob", nil))(t)
		_, err = s.ClaimPack(ctx, w.op(), pack.ID, "bob", nil)
		if !errors.As(err, &refusal) || refusal.Code != models.CodeAlreadyClaimed || !slices.Equal(refusal.CouponIDs, []models.ID{single.ID}) {
			t.Errorf("got %+v", err)
		}
		must(s.ClaimPack(ctx, w.op(), pack.ID, "cid", nil))(t)
		_, err = s.ClaimPack(ctx, w.op(), pack.ID, "dan", nil)
		wantCode(t, err, models.CodeSoldOut)
		if have := must(w.HoldingsOf(ctx, "dan", templates))(t); len(have) != 0 {
			t.Errorf("dan got a part of it: %v", have)
		}
		// A refused pack leaves nothing behind in the gate: all else goes on.
		must(s.Claim(ctx, w.op(), one.ID, "dan", nil))(t)
		must(s.Claim(ctx, w.op(), two.ID, "dan", nil))(t)
		for _, id := range []models.ID{one.ID, two.ID, rare.ID} {
			w.atRest(t, s, id)
		}
		w.sound(t)
	})
}

func TestAPackIsRefusedAsItsTemplatesAre(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		s, ctx := w.service(t), t.Context()
		first, second := w.template(t, nil, 1), w.template(t, nil, 1)
		pack := w.pack(t, models.PackItem{TemplateID: first.ID, Quantity: 1}, models.PackItem{TemplateID: second.ID, Quantity: 1})
		elsewhere := w.service(t) // believes for a while what it has read
		must(elsewhere.ClaimPack(ctx, w.op(), pack.ID, "ann", nil))(t)
		s.TemplateChanged(ctx, must(w.MoveTemplate(ctx, w.op(), second.ID, models.ActionPause))(t))
		for _, one := range []*claims.Service{s, elsewhere} {
			_, err := one.ClaimPack(ctx, w.op(), pack.ID, "bob", nil)
			wantCode(t, err, models.CodePaused)
			_, err = one.ClaimPack(ctx, w.op(), pack.ID, "ann", nil)
			wantCode(t, err, models.CodeAlreadyClaimed)
		}
		_, err := s.ClaimPack(ctx, w.op(), 1, "bob", nil)
		wantCode(t, err, models.CodeNotFound)
		foreign := w.op()
		foreign.Actor = models.Principal{Role: models.RoleMerchant, MerchantID: "m1"}
		_, err = s.ClaimPack(ctx, foreign, pack.ID, "bob", nil)
		wantCode(t, err, models.CodeNotFound)
		must(s.Claim(ctx, w.op(), first.ID, "bob", nil))(t)
		w.atRest(t, s, first.ID)
		w.sound(t)
	})
}

// TestPacksAndClaimsOfTheSameTemplates_Race: two packs that want the same
// templates in opposite orders, and claims of each, over two servers.
func TestPacksAndClaimsOfTheSameTemplates_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w world) {
		const stock, users = 60, 240
		a, b := w.template(t, new(int64(stock)), 1), w.template(t, new(int64(stock+20)), 2)
		packs := []models.Pack{
			w.pack(t, models.PackItem{TemplateID: a.ID, Quantity: 1}, models.PackItem{TemplateID: b.ID, Quantity: 1}),
			w.pack(t, models.PackItem{TemplateID: b.ID, Quantity: 2}, models.PackItem{TemplateID: a.ID, Quantity: 1}),
		}
		servers := []*claims.Service{w.service(t), w.service(t)}
		var told tally
		var all sync.WaitGroup
		for i := range users {
			user, server := fmt.Sprint("user", i%(users*2/3)), servers[i%2] // a third comes twice
			all.Go(func() {
				switch i % 4 {
				case 0:
					coupon, err := server.Claim(t.Context(), w.op(), a.ID, user, nil)
					told.note(t, coupon, err)
				case 1:
					coupon, err := server.Claim(t.Context(), w.op(), b.ID, user, nil)
					told.note(t, coupon, err)
				default:
					coupons, err := server.ClaimPack(t.Context(), w.op(), packs[i%2].ID, user, nil)
					if err != nil {
						told.note(t, models.Coupon{}, err)
					}
					for _, c := range coupons {
						told.note(t, c, nil)
					}
				}
			})
		}
		all.Wait()
		slices.Sort(told.ids)
		sold := int64(len(slices.Compact(told.ids)))
		var claimed int64
		for _, id := range []models.ID{a.ID, b.ID} {
			w.atRest(t, servers[0], id)
			claimed += must(w.Definition(t.Context(), id))(t).Claimed
		}
		if sold != claimed || sold != int64(len(told.ids)) || told.codes[models.CodeBusy] > 0 {
			t.Errorf("told of %d coupons, claimed are %d; refused %v", sold, claimed, told.codes)
		}
		if len(told.codes) == 0 || sold < stock {
			t.Errorf("no contention: %v", slices.Sorted(maps.Keys(told.codes)))
		}
		w.sound(t)
	})
}
