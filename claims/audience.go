package claims

import (
	"context"
	"slices"
	"time"

	"scrip/models"
)

// storedTags are the tags that are kept of one user, asked for once at most.
type storedTags struct {
	store  store
	userID string
	by     map[string][]string // who gave them; nil until somebody asks
}

// admits judges a claim as Template.Admit does, by the tags that came with the
// request, and where those do not do by the ones that the template's owner or the
// platform has stored. Only an audience of tags costs a look-up.
func (s *storedTags) admits(ctx context.Context, def *models.Template, way models.Issue, now time.Time, tags []string) (*models.Error, error) {
	refusal := def.Admit(way, now, s.userID, tags)
	if refusal == nil || refusal.Code != models.CodeNotEligible || def.Audience.Kind != models.AudienceTags {
		return refusal, nil
	}
	if s.by == nil {
		var err error
		if s.by, err = s.store.StoredTags(ctx, s.userID); err != nil {
			return nil, err
		}
	}
	return def.Admit(way, now, s.userID, slices.Concat(s.by[def.MerchantID], s.by[""])), nil
}
