package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"scrip/models"
)

// answers are what is kept under the idempotency keys of a batch, and what the
// batch adds to it, in the transaction that decides it: an answer is kept if and
// only if it is true. The key's being unique decides between two transactions,
// and whoever loses starts over and finds the other one's answer.
type answers struct {
	known map[[32]byte]*idempotencyRow
	fresh []*idempotencyRow
}

// readAnswers finds what was answered before under the keys; those that are nil
// keep nothing.
func readAnswers(ctx context.Context, t tx, keys []*models.IdempotencyKey) (*answers, error) {
	var ids []any
	for _, key := range keys {
		if key != nil {
			ids = append(ids, key.ID[:])
		}
	}
	a := &answers{known: make(map[[32]byte]*idempotencyRow, len(ids))}
	if len(ids) == 0 {
		return a, nil
	}
	var found []*idempotencyRow
	err := query(ctx, t, "SELECT "+answerColumns+" FROM idempotency_answers WHERE id IN ("+marks(len(ids))+")", ids,
		func(scan func(...any) error) error {
			row, err := scanAnswer(scan)
			if err != nil {
				return err
			}
			a.known[[32]byte(row.ID)] = row
			found = append(found, row)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read idempotency keys: %w", err)
	}
	return a, readGranted(ctx, t, found)
}

// before is the answer that is kept under the key, as an error; nil for none.
func (a *answers) before(key *models.IdempotencyKey) error {
	if key == nil || a.known[key.ID] == nil {
		return nil
	}
	return a.known[key.ID].answer(key)
}

// keep notes an answer for retries with the same key, in this batch already.
func (a *answers) keep(key *models.IdempotencyKey, at time.Time, result any, refusal error) {
	if key == nil {
		return
	}
	answer, keep := key.Render(result, refusal)
	if !keep {
		return
	}
	a.add(key, &idempotencyRow{ID: key.ID[:], Hash: key.Hash[:], Status: answer.Status, Body: answer.Body, CreatedAt: millis(at)})
}

// keepGranted notes the answer to a claim: a reference to the coupon, with what of
// it may change. Else as keep.
func (a *answers) keepGranted(key *models.IdempotencyKey, c *models.Coupon, at time.Time) {
	if key == nil {
		return
	}
	a.add(key, &idempotencyRow{
		ID: key.ID[:], Hash: key.Hash[:], CouponID: &c.ID, ExpiresAt: new(millis(c.ExpiresAt)),
		CreatedAt: millis(at), coupon: c,
	})
}

func (a *answers) add(key *models.IdempotencyKey, row *idempotencyRow) {
	a.known[key.ID] = row
	a.fresh = append(a.fresh, row)
}

// write stores the answers that were added, in the keys' order like everybody.
func (a *answers) write(ctx context.Context, t tx) error {
	slices.SortFunc(a.fresh, func(x, y *idempotencyRow) int { return bytes.Compare(x.ID, y.ID) })
	const columns = 7
	args := make([]any, 0, columns*len(a.fresh))
	for _, row := range a.fresh {
		args = append(args, row.ID, row.Hash, row.Status, row.Body, row.CouponID, row.ExpiresAt, row.CreatedAt)
	}
	return insert(ctx, t, "idempotency_answers ("+answerColumns+", created_at)", columns, args, "")
}

// RememberAnswer keeps what came of an act for retries with the same key. It is
// for acts that are idempotent by themselves, such as those on a lock, and so
// need not be remembered in their own transaction: ask AnsweredBefore, act, and
// remember before anybody is answered. Who dies in between has answered nobody,
// and the retry finds the act done.
//
// It returns failure, or the answer that another request with the key was
// quicker to have kept, as a *models.Replay. Where it cannot be kept, what was
// done stays done, and the error wraps models.ErrUnknown: the same request
// again tells. A nil key keeps nothing.
func (s *Store) RememberAnswer(ctx context.Context, op models.Op, result any, failure error) error {
	if op.Key == nil {
		return failure
	}
	err := s.inTx(ctx, func(t tx) error { return s.remember(ctx, t, op, result, failure) })
	switch {
	case s.dialect.duplicate(err):
		return s.AnsweredBefore(ctx, op.Key, failure)
	case err != nil:
		return fmt.Errorf("%w: remember the answer: %w", models.ErrUnknown, err)
	}
	return failure
}

// idempotencyRow is an answer that is kept. That to a claim is a reference to the
// coupon, with what of it may change.
type idempotencyRow struct {
	ID        []byte
	Hash      []byte
	Status    int // 0 with a coupon
	Body      []byte
	CouponID  *models.ID
	ExpiresAt *int64
	CreatedAt int64

	coupon *models.Coupon `gorm:"-"` // as it was granted
}

func (*idempotencyRow) TableName() string { return "idempotency_answers" }

// answerColumns are those that scanAnswer expects.
const answerColumns = "id, hash, status, body, coupon_id, expires_at"

func scanAnswer(scan scanner) (*idempotencyRow, error) {
	var r idempotencyRow
	err := scan(&r.ID, &r.Hash, &r.Status, &r.Body, &r.CouponID, &r.ExpiresAt)
	return &r, err
}

// answer is what a request gets whose key is kept in this row.
func (r *idempotencyRow) answer(key *models.IdempotencyKey) error {
	if string(r.Hash) != string(key.Hash[:]) {
		return models.ErrKeyReused()
	}
	if r.coupon == nil {
		return &models.Replay{Status: r.Status, Body: r.Body}
	}
	again, _ := key.Render(*r.coupon, nil)
	return &again
}

// readGranted finds the coupons to which rows refer, and makes them what they
// were when they were granted.
func readGranted(ctx context.Context, q querier, rows []*idempotencyRow) error {
	byCoupon := map[models.ID]*idempotencyRow{}
	var ids []any
	for _, row := range rows {
		if row.CouponID != nil {
			byCoupon[*row.CouponID] = row
			ids = append(ids, *row.CouponID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	err := query(ctx, q, "SELECT "+couponColumns+" FROM coupons WHERE id IN ("+marks(len(ids))+")", ids,
		func(scan func(...any) error) error {
			c, err := scanCoupon(scan)
			if err != nil {
				return err
			}
			row := byCoupon[c.ID]
			c.Status, c.LockID, c.OrderID, c.UsedAt = models.CouponAvailable, nil, "", nil
			c.ExpiresAt = instant(*row.ExpiresAt)
			row.coupon = &c
			return nil
		})
	if err != nil {
		return fmt.Errorf("read granted coupons: %w", err)
	}
	return nil
}

func (s *Store) findReplay(ctx context.Context, t tx, key *models.IdempotencyKey) error {
	if key == nil {
		return nil
	}
	var row idempotencyRow
	err := t.orm.WithContext(ctx).Where("id = ?", key.ID[:]).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up idempotency key: %w", err)
	}
	if err := readGranted(ctx, t, []*idempotencyRow{&row}); err != nil {
		return err
	}
	return row.answer(key)
}

func (s *Store) remember(ctx context.Context, t tx, op models.Op, result any, refusal error) error {
	if op.Key == nil {
		return nil
	}
	answer, keep := op.Key.Render(result, refusal)
	if !keep {
		return nil
	}
	return t.orm.WithContext(ctx).Create(&idempotencyRow{
		ID: op.Key.ID[:], Hash: op.Key.Hash[:],
		Status: answer.Status, Body: answer.Body, CreatedAt: millis(op.At),
	}).Error
}
