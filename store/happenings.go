package store

import (
	"context"
	"slices"
	"time"

	"scrip/models"
)

// tell writes what a batch of claims did that others want to hear of. Where
// nobody listens it looks at the verdicts, and that is all.
func (b *claimBatch) tell(ctx context.Context, s *Store, t tx) error {
	for i := range b.verdicts {
		c, template := b.verdicts[i].Coupon, b.claims[i].Template
		if c == nil || template.Stock == nil || c.IssueNo != *template.Stock {
			continue
		}
		event := models.TemplateSoldOut{
			TemplateID: template.ID, Name: template.Name, Stock: *template.Stock, SoldOutAt: models.Stamp(c.ClaimedAt),
		}
		if err := s.tell(ctx, t, models.EventTemplateSoldOut, template.MerchantID, event, c.ClaimedAt); err != nil {
			return err
		}
	}
	if !s.anyone(models.EventCouponClaimed) {
		return nil
	}
	return b.tellOfCoupons(ctx, s, t)
}

// tellOfCoupons writes an event for the coupons of each template, or several if
// they are many.
func (b *claimBatch) tellOfCoupons(ctx context.Context, s *Store, t tx) error {
	of := map[models.ID][]models.ClaimedCoupon{}
	owners := map[models.ID]string{}
	var at time.Time
	for i := range b.verdicts {
		c, owner := b.verdicts[i].Coupon, b.claims[i].Template.MerchantID
		if c == nil || !s.hears(models.EventCouponClaimed, owner) {
			continue
		}
		owners[c.TemplateID], at = owner, c.ClaimedAt
		of[c.TemplateID] = append(of[c.TemplateID], models.ClaimedCoupon{
			ID: c.ID, Code: c.Code, RuleVersion: c.RuleVersion, UserID: c.UserID, IssueNo: c.IssueNo,
			ValidFrom: models.Stamp(c.ValidFrom), ExpiresAt: models.Stamp(c.ExpiresAt), ClaimedAt: models.Stamp(c.ClaimedAt),
		})
	}
	for template, coupons := range of {
		for some := range slices.Chunk(coupons, models.MaxEventCoupons) {
			event := models.CouponsClaimed{TemplateID: template, Coupons: some}
			if err := s.tell(ctx, t, models.EventCouponClaimed, owners[template], event, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell writes which coupons the confirmed locks of a batch used.
func (b *endBatch) tell(ctx context.Context, t tx) error {
	if !b.store.anyone(models.EventCouponUsed) {
		return nil
	}
	for _, e := range b.ended {
		if e.row.state != models.LockConfirmed {
			continue
		}
		quote := &e.row.frozen.Quote
		err := b.store.tellOwners(ctx, t, models.EventCouponUsed, e.row.frozen, e.end.At, func(mine []int) any {
			event := models.CouponsUsed{
				OrderID: *e.row.orderID, UserID: *e.row.userID, Currency: quote.Currency, UsedAt: models.Stamp(e.end.At),
			}
			for _, i := range mine {
				event.Coupons = append(event.Coupons, models.UsedCoupon{
					ID: quote.Applied[i].CouponID, TemplateID: e.row.frozen.Coupons[i].TemplateID,
					Discount: quote.Applied[i].Discount, ShippingDiscount: quote.Applied[i].ShippingDiscount,
				})
			}
			return event
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tell writes what a refund gave back of the order's coupons.
func (r *refunding) tell(ctx context.Context, t tx) error {
	if !r.store.anyone(models.EventCouponRefunded) {
		return nil
	}
	return r.store.tellOwners(ctx, t, models.EventCouponRefunded, r.row.frozen, r.req.At, func(mine []int) any {
		event := models.CouponsRefunded{
			OrderID: *r.row.orderID, RefundID: r.req.RefundID, UserID: *r.row.userID,
			Currency: r.row.frozen.Quote.Currency, RefundedAt: models.Stamp(r.req.At),
		}
		for _, i := range mine {
			c := &r.row.frozen.Coupons[i]
			event.Coupons = append(event.Coupons, models.RefundedCoupon{
				ID: c.CouponID, TemplateID: c.TemplateID, Discount: r.share(c.CouponID),
				Returned: slices.Contains(r.refund.CouponsReturned, c.CouponID),
			})
		}
		return event
	})
}

// tellOfJob writes that a job is over, if it is.
func (s *Store) tellOfJob(ctx context.Context, t tx, row *jobRow) error {
	if row.FinishedAt == nil {
		return nil
	}
	at := instant(*row.FinishedAt)
	return s.tell(ctx, t, models.EventJobFinished, row.MerchantID, models.JobFinished{
		ID: row.ID, Kind: row.Kind, State: row.State, Total: row.Total, Done: row.Done, Failed: row.Failed,
		FinishedAt: models.Stamp(at),
	}, at)
}

// tellOwners tells each owner whose coupons an order applied of its own, and of
// nobody else's. about makes the event of those with the given indexes.
func (s *Store) tellOwners(
	ctx context.Context, t tx, kind models.EventType, frozen *models.Frozen, at time.Time, about func(mine []int) any,
) error {
	coupons := make([]models.Coupon, len(frozen.Coupons))
	for i, c := range frozen.Coupons {
		coupons[i] = models.Coupon{TemplateID: c.TemplateID, RuleVersion: c.RuleVersion}
	}
	of, err := s.termsOf(t.orm.WithContext(ctx), coupons)
	if err != nil {
		return err
	}
	byOwner := map[string][]int{}
	for i := range coupons {
		owner := of[keyOf(&coupons[i])].merchantID
		byOwner[owner] = append(byOwner[owner], i)
	}
	for owner, mine := range byOwner {
		if !s.hears(kind, owner) {
			continue
		}
		if err := s.tell(ctx, t, kind, owner, about(mine), at); err != nil {
			return err
		}
	}
	return nil
}
