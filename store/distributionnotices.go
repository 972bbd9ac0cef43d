package store

import (
	"context"
	"fmt"
	"strconv"

	"scrip/models"
)

// tell writes what a task of a distribution did that others want to hear of, and
// tells its users what its owner has them told: those who got something.
func (d *delivery) tell(ctx context.Context, t tx) error {
	b := &claimBatch{claims: d.claims, verdicts: d.verdicts}
	if err := b.tell(ctx, d.Store, t); err != nil {
		return err
	}
	var row distributionRow
	if err := t.orm.WithContext(ctx).Where("id = ?", d.task.JobID).Take(&row).Error; err != nil {
		return fmt.Errorf("read distribution: %w", err)
	}
	if row.Notice == nil {
		return nil
	}
	content, err := row.content(t, d.task.MerchantID, d.claims)
	if err != nil {
		return err
	}
	content.CreatedAt = d.Now()
	to, err := d.recipients(row.TemplateID != nil)
	if err != nil {
		return err
	}
	_, err = d.notify(ctx, t, content, 0, to)
	return err
}

// content is the notice, the same for all of the distribution's tasks.
func (r *distributionRow) content(t tx, owner string, claims []models.Claim) (models.Content, error) {
	c := models.Content{
		MerchantID: owner, Name: "distribution:" + r.ID.String(), Kind: models.ContentDistribution, Notice: *r.Notice,
		About: map[string]models.ID{"distribution_id": r.ID},
	}
	if r.TemplateID != nil {
		c.About["template_id"] = *r.TemplateID
		if len(claims) > 0 {
			c.Facts = models.Facts{models.FactTemplateName: claims[0].Template.Name}
		}
		return c, nil
	}
	c.About["pack_id"] = *r.PackID
	var pack packRow
	if err := t.orm.Where("id = ?", *r.PackID).Take(&pack).Error; err != nil {
		return c, fmt.Errorf("read pack: %w", err)
	}
	c.Facts = models.Facts{models.FactPackName: pack.Name}
	return c, nil
}

// recipients are the users who got something, each with the facts of one coupon,
// or of a pack how many there were.
func (d *delivery) recipients(one bool) ([]models.Recipient, error) {
	var to []models.Recipient
	counts := map[string]int{}
	for i := range d.verdicts {
		c := d.verdicts[i].Coupon
		if c == nil {
			continue
		}
		if counts[c.UserID]++; counts[c.UserID] > 1 {
			continue
		}
		r := models.Recipient{UserID: c.UserID}
		if one {
			zone, err := d.zone(d.claims[i].Template.TimeZone)
			if err != nil {
				return nil, err
			}
			r.Facts = models.CouponFacts(c, zone)
		}
		to = append(to, r)
	}
	if !one {
		for i := range to {
			to[i].Facts = models.Facts{models.FactCouponCount: strconv.Itoa(counts[to[i].UserID])}
		}
	}
	return to, nil
}
