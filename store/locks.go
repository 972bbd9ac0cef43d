package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"scrip/failpoint"
	"scrip/models"
)

// lockRow is a lock with its quote.
type lockRow struct {
	id        models.ID
	xid       string
	hash      []byte
	orderID   *string
	userID    *string
	state     models.LockState
	expiresAt *int64
	cancelAt  *int64 // of an expired one
	createdAt int64
	updatedAt int64
	frozen    *models.Frozen // nil in a tombstone
}

func (r *lockRow) lock() *models.Lock {
	l := &models.Lock{
		ID: r.id, XID: r.xid, State: r.state, Frozen: r.frozen,
		CreatedAt: instant(r.createdAt), UpdatedAt: instant(r.updatedAt),
	}
	if r.hash != nil {
		l.OrderID, l.UserID, l.ExpiresAt = *r.orderID, *r.userID, instant(*r.expiresAt)
	}
	return l
}

// newLock is the row that a Try makes.
func newLock(try *models.Try, frozen *models.Frozen) *lockRow {
	at := millis(try.At)
	return &lockRow{
		id: try.ID, xid: try.XID, hash: try.Hash[:], orderID: &try.OrderID, userID: &try.Cart.UserID,
		state: models.LockLocked, expiresAt: new(millis(try.At.Add(try.TTL))), createdAt: at, updatedAt: at, frozen: frozen,
	}
}

const lockColumns = "l.id, l.xid, l.hash, l.order_id, l.user_id, l.state, l.expires_at, l.cancel_at, l.created_at, l.updated_at, q.frozen"

func scanLock(scan scanner, more ...any) (*lockRow, error) {
	row := &lockRow{}
	var frozen []byte
	err := scan(append([]any{
		&row.id, &row.xid, &row.hash, &row.orderID, &row.userID, &row.state,
		&row.expiresAt, &row.cancelAt, &row.createdAt, &row.updatedAt, &frozen,
	}, more...)...)
	if err != nil || frozen == nil {
		return row, err
	}
	row.frozen = &models.Frozen{}
	return row, json.Unmarshal(frozen, row.frozen)
}

// lockRows locks the rows of some xids, in the xids' order, until the end of
// the transaction.
func (s *Store) lockRows(ctx context.Context, t tx, xids []string) (map[string]*lockRow, error) {
	rows := make(map[string]*lockRow, len(xids))
	xids = unique(slices.Clone(xids))
	err := query(ctx, t, "SELECT "+lockColumns+" FROM locks l"+s.dialect.force("locks_by_xid")+
		" LEFT JOIN lock_quotes q ON q.lock_id = l.id WHERE l.xid IN ("+marks(len(xids))+") ORDER BY l.xid"+
		s.dialect.forUpdate, anys(xids),
		func(scan func(...any) error) error {
			row, err := scanLock(scan)
			rows[row.xid] = row
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("lock the locks: %w", err)
	}
	return rows, nil
}

// Decide judges one Try, within the transaction that decides it: what its
// coupons give, frozen, or why not. The coupons are those of the named ones that
// the Try's user has, and their budgets have left what earlier Tries did not
// take. It is pure, and may be asked again.
type Decide = func(try *models.Try, coupons []models.WalletCoupon) (*models.Frozen, *models.Error)

// CommitTries decides a batch of Tries in one transaction, in their order, and
// returns a verdict for each: the lock, Made if this Try made it; or the
// refusal, of which nothing is left. One that holds too much for what is left of
// a budget stands in the way of no smaller one after it.
//
// An error holds for the whole batch: nothing was locked, or, where it wraps
// models.ErrUnknown, nobody knows, and the same Tries again will tell.
func (s *Store) CommitTries(ctx context.Context, batch []models.Try, decide Decide) ([]models.LockVerdict, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	var verdicts []models.LockVerdict
	try := func(t tx) error {
		b := &tryBatch{store: s, tries: batch, verdicts: make([]models.LockVerdict, len(batch))}
		if err := b.read(ctx, t); err != nil {
			return err
		}
		failpoint.Reach(failpoint.LockEntered)
		b.decide(decide)
		verdicts = b.verdicts
		if err := b.write(ctx, t); err != nil {
			return err
		}
		failpoint.Reach(failpoint.LockWritten)
		return nil
	}
	err := s.inTx(ctx, try)
	for again := 0; again < maxAttempts && (errors.Is(err, errOvertaken) || s.dialect.duplicate(err)); again++ {
		err = s.inTx(ctx, try) // this time the other one's lock, or answer, is there to be read
	}
	if err != nil {
		return nil, err
	}
	failpoint.Reach(failpoint.LockCommitted)
	return verdicts, nil
}

// errOvertaken says that another request with one of the batch's xids was
// decided after the batch had looked for it.
var errOvertaken = errors.New("overtaken by another request with the same xid")

// tryBatch is one run of CommitTries.
type tryBatch struct {
	store    *Store
	tries    []models.Try
	verdicts []models.LockVerdict

	rows    map[string]*lockRow // by xid, as far as there are any
	named   [][]models.ID       // by Try: its coupons, as far as they are its user's
	coupons map[models.ID]*models.Coupon
	terms   map[termsKey]*terms
	ledger  *ledger
	answers *answers
	made    []*made
}

// made is a lock that the batch made.
type made struct {
	row   *lockRow
	actor string
	taken []models.ID // coupons
}

// read locks the rows of the xids that are there, and finds what the other Tries
// are judged by: their coupons without a lock first, to learn which budgets they
// count against; then the budgets, and then the coupons once more, both locked.
//
// A Try makes its row last of all, so that a refused one need not take it back.
// Of two with one xid, which name the same coupons, the later has waited for the
// first one's end by the time it holds them, and looks for its row once more.
// Where that does not tell, the xid's unique key does.
func (b *tryBatch) read(ctx context.Context, t tx) error {
	xids := make([]string, len(b.tries))
	for i := range b.tries {
		xids[i] = b.tries[i].XID
	}
	var err error
	if b.rows, err = b.store.lockRows(ctx, t, xids); err != nil {
		return err
	}
	if b.answers, err = readAnswers(ctx, t, b.keys()); err != nil {
		return err
	}
	b.ledger = &ledger{}
	seen, err := b.findCoupons(ctx, t)
	if err != nil || len(seen) == 0 {
		return err
	}
	if b.terms, err = b.store.termsOf(t.orm.WithContext(ctx), seen); err != nil {
		return err
	}
	if err := b.lockBudgets(ctx, t, seen); err != nil {
		return err
	}
	if err := b.lockCoupons(ctx, t, seen); err != nil {
		return err
	}
	return b.lookAgain(ctx, t)
}

func (b *tryBatch) keys() []*models.IdempotencyKey {
	keys := make([]*models.IdempotencyKey, len(b.tries))
	for i := range b.tries {
		keys[i] = b.tries[i].Key
	}
	return keys
}

// lockBudgets locks the budgets of the coupons and reads their counters, in the
// period of each Try.
func (b *tryBatch) lockBudgets(ctx context.Context, t tx, seen []models.Coupon) error {
	var err error
	if b.ledger, err = b.store.openLedger(ctx, t, budgetIDs(b.terms), true); err != nil {
		return err
	}
	byID := make(map[models.ID]*models.Coupon, len(seen))
	for i := range seen {
		byID[seen[i].ID] = &seen[i]
	}
	var places []place
	for i := range b.tries {
		for _, id := range b.named[i] {
			places = b.ledger.places(places, b.terms[keyOf(byID[id])], b.tries[i].Cart.UserID, b.tries[i].At)
		}
	}
	return b.ledger.read(ctx, t, places)
}

// lookAgain looks whether any of the rows that were not there is there now.
func (b *tryBatch) lookAgain(ctx context.Context, t tx) error {
	var missing []any
	for i := range b.tries {
		if b.rows[b.tries[i].XID] == nil {
			missing = append(missing, b.tries[i].XID)
		}
	}
	return query(ctx, t, "SELECT id FROM locks WHERE xid IN ("+marks(len(missing))+") LIMIT 1", missing,
		func(func(...any) error) error { return errOvertaken })
}

// findCoupons looks up the coupons that the new Tries name, and notes
// which of them are theirs.
func (b *tryBatch) findCoupons(ctx context.Context, t tx) ([]models.Coupon, error) {
	b.named = make([][]models.ID, len(b.tries))
	var ids []models.ID
	var codes, users []string
	for i := range b.tries {
		if try := &b.tries[i]; b.rows[try.XID] == nil {
			ids = append(ids, try.CouponIDs...)
			codes = append(codes, try.Codes...)
			users = append(users, try.Cart.UserID)
		}
	}
	users = unique(users)
	var found []models.Coupon
	for column, args := range map[string][]any{"id": anys(unique(ids)), "code": anys(unique(codes))} {
		if len(args) == 0 {
			continue
		}
		more, err := readCoupons(ctx, t, "", column+" IN ("+marks(len(args))+") AND user_id IN ("+marks(len(users))+")",
			append(args, anys(users)...)...)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return b.match(found), nil
}

// match notes, for each new Try, which of the coupons it names and its
// user has, and returns those, each once.
func (b *tryBatch) match(found []models.Coupon) []models.Coupon {
	byID := make(map[models.ID]*models.Coupon, len(found))
	byCode := make(map[string]*models.Coupon, len(found))
	for i := range found {
		byID[found[i].ID], byCode[found[i].Code] = &found[i], &found[i]
	}
	var seen []models.Coupon
	wanted := map[models.ID]bool{}
	for i := range b.tries {
		try := &b.tries[i]
		if b.rows[try.XID] != nil {
			continue
		}
		candidates := make([]*models.Coupon, 0, len(try.CouponIDs)+len(try.Codes))
		for _, id := range try.CouponIDs {
			candidates = append(candidates, byID[id])
		}
		for _, code := range try.Codes {
			candidates = append(candidates, byCode[code])
		}
		for _, c := range candidates {
			if c == nil || c.UserID != try.Cart.UserID || slices.Contains(b.named[i], c.ID) {
				continue
			}
			b.named[i] = append(b.named[i], c.ID)
			if !wanted[c.ID] {
				wanted[c.ID] = true
				seen = append(seen, *c)
			}
		}
	}
	return seen
}

// lockCoupons locks the coupons, in id order, and reads them as they are now.
func (b *tryBatch) lockCoupons(ctx context.Context, t tx, seen []models.Coupon) error {
	ids, users := make([]models.ID, len(seen)), make([]string, len(seen))
	for i := range seen {
		ids[i], users[i] = seen[i].ID, seen[i].UserID
	}
	ids, users = unique(ids), unique(users)
	locked, err := readCoupons(ctx, t, b.store.dialect.force("PRIMARY"),
		"id IN ("+marks(len(ids))+") AND user_id IN ("+marks(len(users))+") ORDER BY id"+b.store.dialect.forUpdate,
		append(anys(ids), anys(users)...)...)
	if err != nil {
		return err
	}
	if len(locked) != len(ids) {
		return fmt.Errorf("of %d coupons only %d are still there", len(ids), len(locked))
	}
	b.coupons = make(map[models.ID]*models.Coupon, len(locked))
	for i := range locked {
		b.coupons[locked[i].ID] = &locked[i]
	}
	return nil
}

// decide gives every Try its verdict, in the order of arrival.
func (b *tryBatch) decide(decide Decide) {
	for i := range b.tries {
		try := &b.tries[i]
		if before := b.answers.before(try.Key); before != nil {
			b.verdicts[i].Replay = before
			continue
		}
		b.verdicts[i] = b.verdict(i, decide)
		if v := b.verdicts[i]; v.Refused != nil {
			b.answers.keep(try.Key, try.At, nil, v.Refused)
		} else {
			b.answers.keep(try.Key, try.At, v, nil)
		}
	}
}

func (b *tryBatch) verdict(i int, decide Decide) models.LockVerdict {
	try, row := &b.tries[i], b.rows[b.tries[i].XID]
	switch {
	case row == nil:
		return b.judge(i, decide)
	case row.state == models.LockCancelled || row.cancelAt != nil:
		return models.LockVerdict{Refused: models.Refuse(models.CodeLockCancelled, "this lock was cancelled")}
	case string(row.hash) != string(try.Hash[:]):
		return models.LockVerdict{Refused: models.Refuse(models.CodeXIDReused, "this xid was used before with a different request")}
	}
	return models.LockVerdict{Lock: row.lock()}
}

// judge decides a Try that is the first of its xid, or of which all before it
// were refused.
func (b *tryBatch) judge(i int, decide Decide) models.LockVerdict {
	try := &b.tries[i]
	wallet := make([]models.WalletCoupon, len(b.named[i]))
	for n, id := range b.named[i] {
		c := b.coupons[id]
		wallet[n] = b.ledger.walletCoupon(*c, b.terms[keyOf(c)], try.At)
	}
	frozen, refusal := decide(try, wallet)
	if refusal != nil {
		return models.LockVerdict{Refused: refusal}
	}
	taken, entries, refusal := b.take(i, frozen)
	if refusal != nil {
		return models.LockVerdict{Refused: refusal}
	}
	if !b.ledger.hold(entries) {
		return models.LockVerdict{Refused: models.Refuse(models.CodeBudgetExhausted, "a budget has less left than this order takes")}
	}
	row := newLock(try, frozen)
	b.rows[try.XID] = row
	b.made = append(b.made, &made{row: row, actor: try.Actor, taken: taken})
	for _, id := range taken {
		c := b.coupons[id]
		c.Status, c.LockID, c.OrderID = models.CouponLocked, &row.id, try.OrderID
	}
	return models.LockVerdict{Lock: row.lock(), Made: true}
}

// take lists what a frozen quote takes: coupons, and of their budgets. Only what
// is the user's and available can be taken, whatever the quote says.
func (b *tryBatch) take(i int, frozen *models.Frozen) ([]models.ID, []entry, *models.Error) {
	var taken []models.ID
	var entries []entry
	for n := range frozen.Quote.Applied {
		applied := &frozen.Quote.Applied[n]
		c := b.coupons[applied.CouponID]
		if !slices.Contains(b.named[i], applied.CouponID) || c.Status != models.CouponAvailable || slices.Contains(taken, c.ID) {
			return nil, nil, models.Refuse(models.CodeCouponNotAvailable, "coupon %s is not available", applied.CouponID)
		}
		taken = append(taken, c.ID)
		for _, id := range b.terms[keyOf(c)].budgets {
			budget := b.ledger.budgets[id]
			if amount := takes(budget.Kind, applied); amount > 0 {
				entries = append(entries, entry{
					budget: id, lock: b.tries[i].ID, coupon: c.ID, user: c.UserID, step: models.StepHold,
					amount: amount, period: budget.start(b.tries[i].At), at: b.tries[i].At,
				})
			}
		}
	}
	return taken, entries, nil
}

// takes is what an application counts for.
func takes(kind models.BudgetKind, applied *models.AppliedCoupon) int64 {
	if kind == models.BudgetCount {
		return 1
	}
	return applied.Discount + applied.ShippingDiscount
}

func (b *tryBatch) write(ctx context.Context, t tx) error {
	if err := b.writeLocks(ctx, t); err != nil {
		return err
	}
	return b.answers.write(ctx, t)
}

func (b *tryBatch) writeLocks(ctx context.Context, t tx) error {
	if len(b.made) == 0 {
		return nil
	}
	if err := b.insertLocks(ctx, t); err != nil {
		return err
	}
	if err := b.insertQuotes(ctx, t); err != nil {
		return err
	}
	if err := b.takeCoupons(ctx, t); err != nil {
		return fmt.Errorf("take coupons: %w", err)
	}
	if err := b.dropReminders(ctx, t); err != nil {
		return err
	}
	if err := b.ledger.write(ctx, b.store, t); err != nil {
		return err
	}
	var operations []operation
	for _, m := range b.made {
		for _, id := range m.taken {
			operations = append(operations, operation{id, m.row.id, "lock", m.actor, instant(m.row.createdAt)})
		}
	}
	return b.store.record(ctx, t, operations)
}

// insertLocks makes the rows, in the xids' order like everybody.
func (b *tryBatch) insertLocks(ctx context.Context, t tx) error {
	slices.SortFunc(b.made, func(x, y *made) int { return strings.Compare(x.row.xid, y.row.xid) })
	const columns = 9
	args := make([]any, 0, columns*len(b.made))
	for _, m := range b.made {
		r := m.row
		args = append(args, r.id, r.xid, r.hash, r.orderID, r.userID, r.state, r.expiresAt, r.createdAt, r.updatedAt)
	}
	return insert(ctx, t, "locks (id, xid, hash, order_id, user_id, state, expires_at, created_at, updated_at)", columns, args, "")
}

func (b *tryBatch) insertQuotes(ctx context.Context, t tx) error {
	const columns = 3
	args := make([]any, 0, columns*len(b.made))
	for _, m := range b.made {
		frozen, err := json.Marshal(m.row.frozen)
		if err != nil {
			return fmt.Errorf("freeze a quote: %w", err)
		}
		payable := int64(0)
		for i := range m.row.frozen.Quote.Lines {
			payable += m.row.frozen.Quote.Lines[i].Total
		}
		args = append(args, m.row.id, string(frozen), payable)
	}
	return insert(ctx, t, "lock_quotes (lock_id, frozen, payable)", columns, args, "")
}

// takeCoupons marks the coupons as locked, guarded by their being available.
func (b *tryBatch) takeCoupons(ctx context.Context, t tx) error {
	var ids []models.ID
	var users []string
	for _, m := range b.made {
		ids = append(ids, m.taken...)
		users = append(users, *m.row.userID)
	}
	if len(ids) == 0 {
		return nil
	}
	ids, users = unique(ids), unique(users)
	lock, args := cases("id", ids, func(id models.ID) models.ID { return *b.coupons[id].LockID })
	order, more := cases("id", ids, func(id models.ID) string { return b.coupons[id].OrderID })
	args = append(append(append(args, more...), anys(ids)...), anys(users)...)
	return update(ctx, t, len(ids), "UPDATE coupons"+b.store.dialect.force("PRIMARY")+" SET status = 'locked', lock_id = "+lock+", order_id = "+order+
		" WHERE id IN ("+marks(len(ids))+") AND user_id IN ("+marks(len(users))+") AND status = 'available'", args...)
}

// operation is a row of coupon_operations.
type operation struct {
	coupon, lock models.ID
	step, actor  string
	at           time.Time
}

// record keeps who did what to which coupon.
func (s *Store) record(ctx context.Context, t tx, operations []operation) error {
	const columns = 6
	args := make([]any, 0, columns*len(operations))
	for _, o := range operations {
		id, err := s.ids.Next()
		if err != nil {
			return err
		}
		args = append(args, id, o.coupon, o.lock, o.step, o.actor, millis(o.at))
	}
	return insert(ctx, t, "coupon_operations (id, coupon_id, lock_id, step, actor, created_at)", columns, args, "")
}

// LockByXID reads a lock, whoever asks.
func (s *Store) LockByXID(ctx context.Context, xid string) (models.Lock, error) {
	var row *lockRow
	err := query(ctx, s.sql, "SELECT "+lockColumns+" FROM locks l LEFT JOIN lock_quotes q ON q.lock_id = l.id WHERE l.xid = ?",
		[]any{xid}, func(scan func(...any) error) (err error) {
			row, err = scanLock(scan)
			return err
		})
	if err != nil {
		return models.Lock{}, fmt.Errorf("read lock: %w", err)
	}
	if row == nil {
		return models.Lock{}, models.NotFound("lock")
	}
	return *row.lock(), nil
}

// OverdueLocks names locks that hold still though their time is over, the
// longest overdue first.
func (s *Store) OverdueLocks(ctx context.Context, now time.Time, limit int) ([]string, error) {
	var xids []string
	err := query(ctx, s.sql, "SELECT xid FROM locks WHERE state = 'locked' AND expires_at <= ? ORDER BY expires_at LIMIT ?",
		[]any{millis(now), limit}, func(scan func(...any) error) error {
			var xid string
			err := scan(&xid)
			xids = append(xids, xid)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("list overdue locks: %w", err)
	}
	return xids, nil
}
