package claims

import (
	"cmp"
	"context"
	"slices"

	"github.com/maypok86/otter/v2"

	"scrip/models"
)

// maxPacks is how many packs one transaction decides. It holds the rows of all
// their templates, which claims of each want, too.
const maxPacks = 32

// packAnswer is what became of a pack.
type packAnswer struct {
	answer

	coupons []models.Coupon
}

// ClaimPack gives the user all coupons of a pack, in the order of its items, or
// none. It returns once they are committed, and fails as Claim does.
func (s *Service) ClaimPack(ctx context.Context, op models.Op, id models.ID, userID string, tags []string) ([]models.Coupon, error) {
	direct := false
	for try := range maxTries {
		pack, defs, err := s.packDefinitions(ctx, op.Actor, id)
		if err != nil {
			return nil, s.store.AnsweredBefore(ctx, op.Key, err)
		}
		got, err := s.attemptPack(ctx, op, &pack, defs, userID, tags, direct)
		switch {
		case err != nil:
			return nil, s.explain(err)
		case got.cold:
			direct = !s.rebuildAll(ctx, defs) || try >= maxLoads
		case got.Stale:
			for _, def := range defs {
				s.definitions.forget(def.ID)
			}
		case got.Void:
			continue
		case got.Replay != nil:
			return nil, got.Replay
		case got.Refused != nil:
			return nil, got.Refused
		default:
			return got.coupons, nil
		}
	}
	return nil, models.Busy("a template of the pack is being edited")
}

// packDefinitions finds a pack and its templates, in the order of its items, for
// whoever claims it; a merchant may claim its own only.
func (s *Service) packDefinitions(ctx context.Context, actor models.Principal, id models.ID) (models.Pack, []*models.Template, error) {
	pack, err := s.packCache.Get(ctx, id, otter.LoaderFunc[models.ID, models.Pack](func(ctx context.Context, id models.ID) (models.Pack, error) {
		return s.store.Pack(ctx, models.Principal{Role: models.RolePlatform}, id)
	}))
	if err == nil && actor.Role == models.RoleMerchant && !actor.Owns(pack.MerchantID) {
		err = models.NotFound("pack")
	}
	if err != nil {
		return pack, nil, err
	}
	defs := make([]*models.Template, len(pack.Items))
	for i, item := range pack.Items {
		if defs[i], err = s.definitions.get(ctx, item.TemplateID); err != nil {
			return pack, nil, err
		}
	}
	return pack, defs, nil
}

// attemptPack judges a claim of a pack by one definition of each template.
func (s *Service) attemptPack(
	ctx context.Context, op models.Op, pack *models.Pack, defs []*models.Template, userID string, tags []string, direct bool,
) (packAnswer, error) {
	refusal, err := s.packRefusal(ctx, pack, defs, userID, tags)
	if err != nil || refusal != nil && op.Key == nil {
		return packAnswer{answer: answer{Verdict: models.Verdict{Refused: refusal}}}, err
	}
	entries, err := s.preparePack(op, pack, defs, userID)
	if err != nil {
		return packAnswer{}, err
	}
	for i := range entries {
		entries[i].Refused, entries[i].direct = refusal, direct
	}
	got, err := s.packs.Submit(ctx, 0, entries)
	if err == nil {
		err = got.err
	}
	return got, err
}

// packRefusal is the no to a pack as far as that can be told without a
// transaction. Who has coupons that stand in the way is told so first.
func (s *Service) packRefusal(
	ctx context.Context, pack *models.Pack, defs []*models.Template, userID string, tags []string,
) (*models.Error, error) {
	stored := storedTags{store: s.store, userID: userID}
	now := s.store.Now()
	var refusal *models.Error
	for _, def := range defs {
		var err error
		if refusal, err = stored.admits(ctx, def, models.IssueClaim, now, tags); err != nil {
			return nil, err
		}
		if refusal != nil {
			break
		}
	}
	if refusal == nil || refusal.Code == models.CodeNotStarted {
		return refusal, nil
	}
	ids := make([]models.ID, len(defs))
	for i, def := range defs {
		ids[i] = def.ID
	}
	have, err := s.store.HoldingsOf(ctx, userID, ids)
	if err != nil {
		return nil, err
	}
	var atLimit *models.Error
	for i, def := range defs {
		atLimit = models.MergeLimits(atLimit, def.LimitWith(have[def.ID], pack.Items[i].Quantity))
	}
	return cmp.Or(atLimit, refusal), nil
}

// preparePack makes the claims of a pack, of which the first bears the
// idempotency key of all.
func (s *Service) preparePack(op models.Op, pack *models.Pack, defs []*models.Template, userID string) ([]entry, error) {
	together := &models.PackClaim{PackID: pack.ID}
	var entries []entry
	for i, item := range pack.Items {
		for range item.Quantity {
			e, err := s.prepare(op, defs[i], userID)
			if err != nil {
				return nil, err
			}
			e.Pack, op.Key = together, nil
			entries = append(entries, e)
		}
	}
	together.ID = entries[0].ID
	return entries, nil
}

// rebuildAll has the gate loaded for every template of a pack.
func (s *Service) rebuildAll(ctx context.Context, defs []*models.Template) bool {
	for _, def := range defs {
		if !s.rebuild(ctx, def.ID) {
			return false
		}
	}
	return true
}

// decidePacks carries packs through as decide does claims. The gate is asked for
// all of them at once, template by template in the order of ids; what it set aside
// for a pack that is not granted goes back as a whole.
func (s *Service) decidePacks(ctx context.Context, batch [][]entry) ([]packAnswer, error) {
	all := slices.Concat(batch...)
	answers := make([]answer, len(all))
	s.askGate(ctx, all, answers)
	s.boundDirect(all, answers)
	rest := answers
	for _, pack := range batch {
		together(rest[:len(pack)])
		rest = rest[len(pack):]
	}
	s.commit(ctx, all, answers)
	packs := make([]packAnswer, len(batch))
	for i, pack := range batch {
		packs[i].answer = answers[0]
		for _, one := range answers[:len(pack)] {
			if one.Coupon != nil {
				packs[i].coupons = append(packs[i].coupons, *one.Coupon)
			}
		}
		answers = answers[len(pack):]
	}
	return packs, nil
}

// together has a pack turned away as a whole where a claim of it is before it
// comes to the store.
func together(pack []answer) {
	for i := range pack {
		if pack[i].cold || pack[i].err != nil {
			away := pack[i]
			for j := range pack {
				pack[j] = away
			}
			return
		}
	}
}
