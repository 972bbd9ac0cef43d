package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"scrip/failpoint"
	"scrip/models"
)

// Compute works out what a refund pays and gives back, from what the lock froze
// and what was refunded before. It is pure, and may be asked again; its error is
// the refusal.
type Compute = func(*models.Frozen, models.Refunded) (models.Refund, error)

// Refund refunds units of a confirmed lock, once for each refund id: the same
// request again gets the same answer, another one with that id
// refund_id_reused. What a budget gets back it gets in the period of the lock's
// Try, and a coupon that comes back can be used again.
//
// With dry nothing is changed: the answer is the one that the refund would get.
// The answer is kept under the request's key, in the same transaction.
func (s *Store) Refund(ctx context.Context, req models.RefundRequest, compute Compute, dry bool) (models.Refund, error) {
	op := models.Op{Key: req.Key, At: req.At}
	refund, err := change(ctx, s, op, func(t tx) (models.Refund, note, error) {
		r := &refunding{store: s, req: req}
		if err := r.enter(ctx, t); err != nil {
			return models.Refund{}, note{}, err
		}
		before, err := r.answered(ctx, t)
		if err != nil {
			return models.Refund{}, note{}, err
		}
		if before != nil {
			return *before, note{}, nil
		}
		failpoint.Reach(failpoint.RefundEntered)
		if r.refund, err = compute(r.row.frozen, r.before); err != nil || dry {
			return r.refund, note{}, err
		}
		if err := r.write(ctx, t); err != nil {
			return models.Refund{}, note{}, err
		}
		failpoint.Reach(failpoint.RefundWritten)
		return r.refund, note{}, nil
	})
	if err == nil {
		failpoint.Reach(failpoint.RefundCommitted)
	}
	return refund, err
}

// refunding is one run of Refund.
type refunding struct {
	store  *Store
	req    models.RefundRequest
	row    *lockRow
	count  int64 // of refunds before this one
	before models.Refunded
	refund models.Refund
}

// enter locks the lock and reads what was refunded of it.
func (r *refunding) enter(ctx context.Context, t tx) error {
	var amount *int64
	var units []byte
	var count *int64
	err := query(ctx, t, "SELECT "+lockColumns+", q.refunds, q.refunded_amount, q.refunded_units FROM locks l"+
		r.store.dialect.force("locks_by_xid")+" LEFT JOIN lock_quotes q ON q.lock_id = l.id WHERE l.xid = ?"+
		r.store.dialect.forUpdate, []any{r.req.XID},
		func(scan func(...any) error) (err error) {
			r.row, err = scanLock(scan, &count, &amount, &units)
			return err
		})
	switch {
	case err != nil:
		return fmt.Errorf("lock the lock: %w", err)
	case r.row == nil:
		return models.NotFound("lock")
	case r.row.state != models.LockConfirmed:
		return models.Refuse(models.CodeNotConfirmed, "only a confirmed lock can be refunded; this one is %s", r.row.state)
	}
	r.count, r.before = *count, models.Refunded{Units: map[string]int64{}, Amount: *amount}
	if units == nil {
		return nil
	}
	return json.Unmarshal(units, &r.before.Units)
}

// answered finds the answer that the refund id got before; nil if none.
func (r *refunding) answered(ctx context.Context, t tx) (*models.Refund, error) {
	var hash, body []byte
	err := t.sql.QueryRowContext(ctx, "SELECT hash, body FROM refunds WHERE lock_id = ? AND refund_id = ?",
		r.row.id, r.req.RefundID).Scan(&hash, &body)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil //nolint:nilnil // no answer is no error
	case err != nil:
		return nil, fmt.Errorf("look up refund: %w", err)
	case string(hash) != string(r.req.Hash[:]):
		return nil, models.Refuse(models.CodeRefundReused, "this refund_id was used before with a different request")
	}
	refund := &models.Refund{}
	return refund, json.Unmarshal(body, refund)
}

func (r *refunding) write(ctx context.Context, t tx) error {
	if err := r.insert(ctx, t); err != nil {
		return err
	}
	failpoint.Reach(failpoint.RefundInserted)
	if err := r.advance(ctx, t); err != nil {
		return fmt.Errorf("note what is refunded: %w", err)
	}
	if err := r.returnBudgets(ctx, t); err != nil {
		return err
	}
	if err := r.returnCoupons(ctx, t); err != nil {
		return err
	}
	return r.tell(ctx, t)
}

func (r *refunding) insert(ctx context.Context, t tx) error {
	id, err := r.store.ids.Next()
	if err != nil {
		return err
	}
	body, err := json.Marshal(r.refund)
	if err != nil {
		return fmt.Errorf("keep a refund: %w", err)
	}
	return insert(ctx, t, "refunds (id, lock_id, refund_id, hash, amount, body, created_at)", 7,
		[]any{id, r.row.id, r.req.RefundID, r.req.Hash[:], r.refund.Amount, string(body), millis(r.req.At)}, "")
}

// advance adds the refund to those before it, guarded by their number.
func (r *refunding) advance(ctx context.Context, t tx) error {
	for _, line := range r.refund.Lines {
		r.before.Units[line.LineID] += line.Quantity
	}
	units, err := json.Marshal(r.before.Units)
	if err != nil {
		return err
	}
	amount := r.before.Amount + r.refund.Amount
	return update(ctx, t, 1, `UPDATE lock_quotes SET refunds = refunds + 1, refunded_amount = ?, refunded_units = ?
		WHERE lock_id = ? AND refunds = ? AND payable >= ?`, amount, string(units), r.row.id, r.count, amount)
}

// returnBudgets gives the budgets back what the refunded units took of them: of
// an amount the coupon's share, of a count the application with the last unit.
func (r *refunding) returnBudgets(ctx context.Context, t tx) error {
	used, err := readEntries(ctx, t, models.StepUse, []models.ID{r.row.id})
	if err != nil || len(used) == 0 {
		return err
	}
	l, err := r.store.openEntries(ctx, t, used)
	if err != nil {
		return err
	}
	for _, e := range used {
		e.step, e.refund, e.at = models.StepReturn, r.req.RefundID, r.req.At
		if l.budgets[e.budget].Kind == models.BudgetAmount {
			e.amount = r.share(e.coupon)
		} else if !r.refund.Last {
			continue
		}
		if e.amount > 0 {
			l.post(e)
		}
	}
	return l.write(ctx, r.store, t)
}

// share is a coupon's discount on the units of this refund.
func (r *refunding) share(coupon models.ID) int64 {
	for _, share := range r.refund.PerCoupon {
		if share.CouponID == coupon {
			return share.Discount
		}
	}
	return 0
}

// returnCoupons makes the coupons that come back available, for longer where
// they expired meanwhile and their template says so.
func (r *refunding) returnCoupons(ctx context.Context, t tx) error {
	ids := unique(slices.Clone(r.refund.CouponsReturned))
	if len(ids) == 0 {
		return nil
	}
	args := append(anys(ids), *r.row.userID, r.row.id)
	coupons, err := readCoupons(ctx, t, r.store.dialect.force("PRIMARY"),
		"id IN ("+marks(len(ids))+") AND user_id = ? AND lock_id = ? AND status = 'used' ORDER BY id"+
			r.store.dialect.forUpdate, args...)
	if err != nil {
		return err
	}
	of, err := r.store.termsOf(t.orm.WithContext(ctx), coupons)
	if err != nil {
		return err
	}
	until := make(map[models.ID]int64, len(coupons))
	operations := make([]operation, 0, len(ids))
	for i := range coupons {
		c := &coupons[i]
		if until[c.ID], err = r.extended(c, of[keyOf(c)].zone); err != nil {
			return err
		}
		c.ExpiresAt = instant(until[c.ID])
		operations = append(operations, operation{c.ID, r.row.id, "return", r.req.Actor, r.req.At})
	}
	if len(coupons) != len(ids) {
		return fmt.Errorf("of %d coupons that lock %s used only %d are still its own", len(ids), r.row.id, len(coupons))
	}
	expires, values := cases("id", ids, func(id models.ID) int64 { return until[id] })
	err = update(ctx, t, len(ids), "UPDATE coupons"+r.store.dialect.force("PRIMARY")+" SET status = 'available', lock_id = NULL, order_id = NULL, used_at = NULL, expires_at = "+
		expires+" WHERE id IN ("+marks(len(ids))+") AND user_id = ? AND lock_id = ? AND status = 'used'", append(values, args...)...)
	if err != nil {
		return fmt.Errorf("return coupons: %w", err)
	}
	if err := r.renewReminders(ctx, t, coupons, of); err != nil {
		return err
	}
	return r.store.record(ctx, t, operations)
}

// extended is when a returned coupon expires. One that did so meanwhile is good
// for some more local days where its template said so when it was locked.
func (r *refunding) extended(c *models.Coupon, zone string) (int64, error) {
	for i := range r.row.frozen.Coupons {
		of := &r.row.frozen.Coupons[i]
		if of.CouponID != c.ID || of.Return.ExtendExpiredDays == 0 || r.req.At.Before(c.ExpiresAt) {
			continue
		}
		local, err := r.store.zone(zone)
		if err != nil {
			return 0, err
		}
		return millis(models.FirstInstant(r.req.At, local, of.Return.ExtendExpiredDays+1)), nil
	}
	return millis(c.ExpiresAt), nil
}
