package discount

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"scrip/models"
)

// Limits of the search for the best combination.
const (
	MaxWallet  = 500 // candidates it looks at
	MaxApplied = 10  // coupons in one set

	firstWidth = 8       // states kept per step when looking for a first good answer
	maxStates  = 100_000 // states made in the exact search
)

// The search goes through the candidates in their order of application and
// decides of each whether it joins. Whether it may, and what it gives, depends
// on those that joined before only, so a set that Quote takes whole is a path
// on which each one is taken in its turn. After each candidate the search
// keeps one state for all sets that leave the same to pay and the same limits
// to the candidates still to come: of such sets the better one stays the
// better whatever joins both (see better). A state whose discount with the
// bound on what can still join does not reach the best set so far is dropped.
//
// A state need not tell apart what no later candidate tells apart. While some
// candidate to come looks at single units (fixed_price, buy_x_get_y), it is a
// whole basket; from then on it is the sum left per cell, a cell being lines
// that all candidates to come treat alike (see layout).

// option is a candidate of the search, in its order of application.
type option struct {
	*coupon
	rule     int   // number of the rule
	limit    int   // of the rule in one order, at most MaxApplied
	most     int64 // never gives more
	rate     int64 // basis points, for a percentage of what is left; else 0
	expires  int   // rank of its end of validity
	id       int   // rank of its id
	lastRule bool  // no later option is of its rule
}

// state is a set of options, as far as they have been decided, and what they
// leave. It is never changed once made, but for moving to another layout.
type state struct {
	total    int64
	left     int64 // of all lines
	shipping int64
	count    int
	picks    [MaxApplied]int32 // options, in order
	gave     [MaxApplied]int64
	basket   *basket // until the last option that looks at units
	cells    []int64 // from then on
	reach    int64   // total, and the bound on what can still join
}

// search is one search for the best combination.
type search struct {
	s       *session
	options []option
	units   int      // options before this one are decided on baskets
	layouts []layout // layouts[i]: before option i is decided, for i ≥ units
	budgets []int    // budgets[b]: the last option that uses budget b+1
	groups  []int    // groups[g]: the last option of group g
	ship    int      // the last option that looks at the shipping
	best    *state
	made    int
	short   bool // states were dropped for want of room
	key     []byte
	bound   bounder
}

func (s *session) best(coupons []coupon) (best models.Combination, exact bool) {
	best = models.Combination{CouponIDs: []models.ID{}}
	x := &search{s: s}
	x.options = s.options(coupons)
	if len(x.options) == 0 {
		return best, true
	}
	x.prepare()
	x.singles()
	x.run(firstWidth)
	if x.short {
		x.short, x.made = false, 0
		x.run(0)
	}
	for i := range x.best.count {
		best.CouponIDs = append(best.CouponIDs, x.options[x.best.picks[i]].CouponID)
	}
	best.Discount = x.best.total
	return best, !x.short
}

// options lists the coupons that could be in a best set. One that never makes
// the order cheaper, like a gift, is in none: the set without it is accepted
// too, gives as much, and is smaller.
func (s *session) options(coupons []coupon) []option {
	var options []option
	b := s.basket()
	for _, c := range inTurn(coupons) {
		if c.refusal != nil {
			continue
		}
		if most := s.mostOf(b, c); most > 0 {
			options = append(options, option{coupon: c, most: most})
		}
	}
	if len(options) > MaxWallet {
		options = s.largest(options)
	}
	rules := map[models.ID]int{}
	for i := range options {
		o := &options[i]
		if _, known := rules[o.coupon.rule.ID]; !known {
			rules[o.coupon.rule.ID] = len(rules)
		}
		o.rule = rules[o.coupon.rule.ID]
		o.limit = int(min(o.coupon.rule.Stacking.MaxPerOrder, MaxApplied))
	}
	rank(options)
	return s.collapse(options)
}

// largest keeps the MaxWallet options that could give most, in their order.
func (s *session) largest(options []option) []option {
	byMost := slices.Clone(options)
	slices.SortStableFunc(byMost, func(a, b option) int {
		return cmp.Or(cmp.Compare(b.most, a.most), a.ExpiresAt.Compare(b.ExpiresAt))
	})
	keep := map[models.ID]bool{}
	for i := range MaxWallet {
		keep[byMost[i].CouponID] = true
	}
	return slices.DeleteFunc(options, func(o option) bool { return !keep[o.CouponID] })
}

// rank numbers ends of validity (equal ones alike) and ids in their order.
func rank(options []option) {
	order := make([]*option, len(options))
	for i := range options {
		order[i] = &options[i]
	}
	slices.SortFunc(order, func(a, b *option) int { return cmp.Compare(a.CouponID, b.CouponID) })
	for i, o := range order {
		o.id = i
	}
	slices.SortStableFunc(order, func(a, b *option) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
	for i, o := range order {
		o.expires = i
		if i > 0 && o.ExpiresAt.Equal(order[i-1].ExpiresAt) {
			o.expires = order[i-1].expires
		}
	}
}

// collapse drops copies. Among options that follow each other and do the same
// sums, any one may stand for any other, so of a rule no more are needed than
// can be applied: those that end first, then those of the lower ids, are in
// the best of all sets that use as many of them.
func (s *session) collapse(options []option) []option {
	kept := make([]option, 0, len(options))
	for from := 0; from < len(options); {
		until := from + 1
		for until < len(options) && sameSums(options[from].coupon, options[until].coupon) {
			until++
		}
		alike := options[from:until]
		for i := range alike {
			before := 0
			for j := range alike {
				if sameLimits(&alike[i], &alike[j]) && firstOf(&alike[j], &alike[i]) {
					before++
				}
			}
			if before < alike[i].limit {
				kept = append(kept, alike[i])
			}
		}
		from = until
	}
	return kept
}

func sameLimits(a, b *option) bool {
	return a.rule == b.rule && a.limit == b.limit && a.group == b.group &&
		a.coupon.rule.Stacking.ExclusiveAll == b.coupon.rule.Stacking.ExclusiveAll
}

// firstOf reports whether a goes before b where only the tie-break decides.
func firstOf(a, b *option) bool {
	return a.expires < b.expires || a.expires == b.expires && a.id < b.id
}

// sameSums reports whether two coupons would always give the same, share it
// over the same units and take it from the same budgets.
func sameSums(a, b *coupon) bool {
	return a.rule.Kind == b.rule.Kind && a.rule.Stacking.Base == b.rule.Stacking.Base &&
		a.scope == b.scope && a.get == b.get && slices.Equal(a.uses, b.uses) &&
		(a.rule == b.rule || sameEffect(&a.rule.Effect, &b.rule.Effect))
}

func sameEffect(a, b *models.Effect) bool {
	for _, pair := range [][2]*int64{
		{a.AmountOff, b.AmountOff},
		{a.PercentOffBP, b.PercentOffBP},
		{a.MaxDiscount, b.MaxDiscount},
		{a.Price, b.Price},
		{a.MaxUnits, b.MaxUnits},
		{a.BuyQuantity, b.BuyQuantity},
		{a.GetQuantity, b.GetQuantity},
		{a.MaxTimes, b.MaxTimes},
	} {
		if !sameNumber(pair[0], pair[1]) {
			return false
		}
	}
	if a.Every == nil || b.Every == nil {
		return a.Every == b.Every
	}
	return a.Every.Spend == b.Every.Spend && sameNumber(a.Every.MaxTimes, b.Every.MaxTimes)
}

func sameNumber(a, b *int64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func looksAtUnits(k models.Kind) bool {
	return k == models.KindFixedPrice || k == models.KindBuyXGetY
}

// prepare works out what stays the same over the whole search.
func (x *search) prepare() {
	x.budgets = make([]int, len(x.s.names.left))
	x.groups = make([]int, len(x.s.names.groups)+1)
	x.ship = -1
	lastOf := map[int]int{}
	for i := range x.options {
		o := &x.options[i]
		o.rate = o.rateOf()
		lastOf[o.rule] = i
		x.groups[o.group] = i
		for _, u := range o.uses {
			x.budgets[u.budget-1] = i
		}
		if looksAtUnits(o.coupon.rule.Kind) {
			x.units = i + 1
		}
		if o.coupon.rule.Kind == models.KindFreeShipping {
			x.ship = i
		}
	}
	for _, i := range lastOf {
		x.options[i].lastRule = true
	}
	x.layouts = x.s.layouts(x.options, x.units)
	x.bound.prepare(x)
}

// singles looks at the options that stand alone: no state goes on from them.
func (x *search) singles() {
	start := x.start()
	x.best = start
	b := x.s.basket()
	for i := range x.options {
		o := &x.options[i]
		if !o.coupon.rule.Stacking.ExclusiveAll {
			continue
		}
		if offer := x.s.offer(b, o.coupon); x.s.mayJoin(nil, o.coupon, &offer) == nil {
			x.offerBest(start.with(i, offer.total()))
		}
	}
}

// with returns a state's bookkeeping with one more option, what is left not
// yet changed.
func (st *state) with(i int, gave int64) *state {
	next := *st
	next.picks[next.count], next.gave[next.count] = int32(i), gave
	next.count++
	next.total += gave
	return &next
}

func (x *search) start() *state {
	st := &state{left: x.s.subtotal, shipping: x.s.order.Cart.Shipping, basket: x.s.basket(), reach: math.MaxInt64}
	if x.units == 0 {
		x.toCells([]*state{st})
	}
	return st
}

// offerBest keeps the better one of st and the best set so far.
func (x *search) offerBest(st *state) {
	if x.better(st, x.best) {
		x.best = st
	}
}

// run goes through the options once. With a width, only so many of the most
// promising states are kept at each step, and short tells that some were
// dropped.
func (x *search) run(width int) {
	states := []*state{x.start()}
	var joined []*state
	for i := range x.options {
		joined = joined[:0]
		if !x.options[i].coupon.rule.Stacking.ExclusiveAll {
			for _, st := range states {
				if next := x.join(st, i); next != nil {
					x.offerBest(next)
					joined = append(joined, next)
				}
			}
		}
		if i+1 == len(x.options) {
			return
		}
		x.made += len(joined)
		if width == 0 && x.made > maxStates {
			x.short, width = true, firstWidth
		}
		if i+1 == x.units {
			x.toCells(states)
			x.toCells(joined)
		}
		states = x.settle(states, joined, i+1, width)
	}
}

// settle returns the states that go on to option i: those that may still lead
// to the best set, one of each kind.
func (x *search) settle(states, joined []*state, i, width int) []*state {
	if i > x.units && x.layouts[i].id != x.layouts[i-1].id {
		for _, st := range states {
			st.cells = x.layouts[i-1].fold(st.cells)
		}
	}
	hopeful := make([]*state, 0, len(states)+len(joined))
	for _, st := range states {
		// An option that could not join is not missed in the bound.
		if x.hopeful(st) && (!x.allows(st, i-1) || x.bounded(st, i)) {
			hopeful = append(hopeful, st)
		}
	}
	for _, st := range joined {
		if st.count < MaxApplied && x.bounded(st, i) {
			hopeful = append(hopeful, st)
		}
	}
	if len(joined) == 0 {
		return hopeful
	}
	if width > 0 && len(hopeful) > width {
		x.short = true
		slices.SortStableFunc(hopeful, func(a, b *state) int { return cmp.Compare(b.reach, a.reach) })
		hopeful = hopeful[:width]
	}
	going := make([]*state, 0, len(hopeful))
	place := make(map[string]int, len(hopeful))
	for _, st := range hopeful {
		x.key = x.appendKey(x.key[:0], st, i)
		at, met := place[string(x.key)]
		if !met {
			place[string(x.key)] = len(going)
			going = append(going, st)
		} else if x.better(st, going[at]) {
			going[at] = st
		}
	}
	return going
}

// bounded works out how far the state can reach when the options from i on are
// still to come, and whether that is far enough.
func (x *search) bounded(st *state, i int) bool {
	st.reach = st.total + x.bound.of(st, i)
	return x.hopeful(st)
}

// hopeful reports whether the state may still lead to a better set: of those
// as large, what joins it makes it larger than the best by a coupon at least.
func (x *search) hopeful(st *state) bool {
	return st.reach > x.best.total || st.reach == x.best.total && st.count < x.best.count
}

// better is the order of sets: the larger discount, then fewer coupons, then
// the sorted ends of validity, then the sorted ids. Of two sets as large it
// does not change when the same options join both: sorted lists of one length
// differ first where one has more of the smallest thing that they have not
// both, and what joins both changes nothing about that.
func (x *search) better(a, b *state) bool {
	if a.total != b.total {
		return a.total > b.total
	}
	if a.count != b.count {
		return a.count < b.count
	}
	n := a.count
	if c := x.compareSorted(a, b, n, func(o *option) int { return o.expires }); c != 0 {
		return c < 0
	}
	return x.compareSorted(a, b, n, func(o *option) int { return o.id }) < 0
}

func (x *search) compareSorted(a, b *state, n int, of func(o *option) int) int {
	var va, vb [MaxApplied]int
	for i := range n {
		va[i], vb[i] = of(&x.options[a.picks[i]]), of(&x.options[b.picks[i]])
	}
	slices.Sort(va[:n])
	slices.Sort(vb[:n])
	return slices.Compare(va[:n], vb[:n])
}

// allows reports whether stacking lets option i join the state.
func (x *search) allows(st *state, i int) bool {
	o := &x.options[i]
	same, limit := 1, o.limit
	for _, p := range st.picks[:st.count] {
		other := &x.options[p]
		if o.group != 0 && o.group == other.group {
			return false
		}
		if o.rule == other.rule {
			same, limit = same+1, min(limit, other.limit)
		}
	}
	return same <= limit
}

// leftFor is what the state leaves of a use's budget.
func (x *search) leftFor(st *state, u use) int64 {
	left := x.s.names.left[u.budget-1]
	for i, p := range st.picks[:st.count] {
		for _, other := range x.options[p].uses {
			if other.budget == u.budget {
				left -= other.takes(st.gave[i])
			}
		}
	}
	return left
}

// join returns the state with option i in it, or nil if it would be rejected.
func (x *search) join(st *state, i int) *state {
	if !x.allows(st, i) {
		return nil
	}
	o := &x.options[i]
	if st.basket == nil {
		return x.joinCells(st, i)
	}
	offer := x.s.offer(st.basket, o.coupon)
	if offer.total() == 0 || !x.fits(st, o, offer.total()) {
		return nil
	}
	next := st.with(i, offer.total())
	next.basket = st.basket.clone()
	x.s.take(next.basket, o.coupon, &offer, nil)
	next.left, next.shipping = next.basket.left, next.basket.shipping
	return next
}

func (x *search) fits(st *state, o *option, total int64) bool {
	for _, u := range o.uses {
		if u.takes(total) > x.leftFor(st, u) {
			return false
		}
	}
	return true
}

// appendKey writes all that the options from i on can tell of a state.
func (x *search) appendKey(key []byte, st *state, i int) []byte {
	key = append(key, byte(st.count))
	if x.ship >= i {
		key = binary.AppendUvarint(key, uint64(st.shipping))
	}
	if st.basket != nil {
		for j := range st.basket.lines {
			runs := st.basket.lines[j].runs
			key = append(key, byte(len(runs)), byte(len(runs)>>8))
			for _, r := range runs {
				key = binary.AppendUvarint(binary.AppendUvarint(key, uint64(r.n)), uint64(r.left))
			}
		}
	}
	for _, left := range st.cells {
		key = binary.AppendUvarint(key, uint64(left))
	}
	return x.appendLimits(key, st, i)
}

// appendLimits writes the rules, groups and budgets that the state has used
// and that an option from i on would use too.
func (x *search) appendLimits(key []byte, st *state, i int) []byte {
	var used [2 * MaxApplied]uint32
	n := 0
	for _, p := range st.picks[:st.count] {
		o := &x.options[p]
		if x.bound.lastOfRule[o.rule] >= i {
			used[n] = uint32(o.rule)<<8 | uint32(o.limit)
			n++
		}
		if o.group != 0 && x.groups[o.group] >= i {
			used[n] = 1<<31 | uint32(o.group)
			n++
		}
	}
	slices.Sort(used[:n])
	key = append(key, byte(n))
	for _, u := range used[:n] {
		key = binary.LittleEndian.AppendUint32(key, u)
	}
	for b, last := range x.budgets {
		if last >= i {
			left := x.leftFor(st, use{budget: b + 1})
			key = binary.LittleEndian.AppendUint64(key, uint64(left))
		}
	}
	return key
}
