package discount

import (
	"cmp"
	"math/bits"
	"slices"

	"scrip/models"
)

// mostOf is at least what the coupon gives in any order; b is untouched.
//
// All kinds but buy_x_get_y give least when least is left, so what they give
// on the untouched cart bounds them. A buy_x_get_y may give more once others
// have used up the cheapest units, so it is bounded by the dearest.
func (s *session) mostOf(b *basket, c *coupon) int64 {
	var most int64
	if c.rule.Kind == models.KindBuyXGetY {
		most = s.mostOfBuyXGetY(b, c)
	} else {
		o := s.offer(b, c)
		most = o.total()
	}
	for _, u := range c.uses {
		left := s.names.left[u.budget-1]
		if u.kind == models.BudgetAmount {
			most = min(most, left)
		} else if left < 1 {
			most = 0
		}
	}
	return most
}

// mostOfBuyXGetY takes the percentage of the dearest units, as many as can be
// given if those outside the scope, which cost no bought ones, are given
// first.
func (s *session) mostOfBuyXGetY(b *basket, c *coupon) int64 {
	pieces, bought := s.getPieces(b, c)
	free := slices.Clone(pieces)
	slices.SortStableFunc(free, func(x, y piece) int {
		if x.bought == y.bought {
			return 0
		}
		if y.bought {
			return -1
		}
		return 1
	})
	k := timesGiven(c.rule, free, bought)
	slices.Reverse(pieces)
	sum := int64(0)
	if k > 0 {
		for _, p := range firstUnits(pieces, k) {
			sum += p.n * p.base
		}
	}
	return percent(sum, *c.rule.Effect.PercentOffBP)
}

// rateOf is a part of what is left that bounds what an option takes, in basis
// points; 0 if only a sum bounds it. So much off for each so much spent is
// never more than the one as a part of the other.
func (o *option) rateOf() int64 {
	r := o.coupon.rule
	if r.Stacking.Base != models.BaseRemaining {
		return 0
	}
	if r.Kind == models.KindPercentOff {
		return *r.Effect.PercentOffBP
	}
	if every := r.Effect.Every; r.Kind == models.KindAmountOff && every != nil && *r.Effect.AmountOff < every.Spend {
		part, rest := mulDiv(fullBP, *r.Effect.AmountOff, every.Spend)
		if rest > 0 {
			part++
		}
		return part
	}
	return 0
}

// bounder bounds what options can still add to a state.
type bounder struct {
	x          *search
	lastOfRule []int

	// Lines that all options treat alike are one class; covers[k] are the
	// classes of the k-th different cover, and an option names its cover.
	class  []int // of each line
	covers []lineSet
	cover  []int // of each option
	twin   []int // of each option, the first one that is bounded alike
	every  lineSet
	spread int64 // lines in which the shares of one percentage can be uneven

	// For the state at hand:
	room    int
	left    []int64 // by class
	covered []int64 // by cover
	count   []int   // by rule: applied
	limit   []int   // by rule: the smallest of those applied
	seen    []int   // by rule: in the list at hand
	sums    topList
	shares  topList

	// The options from one on, the highest rates first; of those that are
	// bounded alike no more than can be applied.
	from   int
	active []contender
	alike  []int // by option: how many of its twins are active
}

// contender is an option with all that bounding looks at, close together.
type contender struct {
	most     int64
	rate     int64
	rule     int
	group    int
	limit    int
	cover    int
	shipping bool
	uses     []use

	free  bool // for the state at hand: may join
	rated bool // for the state at hand: bounded by its rate
}

func (b *bounder) prepare(x *search) {
	b.x = x
	n, rules := len(x.options), 0
	b.cover, b.twin, b.alike, b.from = make([]int, n), make([]int, n), make([]int, n), -1
	for i := range x.options {
		rules = max(rules, x.options[i].rule+1)
	}
	b.lastOfRule, b.seen = make([]int, rules), make([]int, rules)
	b.count, b.limit = make([]int, rules), make([]int, rules)
	for i := range x.options {
		b.lastOfRule[x.options[i].rule] = i
	}
	b.left, b.covered = make([]int64, b.classes()), make([]int64, len(b.covers))
	b.spread = int64(len(x.s.lines)+3) / 4
	for i := range x.options {
		for b.twin[i] < i && !b.twins(b.twin[i], i) {
			b.twin[i]++
		}
	}
}

// twins reports whether two options are bounded by the same numbers.
func (b *bounder) twins(i, j int) bool {
	o, p := &b.x.options[i], &b.x.options[j]
	return sameLimits(o, p) && o.coupon.rule.Kind == p.coupon.rule.Kind && o.most == p.most && o.rate == p.rate &&
		b.cover[i] == b.cover[j] && slices.Equal(o.uses, p.uses)
}

// start lists the options from i on.
func (b *bounder) start(i int) {
	if b.from == i {
		return
	}
	b.from, b.active = i, b.active[:0]
	clear(b.alike)
	for j := i; j < len(b.x.options); j++ {
		o := &b.x.options[j]
		twin := b.twin[j]
		if o.coupon.rule.Stacking.ExclusiveAll || b.alike[twin] >= o.limit {
			continue
		}
		b.alike[twin]++
		b.active = append(b.active, contender{
			most: o.most, rate: o.rate, rule: o.rule, group: o.group, limit: o.limit, cover: b.cover[j],
			shipping: o.coupon.rule.Kind == models.KindFreeShipping, uses: o.uses,
		})
	}
	slices.SortStableFunc(b.active, func(a, b contender) int { return cmp.Compare(b.rate, a.rate) })
}

// classes finds the different covers, and the lines that none tells apart, and
// returns how many sorts of lines there are.
func (b *bounder) classes() int {
	var sets []lineSet
	for i := range b.x.options {
		o := &b.x.options[i]
		set := o.scope
		set.join(&o.get)
		at := slices.Index(sets, set)
		if at < 0 {
			at = len(sets)
			sets = append(sets, set)
		}
		b.cover[i] = at
	}
	b.class = make([]int, len(b.x.s.lines))
	b.covers = make([]lineSet, len(sets))
	n := 0
	for i := range b.class {
		b.class[i] = -1
		for j := range i {
			if b.class[i] < 0 && alike(sets, i, j) {
				b.class[i] = b.class[j]
			}
		}
		if b.class[i] < 0 {
			b.class[i] = n
			n++
		}
		b.every.add(b.class[i])
		for k := range sets {
			if sets[k].has(i) {
				b.covers[k].add(b.class[i])
			}
		}
	}
	return n
}

// alike reports whether every set has both lines or neither.
func alike(sets []lineSet, i, j int) bool {
	for k := range sets {
		if sets[k].has(i) != sets[k].has(j) {
			return false
		}
	}
	return true
}

// of bounds what options from i on can add to st.
//
// Of those that join, some take a part of what is left; they are bounded
// together: after parts p, q … at least left × (1 − p)(1 − q) … is left of a
// line, whatever else was taken between them, less what that took. The others
// are bounded by sums, each by what it would give now at most. For every
// number of the one sort the best of both are added up.
//
// A percentage is rounded once, by half a unit at most: that is a slack of a
// half per percentage. Its shares on the lines are rounded too, which moves
// less than a quarter of a unit per line from some lines to others, and makes
// a difference as far as later percentages treat those lines differently.
func (b *bounder) of(st *state, i int) int64 {
	b.room = MaxApplied - st.count
	b.start(i)
	b.look(st, i)
	b.classify(st)
	var byRate [MaxApplied + 1]int64
	b.byRates(&byRate)
	bound := int64(0)
	for n := 0; n <= b.room && n <= b.shares.n; n++ {
		bound = max(bound, min(byRate[n], b.shares.sum(n))+b.sums.sum(b.room-n))
	}
	shipping := int64(0)
	if b.x.ship >= i {
		shipping = st.shipping
	}
	return min(bound, st.left+shipping)
}

// look works out what the state leaves by class and by cover, and which rules
// it has used up.
func (b *bounder) look(st *state, i int) {
	clear(b.left)
	if st.basket != nil {
		for j := range st.basket.lines {
			b.left[b.class[j]] += st.basket.lines[j].left
		}
	} else {
		for j, left := range st.cells {
			b.left[b.class[b.x.layouts[i].lines[j]]] += left
		}
	}
	for k := range b.covers {
		sum := int64(0)
		for c := b.covers[k].next(0); c >= 0; c = b.covers[k].next(c + 1) {
			sum += b.left[c]
		}
		b.covered[k] = sum
	}
	clear(b.count)
	for _, p := range st.picks[:st.count] {
		o := &b.x.options[p]
		if b.count[o.rule]++; b.count[o.rule] == 1 || o.limit < b.limit[o.rule] {
			b.limit[o.rule] = o.limit
		}
	}
}

// more is how many of the contender's rule may still join with it among them.
func (b *bounder) more(o *contender) int {
	if n := b.count[o.rule]; n > 0 {
		return min(o.limit, b.limit[o.rule]) - n
	}
	return o.limit
}

// classify notes for every contender whether it may still join, what it gives
// at most, and whether it is bounded by that alone.
func (b *bounder) classify(st *state) {
	b.sums.reset(b.room)
	b.shares.reset(b.room)
	for j := range b.active {
		o := &b.active[j]
		more := b.more(o)
		o.free = more > 0 && !b.grouped(st, o)
		if !o.free {
			continue
		}
		most, part := o.most, int64(0)
		if o.shipping {
			most = min(most, st.shipping)
		} else {
			left := b.covered[o.cover]
			most = min(most, left)
			if o.rate > 0 {
				part = percent(left, o.rate)
			}
		}
		for _, u := range o.uses {
			if u.kind == models.BudgetAmount {
				most = min(most, max(0, b.x.leftFor(st, u)))
			}
		}
		// One held down by a cap or a budget is better bounded by that.
		o.rated = o.rate > 0 && most >= part-part/4
		if o.rated {
			b.shares.add(o, min(most, part), more)
		} else {
			b.sums.add(o, most, more)
		}
	}
}

func (b *bounder) grouped(st *state, o *contender) bool {
	if o.group == 0 {
		return false
	}
	for _, p := range st.picks[:st.count] {
		if b.x.options[p].group == o.group {
			return true
		}
	}
	return false
}

// byRates fills in what the best n parts can take of all classes, for every n.
func (b *bounder) byRates(taken *[MaxApplied + 1]int64) {
	// By how much, of 2^62, so many later parts can treat classes differently.
	var uneven [MaxApplied + 1]uint64
	for c, left := range b.left {
		if left == 0 {
			continue
		}
		keeps, n := uint64(1)<<62, 0
		partial, partials := uint64(1)<<62, 0
		clear(b.seen)
		for j := range b.active {
			o := &b.active[j]
			if o.rate == 0 {
				break // so have all after it
			}
			cover := &b.covers[o.cover]
			if !o.free || !o.rated || !cover.has(c) || b.seen[o.rule] >= b.more(o) {
				continue
			}
			b.seen[o.rule]++
			if n < b.room {
				n++
				keeps = less(keeps, o.rate)
				taken[n] += left - scaled(left, keeps)
			}
			if partials < b.room && *cover != b.every {
				partials++
				partial = less(partial, o.rate)
				uneven[partials] = max(uneven[partials], 1<<62-partial)
			}
		}
		for m := n + 1; m <= b.room; m++ {
			taken[m] += left - scaled(left, keeps)
		}
	}
	b.addSlack(taken, &uneven)
}

// addSlack adds what rounding can give: per part a half, and for each what is
// moved between lines times how differently those after it treat the lines.
func (b *bounder) addSlack(taken *[MaxApplied + 1]int64, uneven *[MaxApplied + 1]uint64) {
	moved := int64(0)
	for n := 1; n <= b.room; n++ {
		taken[n] += int64(n+1)/2 + moved
		uneven[n] = max(uneven[n], uneven[n-1])
		if uneven[n] > 0 {
			moved += scaled(b.spread, uneven[n]) + 1
		}
	}
}

// less is keeps × (1 − rate), rounded down.
func less(keeps uint64, rate int64) uint64 {
	hi, lo := bits.Mul64(keeps, uint64(fullBP-rate))
	q, _ := bits.Div64(hi, lo, fullBP)
	return q
}

// scaled is left × keeps / 2^62, rounded down.
func scaled(left int64, keeps uint64) int64 {
	hi, lo := bits.Mul64(uint64(left), keeps)
	return int64(hi<<2 | lo>>62)
}

// topList keeps the largest few sums that could join together, as far as
// groups and the limits of rules go.
type topList struct {
	room, n int
	top     [MaxApplied]topSum
}

type topSum struct {
	sum         int64
	rule, group int
}

func (t *topList) reset(room int) { t.room, t.n = room, 0 }

// sum adds up the largest n.
func (t *topList) sum(n int) int64 {
	total := int64(0)
	for i := range min(n, t.n) {
		total += t.top[i].sum
	}
	return total
}

// add puts a sum in its place. Of one group the largest is enough, of one rule
// as many of the largest as its limit.
func (t *topList) add(o *contender, sum int64, limit int) {
	if sum == 0 || t.n == t.room && sum <= t.top[t.n-1].sum {
		return
	}
	same, smallest := 0, -1
	if o.group != 0 {
		limit = 1
	}
	for i := range t.n {
		e := &t.top[i]
		if o.group != 0 && e.group == o.group || o.group == 0 && e.rule == o.rule {
			same, smallest = same+1, i
		}
	}
	if same >= limit {
		if t.top[smallest].sum >= sum {
			return
		}
		t.remove(smallest)
	}
	if t.n == t.room {
		t.n--
	}
	at := t.n
	for at > 0 && t.top[at-1].sum < sum {
		t.top[at] = t.top[at-1]
		at--
	}
	t.top[at] = topSum{sum, o.rule, o.group}
	t.n++
}

func (t *topList) remove(at int) {
	copy(t.top[at:t.n-1], t.top[at+1:t.n])
	t.n--
}
