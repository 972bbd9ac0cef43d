package store_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func TestAPackIsOfItsOwnersTemplates(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		own := must(f.CreateTemplate(ctx, f.op(merchant("m1")), "m1", spec(f.rule(t, merchant("m1")).ID, nil, 2)))(t)
		foreign := must(f.CreateTemplate(ctx, f.op(merchant("m2")), "m2", spec(f.rule(t, merchant("m2")).ID, nil, 1)))(t)
		item := func(id models.ID, n int64) models.PackItem { return models.PackItem{TemplateID: id, Quantity: n} }
		pack := func(owner string, items ...models.PackItem) models.Pack {
			return models.Pack{MerchantID: owner, Name: "pack", Items: items}
		}
		made := must(f.CreatePack(ctx, f.op(merchant("m1")), pack("m1", item(own.ID, 2))))(t)
		if diff := cmp.Diff(made, must(f.Pack(ctx, merchant("m1"), made.ID))(t)); diff != "" {
			t.Error(diff)
		}
		both := must(f.CreatePack(ctx, f.op(platform()), pack("", item(foreign.ID, 1), item(own.ID, 1))))(t)
		_, err := f.CreatePack(ctx, f.op(merchant("m1")), pack("m1", item(own.ID, 1), item(foreign.ID, 1)))
		wantField(t, err, "items[1].template_id", models.CodeUnknownRef)
		_, err = f.CreatePack(ctx, f.op(platform()), pack("", item(1, 1)))
		wantField(t, err, "items[0].template_id", models.CodeUnknownRef)
		_, err = f.CreatePack(ctx, f.op(platform()), pack("", item(own.ID, 3)))
		wantField(t, err, "items[0].quantity", models.CodeOutOfRange)

		_, err = f.Pack(ctx, merchant("m1"), both.ID)
		wantCode(t, err, models.CodeNotFound)
		if all := must(f.Packs(ctx, platform(), models.Page{Limit: 9}))(t); len(all) != 2 || all[0].ID != both.ID || len(all[0].Items) != 2 {
			t.Errorf("got %+v", all)
		}
		if own := must(f.Packs(ctx, merchant("m1"), models.Page{Limit: 9}))(t); len(own) != 1 {
			t.Errorf("got %+v", own)
		}
	})
}

func TestAPartialPackIsFound(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		a, b := f.template(t, nil, 1), f.template(t, nil, 1)
		pack := must(f.CreatePack(t.Context(), f.op(platform()), models.Pack{Name: "pack", Items: []models.PackItem{
			{TemplateID: a.ID, Quantity: 1}, {TemplateID: b.ID, Quantity: 1},
		}}))(t)
		batch := []models.Claim{f.claim(t, a, "ann"), f.claim(t, b, "ann")}
		together := &models.PackClaim{ID: batch[0].ID, PackID: pack.ID}
		batch[0].Pack, batch[1].Pack = together, together
		must(f.CommitClaims(t.Context(), batch))(t)
		f.sound(t)
		if err := f.Exec(t.Context(), "DELETE FROM pack_coupons WHERE coupon_id = ?", batch[1].ID); err != nil {
			t.Fatal(err)
		}
		_, broken, err := f.Check(t.Context())
		if err != nil || len(broken) != 1 || !strings.Contains(broken[0].Row, b.ID.String()) {
			t.Errorf("got %v, %v", broken, err)
		}
	})
}
