package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"scrip/models"
)

// LookUpCode finds a claim code, and the coupons that the user has got by it. A
// code that does not exist takes the same two statements as one that does.
func (s *Store) LookUpCode(ctx context.Context, hash models.CodeHash, userID string) (models.CodeLookup, error) {
	var found models.CodeLookup
	err := s.sql.row(ctx, `SELECT b.template_id, c.used, c.usage_limit FROM codes c
		JOIN code_batches b ON b.id = c.batch_id WHERE c.hash = ?`, []any{hash[:]},
		&found.TemplateID, &found.Used, &found.UsageLimit)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return models.CodeLookup{}, fmt.Errorf("look up a claim code: %w", s.dialect.explain(err))
	}
	err = query(ctx, s.sql, `SELECT k.id FROM coupons k JOIN code_uses u ON u.coupon_id = k.id AND u.hash = ?
		WHERE k.user_id = ? AND k.template_id = ? ORDER BY k.user_seq`, []any{hash[:], userID, found.TemplateID},
		func(scan func(...any) error) error {
			var id models.ID
			err := scan(&id)
			found.Own = append(found.Own, id)
			return err
		})
	if err != nil {
		return models.CodeLookup{}, fmt.Errorf("look up what a user got by a claim code: %w", s.dialect.explain(err))
	}
	return found, nil
}

// codeCounter is a claim code as a batch of claims finds it, and what the batch
// gives by it. Its template's row is locked, so nobody else moves it.
type codeCounter struct {
	batch       models.ID
	used, limit int64
	coupons     []models.ID
}

// usedUp reports whether nothing can be claimed by the code any more; by one
// that does not exist nothing ever could.
func (c *codeCounter) usedUp() bool { return c == nil || c.used+int64(len(c.coupons)) >= c.limit }

// readCodes finds the codes that are claimed by, if any are.
func (b *claimBatch) readCodes(ctx context.Context, t tx) error {
	var hashes []any
	for i := range b.claims {
		if c := &b.claims[i]; c.By != nil && c.Refused == nil {
			hashes = append(hashes, c.By[:])
		}
	}
	if len(hashes) == 0 {
		return nil
	}
	b.codes = make(map[models.CodeHash]*codeCounter, len(hashes))
	err := query(ctx, t, "SELECT hash, batch_id, used, usage_limit FROM codes WHERE hash IN ("+marks(len(hashes))+")", hashes,
		func(scan func(...any) error) error {
			var hash []byte
			code := &codeCounter{}
			if err := scan(&hash, &code.batch, &code.used, &code.limit); err != nil {
				return err
			}
			b.codes[models.CodeHash(hash)] = code
			return nil
		})
	if err != nil {
		return fmt.Errorf("read claim codes: %w", err)
	}
	return nil
}

// useCodes counts what was given by codes, and notes by which code each coupon
// was. Every count is guarded by its old value, as those of templates are.
func (b *claimBatch) useCodes(ctx context.Context, t tx) error {
	var uses []any
	batches := map[models.ID]int64{}
	for _, hash := range slices.SortedFunc(maps.Keys(b.codes), func(x, y models.CodeHash) int { return bytes.Compare(x[:], y[:]) }) {
		code := b.codes[hash]
		if len(code.coupons) == 0 {
			continue
		}
		for _, coupon := range code.coupons {
			uses = append(uses, hash[:], coupon)
		}
		batches[code.batch] += int64(len(code.coupons))
	}
	if len(uses) == 0 {
		return nil
	}
	if err := b.raiseCodes(ctx, t); err != nil {
		return err
	}
	for _, batch := range slices.SortedFunc(maps.Keys(batches), cmp.Compare[models.ID]) {
		if err := update(ctx, t, 1, "UPDATE code_batches SET used = used + ? WHERE id = ?", batches[batch], batch); err != nil {
			return err
		}
	}
	return insert(ctx, t, "code_uses (hash, coupon_id)", 2, uses, "")
}

// raiseCodes moves the codes' counters: those of which one coupon was had, which
// single-use codes are, in one statement.
func (b *claimBatch) raiseCodes(ctx context.Context, t tx) error {
	var once []any
	for hash, code := range b.codes {
		switch len(code.coupons) {
		case 0:
		case 1:
			once = append(once, hash[:])
		default:
			err := update(ctx, t, 1, "UPDATE codes SET used = ? WHERE hash = ? AND used = ?",
				code.used+int64(len(code.coupons)), hash[:], code.used)
			if err != nil {
				return err
			}
		}
	}
	if len(once) == 0 {
		return nil
	}
	return update(ctx, t, len(once), "UPDATE codes SET used = used + 1 WHERE used < usage_limit AND hash IN ("+marks(len(once))+")", once...)
}
