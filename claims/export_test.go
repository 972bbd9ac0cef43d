package claims

import (
	"time"

	"scrip/models"
)

// BelievedUntil is when the definition of a template has to be read anew.
func (s *Service) BelievedUntil(template models.ID) time.Time {
	entry, _ := s.definitions.cache.GetEntryQuietly(template)
	return entry.RefreshableAt()
}
