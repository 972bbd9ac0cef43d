package store

import (
	"context"
	"fmt"

	"scrip/failpoint"
	"scrip/models"
)

// NextEpoch starts a new epoch of a template, if its epoch is still the given
// one, and returns what the gate has to be loaded with for it: the numbers as
// they stood at that moment. Every claim that commits later sees the new epoch.
// claimed is the issue number up to which holders belong to the load.
func (s *Store) NextEpoch(ctx context.Context, id models.ID, from int64) (load models.GateLoad, claimed int64, ok bool, err error) {
	err = s.inTx(ctx, func(t tx) error {
		var row templateRow
		if err := locking(t).Where("id = ?", id).Take(&row).Error; err != nil {
			return found(err, "template")
		}
		if ok = row.Epoch == from; !ok {
			return nil
		}
		load = models.GateLoad{
			TemplateID: id, Epoch: row.Epoch + 1, StockEdits: row.StockEdits,
			Limit: row.PerUserLimit, Stock: models.GateUnlimited, Left: models.GateUnlimited,
		}
		if row.Stock != nil {
			load.Stock, load.Left = *row.Stock, *row.Stock-row.Claimed
		}
		claimed = row.Claimed
		return t.orm.Model(&templateRow{}).Where("id = ? AND epoch = ?", id, from).Update("epoch", load.Epoch).Error
	})
	return load, claimed, ok, err
}

// Counts reads what the gate is compared with, of those of the templates that
// there are.
func (s *Store) Counts(ctx context.Context, templates []models.ID) (map[models.ID]models.TemplateCount, error) {
	var rows []templateRow
	err := s.prompt.WithContext(ctx).Select("id", "epoch", "stock", "claimed").Where("id IN ?", templates).Find(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("read the templates' counters: %w", err)
	}
	counts := make(map[models.ID]models.TemplateCount, len(rows))
	for i := range rows {
		counts[rows[i].ID] = models.TemplateCount{Epoch: rows[i].Epoch, Stock: rows[i].Stock, Claimed: rows[i].Claimed}
	}
	return counts, nil
}

// Holders reads who holds the coupons numbered after…upto of a template, at
// most limit of them, and returns the last number read.
func (s *Store) Holders(ctx context.Context, id models.ID, after, upto int64, limit int) (holders []models.Holder, last int64, err error) {
	var rows []couponRow
	err = s.orm.WithContext(ctx).Select("issue_no", "user_id").
		Where("template_id = ? AND issue_no > ? AND issue_no <= ?", id, after, upto).
		Order("issue_no").Limit(limit).Find(&rows).Error
	if err != nil {
		return nil, 0, fmt.Errorf("read holders: %w", err)
	}
	last = after
	counts := make(map[string]int64, len(rows))
	for _, row := range rows {
		counts[row.UserID]++
		last = row.IssueNo
	}
	for user, n := range counts {
		holders = append(holders, models.Holder{UserID: user, Count: n})
	}
	return holders, last, nil
}

// SettleClaims finds out for ever what became of claims whose fate nobody knows:
// granted says which of them have a coupon. The others get a tombstone, so that
// they are refused should they still come. Both look-up and tombstone stand
// under the template's lock, which a commit in flight holds to its end: a plain
// read could miss a coupon whose commit is on its way.
func (s *Store) SettleClaims(ctx context.Context, template models.ID, claims []models.ID) (granted map[models.ID]bool, err error) {
	err = s.inTx(ctx, func(t tx) error {
		granted = make(map[models.ID]bool, len(claims))
		var row templateRow
		if err := locking(t).Select("id").Where("id = ?", template).Take(&row).Error; err != nil {
			return found(err, "template")
		}
		var there []models.ID
		if err := t.orm.Model(&couponRow{}).Where("id IN ?", claims).Pluck("id", &there).Error; err != nil {
			return fmt.Errorf("look for the claims' coupons: %w", err)
		}
		for _, id := range there {
			granted[id] = true
		}
		if err := s.bury(ctx, t, template, claims, granted); err != nil {
			return err
		}
		failpoint.Reach(failpoint.SettleBuried)
		return nil
	})
	return granted, err
}

// bury writes a tombstone for each claim that has no coupon.
func (s *Store) bury(ctx context.Context, t tx, template models.ID, claims []models.ID, granted map[models.ID]bool) error {
	for _, id := range claims {
		if granted[id] {
			continue
		}
		const insert = "INSERT INTO claim_tombstones (claim_id, template_id, created_at) VALUES (?, ?, ?)"
		done, err := t.sql.ExecContext(ctx, insert+s.dialect.keep("claim_id"), id, template, millis(s.Now()))
		if err != nil {
			return fmt.Errorf("write tombstone: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			continue // settled before
		}
		if _, err := t.sql.ExecContext(ctx, "UPDATE templates SET tombstones = tombstones + 1 WHERE id = ?", template); err != nil {
			return fmt.Errorf("count tombstone: %w", err)
		}
	}
	return nil
}
