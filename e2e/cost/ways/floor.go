package ways

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"scrip/models"
)

// The floor's templates: which one a claim names says how it is answered.
const (
	FloorOpen    = "1"
	FloorSoldOut = "2"
	FloorClaimed = "3" // by this user already
)

// floor answers out of thin air: what binding and answering cost.
type floor struct {
	wallet        []models.Coupon
	qualification models.Qualification
}

// walletSize is how many coupons everybody has who asks the floor.
const walletSize = 50

func newFloor() *floor {
	f := &floor{}
	for i := range walletSize {
		c := newCoupon(&claimBody{TemplateID: models.ID(7_000_000_000_000_000 + i), UserID: "wallet-1234"}, 123_456)
		c.ID = c.TemplateID + 1_000_000
		f.wallet = append(f.wallet, c)
		f.qualification.Applicable = append(f.qualification.Applicable, models.Applicable{CouponID: c.ID, Discount: discount})
	}
	f.qualification.Inapplicable = []models.Rejection{}
	f.qualification.Best = models.Combination{CouponIDs: []models.ID{f.wallet[0].ID}, Discount: discount}
	return f
}

func (f *floor) routes(r gin.IRouter) {
	r.POST("/claims", bound(f.claim))
	r.GET("/coupons", f.coupons)
	r.POST("/checkout/qualify", bound(f.qualify))
	r.POST("/locks", bound(f.lock))
	r.POST("/locks/:xid/confirm", f.confirm)
}

func (f *floor) claim(c *gin.Context, claim *claimBody) error {
	switch claim.TemplateID.String() {
	case FloorSoldOut:
		soldOut(c)
	case FloorClaimed:
		alreadyClaimed(c, f.wallet[0].ID)
	default:
		coupon := f.wallet[0] // its code as well: making one is part of claiming
		coupon.TemplateID, coupon.UserID = claim.TemplateID, claim.UserID
		c.JSON(http.StatusCreated, coupon)
	}
	return nil
}

func (f *floor) coupons(c *gin.Context) {
	limit, err := strconv.Atoi(c.Query("limit"))
	if err != nil {
		c.Status(http.StatusUnprocessableEntity)
		return
	}
	next := "7000000000000000"
	c.JSON(http.StatusOK, page{f.wallet[:min(max(limit, 0), walletSize)], &next})
}

func (f *floor) qualify(c *gin.Context, _ *qualifyBody) error {
	c.JSON(http.StatusOK, f.qualification)
	return nil
}

func (f *floor) lock(c *gin.Context, lock *lockBody) error {
	c.JSON(http.StatusCreated, f.view(lock.XID, models.LockLocked, &lock.Cart, lock.CouponIDs))
	return nil
}

// confirm answers with a quote of a like cart.
func (f *floor) confirm(c *gin.Context) {
	line := models.CartLine{LineID: "1", SKU: "shirt", Quantity: 3, UnitPrice: 1000}
	cart := models.Cart{Currency: "USD", Lines: []models.CartLine{line}}
	c.JSON(http.StatusOK, f.view(c.Param("xid"), models.LockConfirmed, &cart, []models.ID{f.wallet[0].ID}))
}

func (f *floor) view(xid string, state models.LockState, cart *models.Cart, coupons []models.ID) lockView {
	return lockView{
		ID: f.wallet[0].ID, XID: xid, OrderID: xid, State: state,
		Quote: quote(cart, coupons), ExpiresAt: models.Instant(time.Now()).Add(models.DefaultLockTTL),
	}
}
