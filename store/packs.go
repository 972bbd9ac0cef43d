package store

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"scrip/models"
)

type packRow struct {
	ID         models.ID
	MerchantID string
	Name       string
	CreatedAt  int64 `gorm:"autoCreateTime:false"`

	Items []packItemRow `gorm:"-"` // in a table of their own
}

func (*packRow) TableName() string { return "packs" }

type packItemRow struct {
	PackID     models.ID
	Position   int
	TemplateID models.ID
	Quantity   int64
}

func (*packItemRow) TableName() string { return "pack_items" }

func (r *packRow) pack() (models.Pack, error) {
	p := models.Pack{ID: r.ID, MerchantID: r.MerchantID, Name: r.Name, CreatedAt: instant(r.CreatedAt)}
	for _, item := range r.Items {
		p.Items = append(p.Items, models.PackItem{TemplateID: item.TemplateID, Quantity: item.Quantity})
	}
	return p, nil
}

// CreatePack stores a pack. A merchant's pack is of the merchant's own templates;
// one of the platform may be of anybody's.
func (s *Store) CreatePack(ctx context.Context, op models.Op, pack models.Pack) (models.Pack, error) {
	return change(ctx, s, op, func(t tx) (models.Pack, note, error) {
		if err := checkItems(t, &pack); err != nil {
			return models.Pack{}, note{}, err
		}
		id, err := s.ids.Next()
		if err != nil {
			return models.Pack{}, note{}, err
		}
		row := packRow{ID: id, MerchantID: pack.MerchantID, Name: pack.Name, CreatedAt: millis(op.At)}
		for i, item := range pack.Items {
			row.Items = append(row.Items, packItemRow{id, i, item.TemplateID, item.Quantity})
		}
		if err := t.orm.Create(&row).Error; err != nil {
			return models.Pack{}, note{}, fmt.Errorf("create pack: %w", err)
		}
		if err := t.orm.Create(&row.Items).Error; err != nil {
			return models.Pack{}, note{}, fmt.Errorf("create the pack's items: %w", err)
		}
		made, err := row.pack()
		return made, note{
			action: "pack.create", resource: "pack", id: id, merchantID: row.MerchantID,
			detail: map[string]any{"name": row.Name, "items": pack.Items},
		}, err
	})
}

// checkItems sees that a pack's templates are there, and can be had so often.
func checkItems(t tx, pack *models.Pack) error {
	ids := make([]models.ID, len(pack.Items))
	for i, item := range pack.Items {
		ids[i] = item.TemplateID
	}
	var templates []templateRow
	if err := t.orm.Where("id IN ?", ids).Find(&templates).Error; err != nil {
		return fmt.Errorf("read the pack's templates: %w", err)
	}
	f := models.NewFaults()
	for i, item := range pack.Items {
		at := slices.IndexFunc(templates, func(r templateRow) bool { return r.ID == item.TemplateID })
		switch {
		case at < 0, pack.MerchantID != "" && templates[at].MerchantID != pack.MerchantID:
			f.At("items", i).Add("template_id", models.CodeUnknownRef, "there is no such template of this pack's owner")
		case item.Quantity > templates[at].PerUserLimit:
			f.At("items", i).Add("quantity", models.CodeOutOfRange, "must be at most the template's per_user_limit, %d", templates[at].PerUserLimit)
		}
	}
	return f.Err()
}

// Pack reads one pack.
func (s *Store) Pack(ctx context.Context, actor models.Principal, id models.ID) (models.Pack, error) {
	var row packRow
	err := s.orm.WithContext(ctx).Where("id = ?", id).Take(&row).Error
	if err == nil && !actor.Owns(row.MerchantID) {
		err = gorm.ErrRecordNotFound
	}
	if err != nil {
		return models.Pack{}, found(err, "pack")
	}
	rows := []packRow{row}
	if err := addItems(s.orm.WithContext(ctx), rows); err != nil {
		return models.Pack{}, err
	}
	return rows[0].pack()
}

// Packs lists packs, newest first.
func (s *Store) Packs(ctx context.Context, actor models.Principal, page models.Page) ([]models.Pack, error) {
	var rows []packRow
	if err := paged(owned(s.orm.WithContext(ctx), actor), "id", page).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list packs: %w", err)
	}
	if err := addItems(s.orm.WithContext(ctx), rows); err != nil {
		return nil, err
	}
	return convert(rows, (*packRow).pack)
}

// addItems fills in the packs' items.
func addItems(orm *gorm.DB, packs []packRow) error {
	ids := make([]models.ID, len(packs))
	at := make(map[models.ID]int, len(packs))
	for i := range packs {
		ids[i], at[packs[i].ID] = packs[i].ID, i
	}
	if len(ids) == 0 {
		return nil
	}
	var items []packItemRow
	if err := orm.Where("pack_id IN ?", ids).Order("pack_id, position").Find(&items).Error; err != nil {
		return fmt.Errorf("read the packs' items: %w", err)
	}
	for _, item := range items {
		pack := &packs[at[item.PackID]]
		pack.Items = append(pack.Items, item)
	}
	return nil
}

// decidePack gives the claims of one pack their verdicts: all of them a coupon,
// or none.
func (b *claimBatch) decidePack(pack []models.Claim, verdicts []models.Verdict) {
	first := &pack[0]
	if before := b.answers.before(first.Key); before != nil {
		fill(verdicts, models.Verdict{Replay: before})
		return
	}
	for i := range pack {
		if verdicts[i] = b.judge(&pack[i]); verdicts[i].Coupon != nil {
			continue
		}
		refused := verdicts[i]
		b.takeBack(verdicts[:i])
		if refused.Refused != nil && len(refused.Refused.CouponIDs) > 0 {
			refused.Refused = b.packLimit(pack)
		}
		fill(verdicts, refused)
		break
	}
	b.keepPack(first, verdicts)
}

func fill(verdicts []models.Verdict, with models.Verdict) {
	for i := range verdicts {
		verdicts[i] = with
	}
}

// takeBack undoes the judging of claims that were granted last of all.
func (b *claimBatch) takeBack(granted []models.Verdict) {
	for i := len(granted) - 1; i >= 0; i-- {
		c := granted[i].Coupon
		b.counters[c.TemplateID].granted--
		who := holder{c.TemplateID, c.UserID}
		b.holdings[who] = b.holdings[who][:len(b.holdings[who])-1]
	}
}

// packLimit is the refusal of a user who may not have all of a pack, with what
// the user has of every template that stands in the way.
func (b *claimBatch) packLimit(pack []models.Claim) *models.Error {
	quantity := map[models.ID]int64{}
	for i := range pack {
		quantity[pack[i].Template.ID]++
	}
	var refusal *models.Error
	for i := range pack {
		def := pack[i].Template
		more := def.LimitWith(b.holdings[holder{def.ID, pack[i].UserID}], quantity[def.ID])
		delete(quantity, def.ID)
		refusal = models.MergeLimits(refusal, more)
	}
	return refusal
}

// keepPack notes the answer for retries with the same key.
func (b *claimBatch) keepPack(first *models.Claim, verdicts []models.Verdict) {
	switch v := verdicts[0]; {
	case v.Stale || v.Void: // it is judged again
	case v.Coupon == nil:
		b.answers.keep(first.Key, first.At, nil, v.Refused)
	default:
		coupons := make([]models.Coupon, len(verdicts))
		for i := range verdicts {
			coupons[i] = *verdicts[i].Coupon
		}
		b.answers.keep(first.Key, first.At, coupons, nil)
	}
}

// insertPacks notes which coupons came with which pack.
func (b *claimBatch) insertPacks(ctx context.Context, t tx) error {
	var claims, coupons []any
	var last *models.PackClaim
	for i := range b.claims {
		c := &b.claims[i]
		if c.Pack == nil || b.verdicts[i].Coupon == nil {
			continue
		}
		if c.Pack != last {
			last = c.Pack
			claims = append(claims, last.ID, last.PackID, c.UserID, millis(c.At))
		}
		coupons = append(coupons, last.ID, c.ID)
	}
	if err := insert(ctx, t, "pack_claims (id, pack_id, user_id, claimed_at)", 4, claims, ""); err != nil {
		return err
	}
	return insert(ctx, t, "pack_coupons (pack_claim_id, coupon_id)", 2, coupons, "")
}

func packInvariants() []invariant {
	return []invariant{
		{
			"who got a pack got all of it",
			`SELECT p.id, i.template_id, i.quantity, COUNT(c.id) AS coupons FROM pack_claims p
				JOIN pack_items i ON i.pack_id = p.pack_id
				LEFT JOIN pack_coupons pc ON pc.pack_claim_id = p.id
				LEFT JOIN coupons c ON c.id = pc.coupon_id AND c.template_id = i.template_id AND c.user_id = p.user_id
				GROUP BY p.id, i.template_id, i.quantity HAVING COUNT(c.id) <> i.quantity`,
		},
		{
			"no coupon came with two packs",
			`SELECT coupon_id, COUNT(*) AS packs FROM pack_coupons GROUP BY coupon_id HAVING COUNT(*) > 1`,
		},
	}
}
