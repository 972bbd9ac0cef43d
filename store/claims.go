package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"scrip/failpoint"
	"scrip/models"
)

// CommitClaims decides a batch of claims in one transaction, in their order,
// and returns a verdict for each. The template rows are locked first, in id
// order, so everything that follows is decided on numbers that cannot move:
// no stock is overrun and no issue number skipped or given twice.
//
// An error holds for the whole batch: nothing was granted, or, where it wraps
// models.ErrUnknown, nobody knows.
func (s *Store) CommitClaims(ctx context.Context, batch []models.Claim) ([]models.Verdict, error) {
	var verdicts []models.Verdict
	trusting := true
	try := func(t tx) error {
		b := newClaimBatch(batch)
		b.trusting = trusting
		if err := b.read(ctx, s, t); err != nil {
			return err
		}
		failpoint.Reach(failpoint.ClaimLocked)
		b.decide()
		verdicts = b.verdicts
		if err := b.write(ctx, t); err != nil {
			return err
		}
		if err := b.tell(ctx, s, t); err != nil {
			return err
		}
		failpoint.Reach(failpoint.ClaimWritten)
		return nil
	}
	err := s.inTx(ctx, try)
	if s.dialect.duplicate(err) {
		// The gate was wrong about a user, or another instance was answering a
		// request with one of our idempotency keys: this time, look at all of it.
		trusting = false
		err = s.inTx(ctx, try)
	}
	if err != nil {
		return nil, err
	}
	failpoint.Reach(failpoint.ClaimCommitted)
	return verdicts, nil
}

// claimBatch is one run of CommitClaims.
type claimBatch struct {
	claims   []models.Claim
	verdicts []models.Verdict
	trusting bool // take the gate's word for whom it let in; a unique key tells if it was wrong

	counters   map[models.ID]*counters
	tombstones map[models.ID]bool
	holdings   map[holder][]models.ID
	budgets    *ledger
	answers    *answers
	codes      map[models.CodeHash]*codeCounter // nil: nobody claims by a code
}

// counters are the numbers of a template that a claim moves or hangs on.
type counters struct {
	version, claimed, epoch, tombstones int64
	granted                             int64
}

type holder struct {
	template models.ID
	user     string
}

func newClaimBatch(claims []models.Claim) *claimBatch {
	return &claimBatch{
		claims:   claims,
		verdicts: make([]models.Verdict, len(claims)),
		counters: make(map[models.ID]*counters, 1),
		holdings: make(map[holder][]models.ID, len(claims)),
	}
}

func (b *claimBatch) read(ctx context.Context, s *Store, t tx) error {
	if err := b.lockTemplates(ctx, s, t); err != nil {
		return err
	}
	// Under the lock: a request with the same key for the same template is
	// either through by now or comes after us.
	var err error
	if b.answers, err = readAnswers(ctx, t, b.keys()); err != nil {
		return err
	}
	if err := b.readTombstones(ctx, t); err != nil {
		return err
	}
	if err := b.readHoldings(ctx, s, t); err != nil {
		return err
	}
	if err := b.readCodes(ctx, t); err != nil {
		return err
	}
	return b.readBudgets(ctx, s, t)
}

func (b *claimBatch) keys() []*models.IdempotencyKey {
	keys := make([]*models.IdempotencyKey, len(b.claims))
	for i := range b.claims {
		keys[i] = b.claims[i].Key
	}
	return keys
}

func (b *claimBatch) lockTemplates(ctx context.Context, s *Store, t tx) error {
	for i := range b.claims {
		if c := &b.claims[i]; c.Refused == nil {
			b.counters[c.Template.ID] = nil
		}
	}
	if len(b.counters) == 0 {
		return nil
	}
	ids := make([]any, 0, len(b.counters))
	for id := range b.counters {
		ids = append(ids, id)
	}
	err := query(ctx, t, "SELECT id, version, claimed, epoch, tombstones FROM templates WHERE id IN ("+marks(len(ids))+
		") ORDER BY id"+s.dialect.forUpdate, ids,
		func(scan func(...any) error) error {
			var id models.ID
			row := &counters{}
			if err := scan(&id, &row.version, &row.claimed, &row.epoch, &row.tombstones); err != nil {
				return err
			}
			b.counters[id] = row
			return nil
		})
	if err != nil {
		return fmt.Errorf("lock templates: %w", err)
	}
	return nil
}

// readTombstones asks for the batch's claims that were settled as lost, but
// only of templates that have any: hardly ever.
func (b *claimBatch) readTombstones(ctx context.Context, t tx) error {
	var ids []any
	for i := range b.claims {
		if row := b.counters[b.claims[i].Template.ID]; row != nil && row.tombstones > 0 {
			ids = append(ids, b.claims[i].ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	b.tombstones = map[models.ID]bool{}
	err := query(ctx, t, "SELECT claim_id FROM claim_tombstones WHERE claim_id IN ("+marks(len(ids))+")", ids,
		func(scan func(...any) error) error {
			var id models.ID
			err := scan(&id)
			b.tombstones[id] = true
			return err
		})
	if err != nil {
		return fmt.Errorf("read tombstones: %w", err)
	}
	return nil
}

// readHoldings finds what the batch's users have of its templates.
func (b *claimBatch) readHoldings(ctx context.Context, s *Store, t tx) error {
	args := make([]any, 0, 2*len(b.claims))
	for i := range b.claims {
		c := &b.claims[i]
		vouched := b.trusting && c.New && c.Template.PerUserLimit == 1
		if c.Refused == nil && !vouched {
			args = append(args, c.UserID, c.Template.ID)
		}
	}
	if len(args) == 0 {
		return nil
	}
	pairs := strings.Repeat(", (?, ?)", len(args)/2)[2:]
	if s.dialect.name == "sqlite" {
		pairs = "VALUES " + pairs
	}
	err := query(ctx, t, "SELECT id, user_id, template_id FROM coupons WHERE (user_id, template_id) IN ("+pairs+")", args,
		func(scan func(...any) error) error {
			var id models.ID
			var who holder
			if err := scan(&id, &who.user, &who.template); err != nil {
				return err
			}
			b.holdings[who] = append(b.holdings[who], id)
			return nil
		})
	if err != nil {
		return fmt.Errorf("read the users' coupons: %w", err)
	}
	return nil
}

// readBudgets finds what is used of the templates' budgets, where they have any.
// Nothing is locked: a claim takes nothing from a budget, and comes before or
// after the order that uses up the last of it.
func (b *claimBatch) readBudgets(ctx context.Context, s *Store, t tx) error {
	var ids []models.ID
	for i := range b.claims {
		if c := &b.claims[i]; c.Refused == nil {
			ids = append(ids, c.Template.BudgetIDs...)
		}
	}
	b.budgets = &ledger{}
	if len(ids) == 0 {
		return nil
	}
	var err error
	if b.budgets, err = s.openLedger(ctx, t, ids, false); err != nil {
		return err
	}
	var places []place
	for i := range b.claims {
		c := &b.claims[i]
		if c.Refused != nil {
			continue
		}
		for _, id := range c.Template.BudgetIDs {
			if budget := b.budgets.budgets[id]; budget != nil {
				places = append(places, place{budget: id, period: budget.start(c.At)})
			}
		}
	}
	return b.budgets.read(ctx, t, places)
}

// exhausted reports whether a limited budget of the claim's template is used up.
func (b *claimBatch) exhausted(c *models.Claim) bool {
	return slices.ContainsFunc(c.Template.BudgetIDs, func(id models.ID) bool { return b.budgets.exhausted(id, c.At) })
}

// decide gives every claim its verdict, in the order of arrival. It is pure.
func (b *claimBatch) decide() {
	for i := 0; i < len(b.claims); i++ {
		c := &b.claims[i]
		if c.Pack != nil {
			end := i + 1
			for end < len(b.claims) && b.claims[end].Pack == c.Pack {
				end++
			}
			b.decidePack(b.claims[i:end], b.verdicts[i:end])
			i = end - 1
			continue
		}
		if before := b.answers.before(c.Key); before != nil {
			b.verdicts[i].Replay = before
			continue
		}
		b.verdicts[i] = b.judge(c)
		b.keep(c, b.verdicts[i])
	}
}

func (b *claimBatch) judge(c *models.Claim) models.Verdict {
	if c.Refused != nil {
		return models.Verdict{Refused: c.Refused}
	}
	t, row := c.Template, b.counters[c.Template.ID]
	who := holder{t.ID, c.UserID}
	switch {
	case row == nil:
		return models.Verdict{Refused: models.NotFound("template")}
	case b.tombstones[c.ID]:
		return models.Verdict{Void: true}
	case row.version != t.Version, c.By != nil && b.codes[*c.By].usedUp():
		return models.Verdict{Stale: true}
	}
	if refusal := t.Limit(b.holdings[who]); refusal != nil {
		return models.Verdict{Refused: refusal}
	}
	if t.Stock != nil && row.claimed+row.granted >= *t.Stock {
		return models.Verdict{Refused: models.ErrSoldOut()}
	}
	if b.exhausted(c) {
		return models.Verdict{Refused: models.Refuse(models.CodeBudgetExhausted, "a budget of this template is used up")}
	}
	row.granted++
	if c.By != nil {
		b.codes[*c.By].coupons = append(b.codes[*c.By].coupons, c.ID)
	}
	b.holdings[who] = append(b.holdings[who], c.ID)
	return models.Verdict{Epoch: row.epoch, Coupon: &models.Coupon{
		ID: c.ID, Code: c.Code, TemplateID: t.ID, RuleVersion: t.RuleVersion, UserID: c.UserID,
		UserSeq: int64(len(b.holdings[who])), IssueNo: row.claimed + row.granted, Status: models.CouponAvailable,
		ValidFrom: c.ValidFrom, ExpiresAt: c.ExpiresAt, ClaimedAt: c.At,
	}}
}

// keep notes the answer for retries with the same key.
func (b *claimBatch) keep(c *models.Claim, v models.Verdict) {
	switch {
	case v.Stale || v.Void: // it is judged again
	case v.Coupon != nil:
		b.answers.keepGranted(c.Key, v.Coupon, c.At)
	default:
		b.answers.keep(c.Key, c.At, nil, v.Refused)
	}
}

func (b *claimBatch) write(ctx context.Context, t tx) error {
	if err := b.insertCoupons(ctx, t); err != nil {
		return fmt.Errorf("insert coupons: %w", err)
	}
	if err := b.answers.write(ctx, t); err != nil {
		return err
	}
	if err := b.insertReminders(ctx, t); err != nil {
		return err
	}
	if err := b.insertPacks(ctx, t); err != nil {
		return err
	}
	if err := b.useCodes(ctx, t); err != nil {
		return fmt.Errorf("use claim codes: %w", err)
	}
	return b.raiseClaimed(ctx, t)
}

// insertCoupons writes the numbers into the statement itself. As arguments each
// would be put on the heap, converted by reflection, and then written there by the
// driver all the same.
func (b *claimBatch) insertCoupons(ctx context.Context, t tx) error {
	const head = `INSERT INTO coupons (id, template_id, rule_version, user_seq, issue_no,
		valid_from, expires_at, claimed_at, code, user_id, status) VALUES `
	const row = 150 // bytes, and never much more
	text := append(make([]byte, 0, len(head)+row*len(b.claims)), head...)
	args := make([]any, 0, 2*len(b.claims))
	for i := range b.verdicts {
		c := b.verdicts[i].Coupon
		if c == nil {
			continue
		}
		if len(args) > 0 {
			text = append(text, ',')
		}
		text = appendNumbers(text, int64(c.ID), int64(c.TemplateID), int64(c.RuleVersion), c.UserSeq, c.IssueNo,
			millis(c.ValidFrom), millis(c.ExpiresAt), millis(c.ClaimedAt))
		text = append(text, "?,?,'available')"...)
		args = append(args, c.Code, c.UserID)
	}
	if len(args) == 0 {
		return nil
	}
	_, err := t.sql.ExecContext(ctx, string(text), args...)
	return err
}

// appendNumbers begins a row of VALUES.
func appendNumbers(text []byte, numbers ...int64) []byte {
	text = append(text, '(')
	for _, n := range numbers {
		text = append(strconv.AppendInt(text, n, 10), ',')
	}
	return text
}

// raiseClaimed moves the templates' counters, guarded by their old values: should
// a row not have been locked after all, nothing is granted.
func (b *claimBatch) raiseClaimed(ctx context.Context, t tx) error {
	ids := make([]models.ID, 0, len(b.counters))
	for id, row := range b.counters {
		if row != nil && row.granted > 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.SortFunc(ids, cmp.Compare[models.ID])
	after, args := cases("id", ids, func(id models.ID) int64 { return b.counters[id].claimed + b.counters[id].granted })
	before, more := cases("id", ids, func(id models.ID) int64 { return b.counters[id].claimed })
	args = append(append(args, anys(ids)...), more...)
	err := update(ctx, t, len(ids), "UPDATE templates SET claimed = "+after+
		" WHERE id IN ("+marks(len(ids))+") AND claimed = "+before, args...)
	if err != nil {
		return fmt.Errorf("raise claimed: %w", err)
	}
	return nil
}

// Holdings returns the ids of the coupons that a user has of a template, oldest
// first.
func (s *Store) Holdings(ctx context.Context, template models.ID, userID string) ([]models.ID, error) {
	have, err := s.HoldingsOf(ctx, userID, []models.ID{template})
	return have[template], err
}

// HoldingsOf returns, for each of the templates of which a user has coupons,
// their ids, oldest first.
func (s *Store) HoldingsOf(ctx context.Context, userID string, templates []models.ID) (map[models.ID][]models.ID, error) {
	var rows []couponRow
	err := s.prompt.WithContext(ctx).Select("id", "template_id").
		Where("user_id = ? AND template_id IN ?", userID, templates).
		Order("template_id, user_seq").Find(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("read a user's coupons: %w", err)
	}
	have := make(map[models.ID][]models.ID, len(rows))
	for _, row := range rows {
		have[row.TemplateID] = append(have[row.TemplateID], row.ID)
	}
	return have, nil
}
