package handlers

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

type packStore interface {
	CreatePack(ctx context.Context, op models.Op, pack models.Pack) (models.Pack, error)
	Pack(ctx context.Context, actor models.Principal, id models.ID) (models.Pack, error)
	Packs(ctx context.Context, actor models.Principal, page models.Page) ([]models.Pack, error)
}

type newPackBody struct {
	MerchantID string            `json:"merchant_id"`
	Name       string            `json:"name"`
	Items      []models.PackItem `json:"items"`
}

// packView is a pack in an answer.
type packView struct {
	ID         models.ID         `json:"id"`
	MerchantID string            `json:"merchant_id,omitempty"`
	Name       string            `json:"name"`
	Items      []models.PackItem `json:"items"`
	CreatedAt  stamp             `json:"created_at"`
}

func viewPack(p models.Pack) any {
	return packView{p.ID, p.MerchantID, p.Name, orEmpty(p.Items), stamp(p.CreatedAt)}
}

// packCouponsView is what a claimed pack is answered by.
type packCouponsView struct {
	Coupons []any `json:"coupons"`
}

func viewPackCoupons(coupons []models.Coupon) any {
	view := packCouponsView{make([]any, len(coupons))}
	for i, c := range coupons {
		view.Coupons[i] = viewCoupon(c)
	}
	return view
}

func (a *api) createPack(c *gin.Context) error {
	var body newPackBody
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	merchantID, err := ownerOf(middleware.Principal(c), body.MerchantID)
	if err != nil {
		return err
	}
	pack := models.Pack{MerchantID: merchantID, Name: body.Name, Items: body.Items}
	f := models.NewFaults()
	pack.Check(f)
	if err := f.Err(); err != nil {
		return err
	}
	return change(a, c, raw, http.StatusCreated, viewPack, func(ctx context.Context, op models.Op) (models.Pack, error) {
		return a.Store.CreatePack(ctx, op, pack)
	})
}

func (a *api) getPack(c *gin.Context) error {
	return getOne(c, "pack", a.Store.Pack, viewPack)
}

func (a *api) listPacks(c *gin.Context) error {
	return listOwn(c, a.Store.Packs, func(p models.Pack) models.ID { return p.ID }, viewPack)
}
