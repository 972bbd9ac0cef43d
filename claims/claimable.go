package claims

import (
	"context"

	"scrip/models"
)

// claimableChunk is how many active templates are looked at in one go.
const claimableChunk = 200

// Claimable lists the templates that the user could claim from at this moment,
// newest first: active, in their window, not sold out, open to this user, and
// not yet claimed as often as one may. actor restricts it to a merchant's own.
func (s *Service) Claimable(ctx context.Context, actor models.Principal, userID string, tags []string, page models.Page) ([]models.Template, error) {
	list := actor
	if actor.Role != models.RoleMerchant {
		list = models.Principal{Role: models.RolePlatform}
	}
	out := []models.Template{}
	stored := &storedTags{store: s.store, userID: userID}
	for before := page.Before; len(out) < page.Limit; {
		chunk, err := s.store.Templates(ctx, list, models.TemplateFilter{State: models.TemplateActive},
			models.Page{Limit: claimableChunk, Before: before})
		if err != nil {
			return nil, err
		}
		fit, err := s.fitting(ctx, chunk, stored, tags)
		if err != nil {
			return nil, err
		}
		out = append(out, fit[:min(len(fit), page.Limit-len(out))]...)
		if len(chunk) < claimableChunk {
			break
		}
		before = chunk[len(chunk)-1].ID
	}
	return out, nil
}

func (s *Service) fitting(ctx context.Context, chunk []models.Template, user *storedTags, tags []string) ([]models.Template, error) {
	now := s.store.Now()
	var open []models.Template
	var ids []models.ID
	for i := range chunk {
		t := &chunk[i]
		refusal, err := user.admits(ctx, t, models.IssueClaim, now, tags)
		if err != nil {
			return nil, err
		}
		if refusal == nil && !t.SoldOut() {
			open = append(open, *t)
			ids = append(ids, t.ID)
		}
	}
	if len(open) == 0 {
		return nil, nil
	}
	have, err := s.store.HoldingsOf(ctx, user.userID, ids)
	if err != nil {
		return nil, err
	}
	fit := open[:0]
	for i := range open {
		if open[i].Limit(have[open[i].ID]) == nil {
			fit = append(fit, open[i])
		}
	}
	return fit, nil
}
