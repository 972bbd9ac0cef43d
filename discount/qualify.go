package discount

import (
	"cmp"
	"slices"

	"scrip/models"
)

// Qualify judges every candidate as if it were the only one, and names the
// best combination; see Best for its limits. Exact is false if the search for
// it was cut short.
func (e *Engine) Qualify(order Order, candidates []Candidate) (q models.Qualification, exact bool, err error) {
	s, err := e.open(order)
	if err != nil {
		return q, false, err
	}
	coupons, err := s.judge(candidates)
	if err != nil {
		return q, false, err
	}
	q.Best, exact = s.best(coupons)
	q.Applicable, q.Inapplicable = s.alone(coupons)
	return q, exact, nil
}

// Best returns the largest discount, shipping included, over all sets of
// candidates from which Quote would reject nobody; among equals that of fewer
// coupons, then of the sorted ends of validity (earlier first), then of the
// sorted ids. A set has at most MaxApplied coupons.
//
// It is exact for wallets of up to MaxWallet candidates, of larger ones it
// looks at the MaxWallet that would give most alone. Exact is false if it was
// cut short: then what it returns can be applied, but there may be better. The
// search keeps to a bound of work that only wallets of dozens of coupons of
// different rules that all stack, all give about the same and undo each
// other's rounding come near.
func (e *Engine) Best(order Order, candidates []Candidate) (best models.Combination, exact bool, err error) {
	s, err := e.open(order)
	if err != nil {
		return best, false, err
	}
	coupons, err := s.judge(candidates)
	if err != nil {
		return best, false, err
	}
	best, exact = s.best(coupons)
	return best, exact, nil
}

// alone sorts the coupons into those that would apply alone, the largest
// discount first, and the others in the order in which they came.
func (s *session) alone(coupons []coupon) ([]models.Applicable, []models.Rejection) {
	type fit struct {
		coupon   *coupon
		discount int64
	}
	var fits []fit
	inapplicable := []models.Rejection{}
	b := s.basket()
	for i := range coupons {
		c := &coupons[i]
		if c.refusal == nil {
			o := s.offer(b, c)
			if c.refusal = s.mayJoin(nil, c, &o); c.refusal == nil {
				fits = append(fits, fit{c, o.total()})
				continue
			}
		}
		inapplicable = append(inapplicable, c.rejection())
	}
	slices.SortFunc(fits, func(a, b fit) int {
		return cmp.Or(
			cmp.Compare(b.discount, a.discount),
			a.coupon.ExpiresAt.Compare(b.coupon.ExpiresAt),
			cmp.Compare(a.coupon.CouponID, b.coupon.CouponID),
		)
	})
	applicable := make([]models.Applicable, len(fits))
	for i, f := range fits {
		applicable[i] = models.Applicable{CouponID: f.coupon.CouponID, Discount: f.discount}
	}
	return applicable, inapplicable
}
