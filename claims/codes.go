package claims

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"scrip/models"
)

// Codes is what claims by codes need beside.
type Codes struct {
	Hash    func(typed string) models.CodeHash
	Guesses Guesses
}

// Collectors are the metrics of claims by codes.
func (s *Service) Collectors() []prometheus.Collector { return s.guard.collectors() }

// answerAfter is when a wrong code is answered, whatever was wrong with it: the
// looking up takes much less, so that how long it took tells nothing.
const answerAfter = 50 * time.Millisecond

// wrongCodeError says that a code cannot serve a caller, and to the metrics why.
type wrongCodeError struct{ reason string }

func (w *wrongCodeError) Error() string { return "a code that is " + w.reason }

// ClaimCode gives the user one coupon of the template that the code belongs to.
// It returns as Claim does. A code that cannot serve this caller is refused with
// one and the same answer, code_invalid, at one and the same time; whoever had
// too many of those, with rate_limited. Who has claimed by the code already is
// told so, with the coupons, for ever.
func (s *Service) ClaimCode(ctx context.Context, op models.Op, ask models.CodeClaim) (models.Coupon, error) {
	began := time.Now()
	if err := s.store.AnsweredBefore(ctx, op.Key, nil); err != nil {
		return models.Coupon{}, err
	}
	coupon, err := s.claimInTurn(ctx, op, &ask)
	var wrong *wrongCodeError
	if !errors.As(err, &wrong) {
		return coupon, err
	}
	refusal := models.Refuse(models.CodeInvalidCode, "this code is not valid")
	if err := pause(ctx, time.Until(began.Add(answerAfter))); err != nil {
		return models.Coupon{}, err
	}
	return models.Coupon{}, s.store.RememberAnswer(ctx, op, nil, refusal)
}

func (s *Service) claimInTurn(ctx context.Context, op models.Op, ask *models.CodeClaim) (models.Coupon, error) {
	leave, err := s.guard.enter(ctx, ask.UserID)
	if err != nil {
		return models.Coupon{}, err
	}
	defer leave()
	if tooMany := s.guard.pass(ctx, ask, false); tooMany != nil {
		return models.Coupon{}, tooMany
	}
	hash := s.cfg.Codes.Hash(ask.Code)
	coupon, err := s.claim(ctx, &wish{
		op: op, userID: ask.UserID, tags: ask.Tags, who: storedTags{store: s.store, userID: ask.UserID}, by: &hash,
	})
	var wrong *wrongCodeError
	if !errors.As(err, &wrong) {
		return coupon, err
	}
	s.guard.wrong.WithLabelValues(wrong.reason).Inc()
	if tooMany := s.guard.pass(ctx, ask, true); tooMany != nil {
		return models.Coupon{}, tooMany
	}
	return models.Coupon{}, err
}

// byCode finds the template that a code belongs to, for a user whom it can
// serve; else the error is a *wrongCodeError, or the refusal of a user who has claimed
// by it.
func (s *Service) byCode(ctx context.Context, w *wish) (*models.Template, error) {
	found, err := s.store.LookUpCode(ctx, *w.by, w.userID)
	if err != nil {
		return nil, err
	}
	if found.TemplateID == 0 {
		return nil, &wrongCodeError{"unknown"}
	}
	def, err := s.definitions.get(ctx, found.TemplateID)
	if err != nil {
		return nil, err
	}
	if w.op.Actor.Role == models.RoleMerchant && !w.op.Actor.Owns(def.MerchantID) {
		return nil, &wrongCodeError{"foreign"}
	}
	if len(found.Own) > 0 {
		had, err := s.hadBy(ctx, w, def, &found)
		if err != nil {
			return nil, err
		}
		if had != nil {
			return nil, s.store.RememberAnswer(ctx, w.op, nil, had)
		}
	}
	if found.Used >= found.UsageLimit {
		return nil, &wrongCodeError{"used"}
	}
	refusal, err := w.who.admits(ctx, def, w.way(), s.store.Now(), w.tags)
	switch {
	case err != nil:
		return nil, err
	case refusal == nil:
	case refusal.Code == models.CodeEnded:
		return nil, &wrongCodeError{"expired"}
	case refusal.Code == models.CodeNotEligible:
		return nil, &wrongCodeError{"foreign"}
	}
	return def, nil
}

// hadBy is the refusal of a user who has got coupons by the code already, or nil
// where there may be another: a shared code serves up to the template's limit.
func (s *Service) hadBy(ctx context.Context, w *wish, def *models.Template, found *models.CodeLookup) (*models.Error, error) {
	have, err := s.store.Holdings(ctx, def.ID, w.userID)
	if err != nil {
		return nil, err
	}
	refusal := def.Limit(have)
	if refusal == nil && found.Used >= found.UsageLimit {
		refusal = models.Refuse(models.CodeAlreadyClaimed, "this user has claimed by this code already")
		refusal.CouponIDs = found.Own
	}
	return refusal, nil
}
