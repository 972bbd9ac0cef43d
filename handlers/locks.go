package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

type lockService interface {
	// Lock takes codes as they were typed, and fills in ID and At.
	Lock(ctx context.Context, try models.Try) (models.LockVerdict, error)
	Confirm(ctx context.Context, xid, actor string) (models.Lock, error)
	Cancel(ctx context.Context, xid, actor string) (models.Lock, error)
	ConfirmAll(ctx context.Context, xids []string, actor string) ([]models.LockVerdict, error)
	CancelAll(ctx context.Context, xids []string, actor string) ([]models.LockVerdict, error)
	Get(ctx context.Context, xid string) (models.Lock, error)
}

// lockBody is what a Try is made from, but for its xid.
type lockBody struct {
	OrderID string `json:"order_id"`
	shopping
	wanted
	TTLSeconds *int64 `json:"ttl_seconds"`
}

type namedLockBody struct {
	XID string `json:"xid"`
	lockBody
}

// maxLockTTL is in seconds.
const maxLockTTL = int64(models.MaxLockTTL / time.Second)

// try makes the models' Try of a body, or says all that is wrong with it.
func (b *lockBody) try(f models.Faults, actor models.Principal, xid string, ttl time.Duration) (models.Try, error) {
	models.CheckForeign(f, "order_id", b.OrderID)
	cart, tags, err := b.cart(f, actor)
	if err != nil {
		return models.Try{}, err
	}
	b.check(f)
	if b.TTLSeconds != nil {
		f.Between("ttl_seconds", *b.TTLSeconds, 1, maxLockTTL)
		ttl = time.Duration(min(*b.TTLSeconds, maxLockTTL)) * time.Second
	}
	if err := f.Err(); err != nil {
		return models.Try{}, err
	}
	try := models.Try{
		XID: xid, OrderID: b.OrderID, Cart: cart, UserTags: tags, CouponIDs: b.CouponIDs, Codes: b.Codes,
		TTL: ttl, Actor: actor.Credential,
	}
	try.Hash, err = hashOf(&try)
	return try, err
}

// hashOf is over what a Try asks for, not over how that was written: the order
// of members and the spaces between them do not matter, nor whether a default
// was spelled out. What is added here must be left out of the text while it is
// at its default, lest a Try repeated across an update be taken for another.
func hashOf(try *models.Try) (hash [32]byte, err error) {
	text, err := json.Marshal(struct {
		OrderID   string      `json:"order_id"`
		Cart      models.Cart `json:"cart"`
		UserTags  []string    `json:"user_tags,omitempty"`
		CouponIDs []models.ID `json:"coupon_ids,omitempty"`
		Codes     []string    `json:"codes,omitempty"`
		TTL       int64       `json:"ttl_seconds"`
	}{try.OrderID, try.Cart, try.UserTags, try.CouponIDs, try.Codes, int64(try.TTL / time.Second)})
	if err != nil {
		return hash, fmt.Errorf("hash a lock: %w", err)
	}
	return digest([]byte("lock"), text), nil
}

// lockView is a lock in an answer. What a Cancel left that came before its Try
// has no order and no quote.
type lockView struct {
	ID        models.ID        `json:"id"`
	XID       string           `json:"xid"`
	OrderID   *string          `json:"order_id"`
	State     models.LockState `json:"state"`
	Quote     *models.Quote    `json:"quote"`
	ExpiresAt *stamp           `json:"expires_at"`
}

func viewLock(l models.Lock) any {
	view := lockView{ID: l.ID, XID: l.XID, State: l.State}
	if l.Frozen != nil {
		quote, expires := quoteView(l.Frozen.Quote), stamp(l.ExpiresAt)
		view.OrderID, view.Quote, view.ExpiresAt = &l.OrderID, &quote, &expires
	}
	return view
}

func viewVerdict(v models.LockVerdict) any { return viewLock(*v.Lock) }

// lockStatus is 201 for a lock that was made just now.
func lockStatus(v models.LockVerdict) int {
	if v.Made {
		return http.StatusCreated
	}
	return http.StatusOK
}

// batchWord stands in the paths of the batch endpoints where others have the
// xid: a lock of that name could not be ended.
const batchWord = "batch"

func (a *api) lock(c *gin.Context) error {
	var body namedLockBody
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	f := models.NewFaults()
	models.CheckForeign(f, "xid", body.XID)
	if body.XID == batchWord {
		f.Add("xid", models.CodeInvalid, "must not be %s, which is a part of other paths", batchWord)
	}
	try, err := body.try(f, middleware.Principal(c), body.XID, models.DefaultLockTTL)
	if err != nil {
		return err
	}
	return changeWith(a, c, raw, lockStatus, viewVerdict, func(ctx context.Context, op models.Op) (models.LockVerdict, error) {
		try.Key = op.Key
		return a.Checkout.Lock(ctx, try)
	})
}

// pathXID reads the xid in the path.
func pathXID(c *gin.Context) (string, error) {
	f := models.NewFaults()
	xid, err := url.PathUnescape(c.Param("xid"))
	if err != nil {
		f.Add("xid", models.CodeInvalid, "is not escaped properly")
		return "", f.Err()
	}
	models.CheckXID(f, "xid", xid)
	return xid, f.Err()
}

func (a *api) getLock(c *gin.Context) error {
	xid, err := pathXID(c)
	if err != nil {
		return err
	}
	lock, err := a.Checkout.Get(c.Request.Context(), xid)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, viewLock(lock))
}

// endLock makes the handler of confirm or of cancel.
func (a *api) endLock(end func(ctx context.Context, xid, actor string) (models.Lock, error)) func(*gin.Context) error {
	return func(c *gin.Context) error {
		xid, err := pathXID(c)
		if err != nil {
			return err
		}
		raw, err := bindNone(c)
		if err != nil {
			return err
		}
		return once(a, c, raw, always[models.Lock](http.StatusOK), viewLock,
			func(ctx context.Context, op models.Op) (models.Lock, error) {
				return end(ctx, xid, op.Actor.Credential)
			})
	}
}

// maxBatch is how many locks can be ended by one request.
const maxBatch = 200

type batchBody struct {
	XIDs []string `json:"xids"`
}

func (b *batchBody) check() error {
	f := models.NewFaults()
	switch n := len(b.XIDs); {
	case n == 0:
		f.Require(false, "xids")
	case n > maxBatch:
		f.Add("xids", models.CodeOutOfRange, "must have 1 to %d elements", maxBatch)
	default:
		for i, xid := range b.XIDs {
			models.CheckXID(f, fmt.Sprintf("xids[%d]", i), xid)
		}
	}
	return f.Err()
}

// batchView answers for each lock as the endpoint of one would have: the status
// of HTTP, with the lock's state or the refusal's code.
type batchView struct {
	Results []batchResult `json:"results"`
}

type batchResult struct {
	XID    string           `json:"xid"`
	Status int              `json:"status"`
	State  models.LockState `json:"state,omitempty"`
	Code   models.Code      `json:"code,omitempty"`
}

func viewBatch(xids []string) func([]models.LockVerdict) any {
	return func(verdicts []models.LockVerdict) any {
		view := batchView{Results: make([]batchResult, len(verdicts))}
		for i, v := range verdicts {
			result := batchResult{XID: xids[i], Status: http.StatusOK}
			if v.Refused != nil {
				result.Status, result.Code = middleware.Told(v.Refused)
			} else {
				result.State = v.Lock.State
			}
			view.Results[i] = result
		}
		return view
	}
}

var errVerdicts = errors.New("not one verdict for each lock")

// endLocks makes the handler of batch/confirm or of batch/cancel.
func (a *api) endLocks(
	end func(ctx context.Context, xids []string, actor string) ([]models.LockVerdict, error),
) func(*gin.Context) error {
	return func(c *gin.Context) error {
		var body batchBody
		raw, err := bind(c, &body)
		if err != nil {
			return err
		}
		if err := body.check(); err != nil {
			return err
		}
		return once(a, c, raw, always[[]models.LockVerdict](http.StatusOK), viewBatch(body.XIDs),
			func(ctx context.Context, op models.Op) ([]models.LockVerdict, error) {
				verdicts, err := end(ctx, body.XIDs, op.Actor.Credential)
				if err == nil && len(verdicts) != len(body.XIDs) {
					err = errVerdicts
				}
				return verdicts, err
			})
	}
}
