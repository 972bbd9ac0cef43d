package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"scrip/failpoint"
	"scrip/models"
)

// CommitEnds confirms, cancels and expires a batch of locks in one transaction,
// in its order, and returns a verdict for each: the lock as it is then, Made if
// this very request ended it; or the refusal. Every step can be repeated for
// ever: an end that was reached before is its answer again.
//
// A Cancel of an unknown xid leaves a tombstone, so that its Try is refused
// should it still come. Nothing is looked at but the lock itself, so a Confirm
// before its end always works.
//
// An error holds for the whole batch: nothing was changed, or, where it wraps
// models.ErrUnknown, nobody knows, and the same again will tell.
func (s *Store) CommitEnds(ctx context.Context, batch []models.LockEnd) ([]models.LockVerdict, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	var verdicts []models.LockVerdict
	err := s.inTx(ctx, func(t tx) error {
		b := &endBatch{store: s, ends: batch, verdicts: make([]models.LockVerdict, len(batch))}
		if err := b.enter(ctx, t); err != nil {
			return err
		}
		failpoint.Reach(failpoint.EndEntered)
		b.decide()
		verdicts = b.verdicts
		if err := b.write(ctx, t); err != nil {
			return err
		}
		failpoint.Reach(failpoint.EndWritten)
		return nil
	})
	if err != nil {
		return nil, err
	}
	failpoint.Reach(failpoint.EndCommitted)
	return verdicts, nil
}

// endBatch is one run of CommitEnds.
type endBatch struct {
	store    *Store
	ends     []models.LockEnd
	verdicts []models.LockVerdict

	rows  map[string]*lockRow // by xid
	born  map[models.ID]int   // tombstones of this batch, and whose they are
	ended []*ended
	late  []*lockRow // expired ones that a Cancel came for
}

// ended is a lock that the batch ends.
type ended struct {
	row *lockRow
	end *models.LockEnd
}

// enter locks the row of every xid, and makes one, a tombstone, for a Cancel of
// an xid that has none.
func (b *endBatch) enter(ctx context.Context, t tx) error {
	xids := make([]string, len(b.ends))
	for i := range b.ends {
		xids[i] = b.ends[i].XID
	}
	var err error
	if b.rows, err = b.store.lockRows(ctx, t, xids); err != nil {
		return err
	}
	b.born = map[models.ID]int{}
	unknown := map[string]int{} // the first Cancel of each
	for i := range b.ends {
		end := &b.ends[i]
		if _, seen := unknown[end.XID]; !seen && end.To == models.LockCancelled && b.rows[end.XID] == nil {
			unknown[end.XID], b.born[end.NewID] = i, i
		}
	}
	return b.bury(ctx, t, unknown)
}

// bury inserts tombstones. One that somebody else makes at the same time is
// waited for, and the row that is there then is locked, whosever it is: to look
// and to insert only afterwards would deadlock.
func (b *endBatch) bury(ctx context.Context, t tx, unknown map[string]int) error {
	if len(unknown) == 0 {
		return nil
	}
	const columns = 5
	args := make([]any, 0, columns*len(unknown))
	xids := slices.Sorted(maps.Keys(unknown))
	for _, xid := range xids {
		end := &b.ends[unknown[xid]]
		args = append(args, end.NewID, xid, models.LockCancelled, millis(end.At), millis(end.At))
	}
	err := insert(ctx, t, "locks (id, xid, state, created_at, updated_at)", columns, args, b.store.dialect.keep("id"))
	if err != nil {
		return err
	}
	rows, err := b.store.lockRows(ctx, t, xids)
	maps.Copy(b.rows, rows)
	return err
}

// decide gives every end its verdict, in the order of arrival. It is pure.
func (b *endBatch) decide() {
	for i := range b.ends {
		row := b.rows[b.ends[i].XID]
		if row != nil {
			if by, ours := b.born[row.id]; ours && i < by {
				row = nil // the tombstone came after this request
			}
		}
		if row == nil {
			b.verdicts[i].Refused = models.NotFound("lock")
			continue
		}
		b.verdicts[i] = b.judge(&b.ends[i], row)
	}
}

// judge is the table of the protocol: what each end does to a lock in each
// state.
func (b *endBatch) judge(end *models.LockEnd, row *lockRow) models.LockVerdict {
	over := row.state == models.LockLocked && millis(end.At) >= *row.expiresAt
	switch {
	case row.state == models.LockLocked && end.To == models.LockConfirmed && over:
		b.end(end, row, models.LockExpired)
		return models.LockVerdict{Refused: expired()}
	case end.To == models.LockCancelled && (over || row.state == models.LockExpired):
		return b.cancelLate(end, row, over)
	case row.state == models.LockLocked && (end.To != models.LockExpired || over):
		b.end(end, row, end.To)
		return models.LockVerdict{Lock: row.lock(), Made: true}
	case end.To == models.LockConfirmed && row.state == models.LockCancelled:
		return models.LockVerdict{Refused: models.Refuse(models.CodeLockCancelled, "this lock was cancelled")}
	case end.To == models.LockConfirmed && row.state == models.LockExpired:
		return models.LockVerdict{Refused: expired()}
	case end.To == models.LockCancelled && row.state == models.LockConfirmed:
		return models.LockVerdict{Refused: models.Refuse(models.CodeLockConfirmed, "this lock was confirmed")}
	}
	return models.LockVerdict{Lock: row.lock()}
}

// cancelLate answers a Cancel past the lock's end. The lock has expired, or does
// so now; that a Cancel came is kept, for a Try after it has to be refused.
func (b *endBatch) cancelLate(end *models.LockEnd, row *lockRow, over bool) models.LockVerdict {
	if over {
		b.end(end, row, models.LockExpired)
	}
	if row.cancelAt == nil {
		row.cancelAt = new(millis(end.At))
		b.late = append(b.late, row)
	}
	return models.LockVerdict{Lock: row.lock(), Made: over}
}

func expired() *models.Error {
	return models.Refuse(models.CodeLockExpired, "this lock's time was over before it was confirmed")
}

func (b *endBatch) end(end *models.LockEnd, row *lockRow, to models.LockState) {
	row.state, row.updatedAt = to, millis(end.At)
	b.ended = append(b.ended, &ended{row, end})
}

func (b *endBatch) write(ctx context.Context, t tx) error {
	if err := b.writeLate(ctx, t); err != nil {
		return fmt.Errorf("note late cancels: %w", err)
	}
	if len(b.ended) == 0 {
		return nil
	}
	if err := b.writeLocks(ctx, t); err != nil {
		return fmt.Errorf("end locks: %w", err)
	}
	if err := b.settle(ctx, t); err != nil {
		return err
	}
	if err := b.freeCoupons(ctx, t); err != nil {
		return err
	}
	return b.tell(ctx, t)
}

func (b *endBatch) writeLate(ctx context.Context, t tx) error {
	for _, row := range b.late {
		err := update(ctx, t, 1, "UPDATE locks SET cancel_at = ? WHERE id = ? AND cancel_at IS NULL", *row.cancelAt, row.id)
		if err != nil {
			return err
		}
	}
	return nil
}

// writeLocks moves the locks on, guarded by their being locked.
func (b *endBatch) writeLocks(ctx context.Context, t tx) error {
	byID := make(map[models.ID]*lockRow, len(b.ended))
	ids := make([]models.ID, 0, len(b.ended))
	for _, e := range b.ended {
		byID[e.row.id] = e.row
		ids = append(ids, e.row.id)
	}
	ids = unique(ids)
	state, args := cases("id", ids, func(id models.ID) models.LockState { return byID[id].state })
	at, more := cases("id", ids, func(id models.ID) int64 { return byID[id].updatedAt })
	return update(ctx, t, len(ids), "UPDATE locks"+b.store.dialect.force("PRIMARY")+" SET state = "+state+", updated_at = "+at+
		" WHERE id IN ("+marks(len(ids))+") AND state = 'locked'", append(append(args, more...), anys(ids)...)...)
}

// settle moves what the locks hold of budgets, in the period in which they took
// it, as the ledger has it.
func (b *endBatch) settle(ctx context.Context, t tx) error {
	byLock := make(map[models.ID]*ended, len(b.ended))
	locks := make([]models.ID, 0, len(b.ended))
	for _, e := range b.ended {
		byLock[e.row.id] = e
		locks = append(locks, e.row.id)
	}
	holds, err := readEntries(ctx, t, models.StepHold, unique(locks))
	if err != nil || len(holds) == 0 {
		return err
	}
	l, err := b.store.openEntries(ctx, t, holds)
	if err != nil {
		return err
	}
	for _, e := range holds {
		by := byLock[e.lock]
		e.step, e.at = models.StepRelease, by.end.At
		if by.row.state == models.LockConfirmed {
			e.step = models.StepUse
		}
		l.post(e)
	}
	return l.write(ctx, b.store, t)
}

// readEntries reads what the ledger has of a step of some locks.
func readEntries(ctx context.Context, t tx, step models.BudgetStep, locks []models.ID) ([]entry, error) {
	if len(locks) == 0 {
		return nil, nil
	}
	var entries []entry
	err := query(ctx, t, "SELECT budget_id, period_start, lock_id, coupon_id, user_id, amount FROM budget_usages WHERE lock_id IN ("+
		marks(len(locks))+") AND step = ? ORDER BY id", append(anys(locks), step),
		func(scan func(...any) error) error {
			var e entry
			err := scan(&e.budget, &e.period, &e.lock, &e.coupon, &e.user, &e.amount)
			entries = append(entries, e)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	return entries, nil
}

// openEntries locks the budgets of some entries, and reads the counters that
// they moved.
func (s *Store) openEntries(ctx context.Context, t tx, entries []entry) (*ledger, error) {
	ids, places := make([]models.ID, len(entries)), make([]place, len(entries))
	for i, e := range entries {
		ids[i], places[i] = e.budget, place{e.budget, e.period, e.user}
	}
	l, err := s.openLedger(ctx, t, ids, true)
	if err != nil {
		return nil, err
	}
	return l, l.read(ctx, t, places)
}

// freeCoupons marks the coupons as used, or as available again, guarded by their
// being locked by these very locks. One that expired meanwhile is available too,
// and expired by its time. One statement for all keeps the order of ids.
func (b *endBatch) freeCoupons(ctx context.Context, t tx) error {
	var operations []operation
	var coupons, locks []models.ID
	var users []string
	fates := make(map[models.ID]fate, len(b.ended))
	for _, e := range b.ended {
		for _, id := range applied(e.row.frozen) {
			coupons = append(coupons, id)
			operations = append(operations, operation{id, e.row.id, e.operation(), e.end.Actor, e.end.At})
		}
		fates[e.row.id] = e.fate()
		locks, users = append(locks, e.row.id), append(users, *e.row.userID)
	}
	if len(coupons) == 0 {
		return nil
	}
	coupons, locks, users = unique(coupons), unique(locks), unique(users)
	var sets []string
	var args []any
	// lock_id comes last: MySQL looks at what was set before it in the same row.
	for i, column := range []string{"status", "used_at", "order_id", "lock_id"} {
		value, more := cases("lock_id", locks, func(lock models.ID) any { return fates[lock][i] })
		sets, args = append(sets, column+" = "+value), append(args, more...)
	}
	args = slices.Concat(args, anys(coupons), anys(users), anys(locks))
	err := update(ctx, t, len(coupons), "UPDATE coupons"+b.store.dialect.force("PRIMARY")+" SET "+strings.Join(sets, ", ")+
		" WHERE id IN ("+marks(len(coupons))+") AND user_id IN ("+marks(len(users))+
		") AND status = 'locked' AND lock_id IN ("+marks(len(locks))+")", args...)
	if err != nil {
		return fmt.Errorf("free coupons: %w", err)
	}
	if err := b.restoreReminders(ctx, t); err != nil {
		return err
	}
	return b.store.record(ctx, t, operations)
}

// fate is what becomes of a lock's coupons: status, used_at, order_id, lock_id.
type fate [4]any

func (e *ended) fate() fate {
	if e.row.state == models.LockConfirmed {
		return fate{models.CouponUsed, millis(e.end.At), *e.row.orderID, e.row.id}
	}
	return fate{models.CouponAvailable}
}

// applied lists the coupons that a quote applies.
func applied(frozen *models.Frozen) []models.ID {
	ids := make([]models.ID, len(frozen.Quote.Applied))
	for i := range frozen.Quote.Applied {
		ids[i] = frozen.Quote.Applied[i].CouponID
	}
	return ids
}

// operation is the step's name in the record of operations.
func (e *ended) operation() string {
	switch e.row.state {
	case models.LockConfirmed:
		return "confirm"
	case models.LockCancelled:
		return "cancel"
	case models.LockExpired, models.LockLocked:
	}
	return "expire"
}
