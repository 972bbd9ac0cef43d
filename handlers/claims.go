package handlers

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

type claimService interface {
	Claim(ctx context.Context, op models.Op, templateID models.ID, userID string, tags []string) (models.Coupon, error)
	// ClaimPack gives all coupons of a pack, or none.
	ClaimPack(ctx context.Context, op models.Op, packID models.ID, userID string, tags []string) ([]models.Coupon, error)
	ClaimCode(ctx context.Context, op models.Op, ask models.CodeClaim) (models.Coupon, error)
	// Claimable lists what the user could claim now; for a merchant that asks,
	// of its own templates alone.
	Claimable(
		ctx context.Context, actor models.Principal, userID string, tags []string, page models.Page,
	) ([]models.Template, error)
	TemplateChanged(ctx context.Context, t models.Template)
}

type claimBody struct {
	TemplateID models.ID `json:"template_id"`
	PackID     models.ID `json:"pack_id"`
	Code       *string   `json:"code"`
	UserID     string    `json:"user_id"`
	UserTags   []string  `json:"user_tags"`
}

// check demands one way to say what is claimed. Which text is a code is not said
// here: all that is none gets the one answer.
func (b *claimBody) check(f models.Faults) {
	switch {
	case b.Code == nil && b.TemplateID != 0 && b.PackID != 0:
		f.Add("pack_id", models.CodeInvalid, "excludes template_id")
	case b.Code == nil:
		f.Require(b.TemplateID != 0 || b.PackID != 0, "template_id")
	case b.TemplateID != 0 || b.PackID != 0:
		f.Add("code", models.CodeInvalid, "excludes template_id and pack_id")
	case *b.Code == "":
		f.Require(false, "code")
	case len(*b.Code) > models.MaxTypedCode:
		f.Add("code", models.CodeOutOfRange, "must be at most %d bytes", models.MaxTypedCode)
	}
}

// guesser is the address by which wrong codes are counted: an end user's own, for
// one may have many accounts. A server asks for all its users from one.
func guesser(c *gin.Context) string {
	if middleware.Principal(c).Role != models.RoleUser {
		return ""
	}
	return middleware.Address(c)
}

func (a *api) claim(c *gin.Context) error {
	var body claimBody
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	f := models.NewFaults()
	body.check(f)
	userID, tags, err := onBehalf(f, middleware.Principal(c), body.UserID, body.UserTags)
	if err != nil {
		return err
	}
	if err := f.Err(); err != nil {
		return err
	}
	if body.PackID != 0 {
		return change(a, c, raw, http.StatusCreated, viewPackCoupons,
			func(ctx context.Context, op models.Op) ([]models.Coupon, error) {
				return a.Claims.ClaimPack(ctx, op, body.PackID, userID, tags)
			})
	}
	address := guesser(c)
	return change(a, c, raw, http.StatusCreated, viewCoupon, func(ctx context.Context, op models.Op) (models.Coupon, error) {
		if body.Code != nil {
			return a.Claims.ClaimCode(ctx, op, models.CodeClaim{Code: *body.Code, UserID: userID, Tags: tags, Address: address})
		}
		return a.Claims.Claim(ctx, op, body.TemplateID, userID, tags)
	})
}

func (a *api) listClaimable(c *gin.Context) error {
	actor := middleware.Principal(c)
	q := newQuery(c)
	page := q.page(byID)
	userID, tags, err := onBehalf(q.faults, actor, c.Query("user_id"), q.list("user_tags"))
	if err != nil {
		return err
	}
	if err := q.err(); err != nil {
		return err
	}
	rows, err := a.Claims.Claimable(c.Request.Context(), actor, userID, tags, page.ask())
	if err != nil {
		return err
	}
	return answerPage(c, page, rows, func(t models.Template) models.ID { return t.ID }, viewClaimable)
}
