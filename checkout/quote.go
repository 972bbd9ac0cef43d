package checkout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"scrip/discount"
	"scrip/models"
)

// maxWallet is how many coupons of one user Qualify looks at, the newest. It
// keeps one user's hoard from being everybody's wait, and is far from what a
// person has; among so many, discount.MaxWallet says which may be in the best
// combination.
const maxWallet = 10_000

// Qualify judges every coupon of the cart's user that is available or locked,
// each alone, and names the best combination. The cart must have been checked.
func (s *Service) Qualify(ctx context.Context, cart models.Cart, tags []string) (models.Qualification, error) {
	now := s.store.Now()
	wallet, err := s.store.WalletOf(ctx, cart.UserID, maxWallet, now)
	if err != nil {
		return models.Qualification{}, err
	}
	candidates := make([]discount.Candidate, 0, len(wallet))
	for i := range wallet {
		// One past its end is expired, whether or not that is noted yet.
		if wallet[i].At(now).Status == models.CouponExpired {
			continue
		}
		candidate, err := s.candidate(&wallet[i])
		if err != nil {
			return models.Qualification{}, err
		}
		candidates = append(candidates, candidate)
	}
	q, exact, err := s.engine.Qualify(discount.Order{Now: now, Cart: &cart, UserTags: tags}, candidates)
	if err != nil {
		return models.Qualification{}, fmt.Errorf("qualify: %w", err)
	}
	if !exact {
		s.log.InfoContext(ctx, "the search for the best combination was cut short", "coupons", len(candidates))
	}
	return q, nil
}

// Quote applies the named coupons, by id or code, to the cart as far as they
// let it; Rejected is in the order in which they were named. It changes
// nothing. The cart must have been checked.
func (s *Service) Quote(ctx context.Context, cart models.Cart, tags []string, ids []models.ID, codes []string) (models.Quote, error) {
	chosen, err := choose(ids, codes)
	if err != nil {
		return models.Quote{}, err
	}
	now := s.store.Now()
	var wallet []models.WalletCoupon
	if len(ids)+len(codes) > 0 {
		if wallet, err = s.store.Wallet(ctx, cart.UserID, chosen.ids, chosen.stored, now); err != nil {
			return models.Quote{}, err
		}
	}
	picks, err := chosen.find(wallet)
	if err != nil {
		return models.Quote{}, err
	}
	outcome, rejected, err := s.judge(discount.Order{Now: now, Cart: &cart, UserTags: tags}, picks)
	if err != nil {
		return models.Quote{}, err
	}
	quote := outcome.Quote
	quote.Rejected = make([]models.Rejection, len(rejected))
	for i, r := range rejected {
		quote.Rejected[i] = r.pick.reject(r.why)
	}
	return quote, nil
}

// rejected is a coupon that is not applied.
type rejected struct {
	pick *pick
	why  models.Rejection
}

// judge quotes the picked coupons, and says of which of them nothing comes, in
// their order.
func (s *Service) judge(order discount.Order, picks []pick) (*discount.Outcome, []rejected, error) {
	candidates := make([]discount.Candidate, 0, len(picks))
	for i := range picks {
		if picks[i].coupon == nil {
			continue
		}
		candidate, err := s.candidate(picks[i].coupon)
		if err != nil {
			return nil, nil, err
		}
		candidates = append(candidates, candidate)
	}
	outcome, err := s.engine.Quote(order, candidates)
	if err != nil {
		return nil, nil, fmt.Errorf("quote: %w", err)
	}
	refused := make(map[models.ID]models.Rejection, len(outcome.Quote.Rejected))
	for _, why := range outcome.Quote.Rejected {
		refused[why.CouponID] = why
	}
	var list []rejected
	for i := range picks {
		p := &picks[i]
		if p.coupon == nil {
			list = append(list, rejected{p, absent()})
		} else if why, no := refused[p.coupon.ID]; no {
			list = append(list, rejected{p, why})
		}
	}
	return outcome, list, nil
}

// decide is the store's question, inside its transaction, what a Try comes to:
// the quote to freeze, or why not. Its coupons and budgets are locked and as
// they are now.
func (s *Service) decide(try *models.Try, coupons []models.WalletCoupon) (*models.Frozen, *models.Error) {
	chosen := choice{ids: try.CouponIDs, codes: try.Codes, stored: try.Codes}
	picks, err := chosen.find(coupons)
	if err != nil {
		return nil, s.asRefusal(try, err)
	}
	outcome, rejected, err := s.judge(discount.Order{Now: try.At, Cart: &try.Cart, UserTags: try.UserTags}, picks)
	if err != nil {
		return nil, s.asRefusal(try, err)
	}
	if len(rejected) > 0 {
		return nil, refuseLock(rejected)
	}
	frozen := outcome.Freeze()
	return &frozen, nil
}

// asRefusal keeps a fault of ours from failing everybody else in the batch.
func (s *Service) asRefusal(try *models.Try, err error) *models.Error {
	var refusal *models.Error
	if errors.As(err, &refusal) {
		return refusal
	}
	s.log.Error("a lock could not be judged", "xid", try.XID, "error", err)
	return models.Refuse(models.CodeInternal, "the coupons could not be judged")
}

// refuseLock makes one refusal of all: a lock is all or nothing.
func refuseLock(list []rejected) *models.Error {
	first := list[0].why
	refusal := models.Refuse(models.CodeNotApplicable, "%s: %s", list[0].pick.field, first.Detail)
	if first.Code == models.CodeCouponNotAvailable || first.Code == models.CodeBudgetExhausted {
		refusal.Code = first.Code
	}
	for _, r := range list {
		refusal.Fields = append(refusal.Fields, models.FieldError{
			Field: r.pick.field, Code: r.why.Code, Detail: r.pick.name() + ": " + r.why.Detail,
		})
	}
	return refusal
}

// candidate is a coupon as the engine judges it.
func (s *Service) candidate(w *models.WalletCoupon) (discount.Candidate, error) {
	zone, err := s.zones.get(w.TimeZone)
	if err != nil {
		return discount.Candidate{}, fmt.Errorf("coupon %s: %w", w.ID, err)
	}
	budgets := make([]discount.Budget, len(w.Budgets))
	for i, b := range w.Budgets {
		budgets[i] = discount.Budget{ID: b.ID, Kind: b.Kind, Limited: b.Limited, Left: b.Left}
	}
	return discount.Candidate{
		CouponID: w.ID, TemplateID: w.TemplateID, MerchantID: w.MerchantID, Currency: w.Currency, Zone: zone,
		Status: w.Status, ValidFrom: w.ValidFrom, ExpiresAt: w.ExpiresAt, Rule: w.Rule, Return: w.Return, Budgets: budgets,
	}, nil
}

// zones keeps time zones by name: to load one is to read a file. There are a
// few hundred names, and templates are made with none but these.
type zones struct{ known sync.Map }

func (z *zones) get(name string) (*time.Location, error) {
	if zone, ok := z.known.Load(name); ok {
		return zone.(*time.Location), nil //nolint:forcetypeassert // stored below, and nothing else
	}
	zone, err := models.LoadZone(name)
	if err != nil {
		return nil, err
	}
	z.known.Store(name, zone)
	return zone, nil
}
