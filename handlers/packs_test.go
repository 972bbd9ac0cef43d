package handlers

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func (f *fake) CreatePack(_ context.Context, op models.Op, pack models.Pack) (models.Pack, error) {
	return commit(f, op, func() (models.Pack, error) {
		f.args["pack"] = pack
		pack.ID, pack.CreatedAt = 95, op.At
		return pack, nil
	})
}

func (f *fake) Pack(context.Context, models.Principal, models.ID) (models.Pack, error) {
	return models.Pack{ID: 95, Name: "welcome", Items: []models.PackItem{{TemplateID: 21, Quantity: 2}}}, f.refusal
}

func (f *fake) Packs(_ context.Context, _ models.Principal, page models.Page) ([]models.Pack, error) {
	return list(f, page, func(id models.ID) models.Pack { return models.Pack{ID: id, Name: "welcome"} })
}

func (f *fake) ClaimPack(
	_ context.Context, op models.Op, packID models.ID, userID string, tags []string,
) ([]models.Coupon, error) {
	return commit(f, op, func() ([]models.Coupon, error) {
		f.args["pack"], f.args["tags"] = packID, tags
		c := f.coupon
		c.UserID = userID
		return []models.Coupon{c, c}, nil
	})
}

func TestAPackIsCheckedFieldByField(t *testing.T) {
	t.Parallel()
	h := serve(t, newFake(), platform())
	for body, want := range map[string][]string{
		`{"items":[{"template_id":"1","quantity":1}]}`: {"name"},
		`{"name":"a"}`:                          {"items"},
		`{"name":"a","items":[{"quantity":0}]}`: {"items[0].template_id", "items[0].quantity"},
		`{"name":"a","items":[{"template_id":"1","quantity":1},{"template_id":"1","quantity":1}]}`:    {"items[1].template_id"},
		`{"name":"a","items":[{"template_id":"1","quantity":150},{"template_id":"2","quantity":51}]}`: {"items"},
		`{"name":"a","items":[{"template_id":"1","quantity":1,"qty":2}]}`:                             {"items[0].qty"},
	} {
		if diff := cmp.Diff(want, problemOf(t, call(h, request{method: "POST", path: "/v1/packs", body: body})).fields()); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
}

func TestOneThingIsClaimedAtATime(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(t, f, user())
	w := call(h, request{method: "POST", path: "/v1/claims", body: `{"pack_id":"95"}`})
	if w.Code != 201 || f.arg("pack") != models.ID(95) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	for _, body := range []string{`{}`, `{"pack_id":"95","template_id":"21"}`} {
		if p := problemOf(t, call(h, request{method: "POST", path: "/v1/claims", body: body})); p.Code != models.CodeInvalid {
			t.Errorf("%s: got %+v", body, p)
		}
	}
}
