package discount

import (
	"cmp"
	"slices"

	"scrip/models"
)

// basket is what is left to pay as coupons are applied one by one.
type basket struct {
	lines    []basketLine // as session.lines
	left     int64        // Σ lines
	shipping int64
}

// basketLine is what is left of a line: the sum, and unit by unit.
type basketLine struct {
	left int64
	runs []run
}

// run is n units in a row of which the same is left. Picked marks, for the
// time of one application, the units that it is about.
type run struct {
	n      int64
	left   int64
	picked bool
}

func (s *session) basket() *basket {
	b := &basket{lines: make([]basketLine, len(s.lines)), left: s.subtotal, shipping: s.order.Cart.Shipping}
	runs := make([]run, len(s.lines))
	for i := range s.lines {
		runs[i] = run{n: s.lines[i].quantity, left: s.lines[i].price}
		// Capacity 1: a line that splits takes its runs elsewhere.
		b.lines[i] = basketLine{left: s.lines[i].subtotal, runs: runs[i : i+1 : i+1]}
	}
	return b
}

// clone copies all that a change to b would change.
func (b *basket) clone() *basket {
	n := 0
	for i := range b.lines {
		n += len(b.lines[i].runs)
	}
	c := &basket{lines: make([]basketLine, len(b.lines)), left: b.left, shipping: b.shipping}
	runs := make([]run, 0, n)
	for i := range b.lines {
		from := len(runs)
		runs = append(runs, b.lines[i].runs...)
		c.lines[i] = basketLine{left: b.lines[i].left, runs: runs[from:len(runs):len(runs)]}
	}
	return c
}

// leftOf is Σ left over the lines of a set.
func (b *basket) leftOf(set *lineSet) int64 {
	sum := int64(0)
	for i := set.next(0); i >= 0; i = set.next(i + 1) {
		sum += b.lines[i].left
	}
	return sum
}

// offer is what a coupon would give in its turn.
type offer struct {
	lines    int64   // off the lines
	shipping int64   // off the shipping
	pieces   []piece // fixed_price and buy_x_get_y: the units it is about
}

// total is what an amount budget counts.
func (o *offer) total() int64 { return o.lines + o.shipping }

// piece is the first n units of a run of a line.
type piece struct {
	line, run int
	pos       int64 // of its first unit in the line
	n         int64
	base      int64 // of each
	left      int64 // of each
	bought    bool  // buy_x_get_y: it is in scope, and not only in get
}

// offer works out what the coupon gives now, and changes nothing.
func (s *session) offer(b *basket, c *coupon) offer {
	switch c.rule.Kind {
	case models.KindFixedPrice:
		return s.offerFixedPrice(b, c)
	case models.KindBuyXGetY:
		return s.offerBuyXGetY(b, c)
	case models.KindPercentOff, models.KindAmountOff:
		left := b.leftOf(&c.scope)
		base := left
		if c.rule.Stacking.Base == models.BaseOriginal {
			base = c.amount
		}
		return offer{lines: sumOff(c.rule, base, left)}
	case models.KindFreeShipping:
		return offer{shipping: atMost(b.shipping, c.rule.Effect.MaxDiscount)}
	case models.KindFreeItem:
	}
	return offer{}
}

// sumOff is what percent_off and amount_off take of a base when so much is
// left.
func sumOff(r *models.Rule, base, left int64) int64 {
	e := &r.Effect
	if r.Kind == models.KindPercentOff {
		return min(atMost(percent(base, *e.PercentOffBP), e.MaxDiscount), left)
	}
	off := *e.AmountOff
	if e.Every != nil {
		times := atMost(base/e.Every.Spend, e.Every.MaxTimes)
		if times > 0 && off > left/times {
			return left // so many times is at least all that is left
		}
		off *= times
	}
	return min(off, left)
}

// atMost is n, or the cap if there is one and it is less.
func atMost(n int64, most *int64) int64 {
	if most != nil {
		return min(n, *most)
	}
	return n
}

func (s *session) offerFixedPrice(b *basket, c *coupon) offer {
	price := *c.rule.Effect.Price
	var pieces []piece
	for i := c.scope.next(0); i >= 0; i = c.scope.next(i + 1) {
		if b.lines[i].left == 0 {
			continue
		}
		pos := int64(0)
		for j, r := range b.lines[i].runs {
			if r.left > price {
				pieces = append(pieces, piece{line: i, run: j, pos: pos, n: r.n, left: r.left})
			}
			pos += r.n
		}
	}
	if most := c.rule.Effect.MaxUnits; most != nil {
		slices.SortFunc(pieces, func(x, y piece) int {
			return cmp.Or(cmp.Compare(y.left, x.left), cmp.Compare(x.line, y.line), cmp.Compare(x.pos, y.pos))
		})
		pieces = firstUnits(pieces, *most)
	}
	o := offer{pieces: pieces}
	for i := range pieces {
		o.lines += pieces[i].n * (pieces[i].left - price)
	}
	return o
}

// firstUnits cuts a list of pieces down to its first n units.
func firstUnits(pieces []piece, n int64) []piece {
	for i := range pieces {
		if pieces[i].n >= n {
			pieces[i].n = n
			return pieces[:i+1]
		}
		n -= pieces[i].n
	}
	return pieces
}

func (s *session) offerBuyXGetY(b *basket, c *coupon) offer {
	pieces, bought := s.getPieces(b, c)
	k := timesGiven(c.rule, pieces, bought)
	if k == 0 {
		return offer{}
	}
	o := offer{pieces: firstUnits(pieces, k)}
	base, left := int64(0), int64(0)
	for i := range o.pieces {
		base += o.pieces[i].n * o.pieces[i].base
		left += o.pieces[i].n * o.pieces[i].left
	}
	o.lines = min(percent(base, *c.rule.Effect.PercentOffBP), left)
	return o
}

// getPieces lists the units that can be given, cheapest first, and counts
// those that can be bought. A unit of which nothing is left is neither.
func (s *session) getPieces(b *basket, c *coupon) (pieces []piece, bought int64) {
	original := c.rule.Stacking.Base == models.BaseOriginal
	both := c.get
	both.join(&c.scope)
	for i := both.next(0); i >= 0; i = both.next(i + 1) {
		if b.lines[i].left == 0 {
			continue
		}
		given, counts := c.get.has(i), c.scope.has(i)
		pos := int64(0)
		for j, r := range b.lines[i].runs {
			if r.left > 0 && counts {
				bought += r.n
			}
			if r.left > 0 && given {
				p := piece{line: i, run: j, pos: pos, n: r.n, base: r.left, left: r.left, bought: counts}
				if original {
					p.base = s.lines[i].price
				}
				pieces = append(pieces, p)
			}
			pos += r.n
		}
	}
	slices.SortFunc(pieces, func(x, y piece) int {
		return cmp.Or(cmp.Compare(x.base, y.base), cmp.Compare(x.line, y.line), cmp.Compare(x.pos, y.pos))
	})
	return pieces, bought
}

// timesGiven is the largest k such that k ≤ get × ⌊n / buy⌋, n being the units
// bought that are not among the first k given, and k ≤ get × max_times. What
// holds for k holds for less: k falls, n rises. So the pieces are gone through
// in order until one does not hold as a whole.
func timesGiven(r *models.Rule, pieces []piece, bought int64) int64 {
	buy, get := *r.Effect.BuyQuantity, *r.Effect.GetQuantity
	most := int64(models.MaxUnits)
	if r.Effect.MaxTimes != nil {
		most = min(most, get**r.Effect.MaxTimes)
	}
	k := int64(0)
	for i := range pieces {
		p := &pieces[i]
		holds := func(n int64) bool { // for the first n units of the piece
			rest := bought
			if p.bought {
				rest -= n
			}
			return k+n <= most && k+n <= get*(rest/buy)
		}
		if !holds(p.n) {
			lo, hi := int64(0), p.n // holds(lo), not holds(hi)
			for hi-lo > 1 {
				if mid := (lo + hi) / 2; holds(mid) {
					lo = mid
				} else {
					hi = mid
				}
			}
			return k + lo
		}
		k += p.n
		if p.bought {
			bought -= p.n
		}
	}
	return k
}

// take applies an offer: b changes. With a recorder, every line's cuts are
// noted.
func (s *session) take(b *basket, c *coupon, o *offer, rec *recorder) {
	b.shipping -= o.shipping
	if o.lines == 0 {
		return
	}
	b.left -= o.lines
	switch c.rule.Kind {
	case models.KindFixedPrice:
		s.takeFixedPrice(b, o, *c.rule.Effect.Price, rec)
	case models.KindBuyXGetY:
		s.takeShared(b, c, o, b.pick(o.pieces), rec)
	case models.KindPercentOff, models.KindAmountOff:
		for i := c.scope.next(0); i >= 0; i = c.scope.next(i + 1) {
			b.lines[i].pickAll()
		}
		s.takeShared(b, c, o, c.scope, rec)
	case models.KindFreeShipping, models.KindFreeItem:
	}
}

// pick marks the pieces, splitting runs of which only the first units are
// meant, and returns the lines it touched. The last such piece alone can split
// a run, for pieces are whole runs but for one.
func (b *basket) pick(pieces []piece) lineSet {
	var touched lineSet
	for i := range pieces {
		touched.add(pieces[i].line)
	}
	for i := touched.next(0); i >= 0; i = touched.next(i + 1) {
		for j := range b.lines[i].runs {
			b.lines[i].runs[j].picked = false
		}
	}
	for i := range pieces {
		b.lines[pieces[i].line].runs[pieces[i].run].picked = true
	}
	if len(pieces) > 0 {
		last := &pieces[len(pieces)-1]
		b.lines[last.line].split(last.run, last.n)
	}
	return touched
}

// split makes the first n units of run j a run of their own; the others are
// not picked.
func (l *basketLine) split(j int, n int64) {
	if r := l.runs[j]; n < r.n {
		l.runs = slices.Insert(l.runs, j+1, run{n: r.n - n, left: r.left})
		l.runs[j].n = n
	}
}

func (l *basketLine) pickAll() {
	for j := range l.runs {
		l.runs[j].picked = true
	}
}

func (s *session) takeFixedPrice(b *basket, o *offer, price int64, rec *recorder) {
	touched := b.pick(o.pieces)
	for i := touched.next(0); i >= 0; i = touched.next(i + 1) {
		line := &b.lines[i]
		for j := range line.runs {
			r := &line.runs[j]
			cut := int64(0)
			if r.picked {
				cut = r.left - price
				r.left = price
				line.left -= r.n * cut
			}
			rec.note(i, r.n, cut)
		}
	}
}

// takeShared shares what is off over the picked units of the lines: first over
// the lines, then within each.
func (s *session) takeShared(b *basket, c *coupon, o *offer, touched lineSet, rec *recorder) {
	original := c.rule.Stacking.Base == models.BaseOriginal
	var room [24]part // most carts fit, and nothing is allocated
	parts := room[:0]
	for i := touched.next(0); i >= 0; i = touched.next(i + 1) {
		p := part{pos: int64(i), n: 1}
		for _, r := range b.lines[i].runs {
			if r.picked {
				p.left += r.n * r.left
				p.weight += r.n * weightOf(original, s.lines[i].price, r.left)
			}
		}
		parts = append(parts, p)
	}
	parts = share(o.lines, parts)
	for i := range parts {
		if parts[i].share > 0 {
			s.cut(b, int(parts[i].pos), parts[i].share, original, rec)
		}
	}
}

func weightOf(original bool, price, left int64) int64 {
	if original {
		return price
	}
	return left
}

// cut shares d over the picked units of one line.
func (s *session) cut(b *basket, i int, d int64, original bool, rec *recorder) {
	line := &b.lines[i]
	line.left -= d
	var room [16]part
	parts := room[:0]
	pos := int64(0)
	for _, r := range line.runs {
		p := part{pos: pos, n: r.n, left: r.left, done: !r.picked}
		if r.picked {
			p.weight = weightOf(original, s.lines[i].price, r.left)
		}
		parts = append(parts, p)
		pos += r.n
	}
	parts = share(d, parts)
	if len(parts) != len(line.runs) {
		line.runs = make([]run, len(parts), len(parts)+2)
	}
	for j := range parts {
		p := &parts[j]
		line.runs[j] = run{n: p.n, left: p.left - p.share}
		rec.note(i, p.n, p.share)
	}
}

// recorder notes what one coupon takes off every unit, line by line. A nil one
// notes nothing. All runs stand in one list, so that noting seldom allocates.
type recorder struct {
	runs  []models.ShareRun
	lines []recorded
}

// recorded is a line, and where its runs begin.
type recorded struct{ line, from int }

func (r *recorder) note(line int, n, cut int64) {
	if r == nil {
		return
	}
	if last := len(r.lines) - 1; last < 0 || r.lines[last].line != line {
		r.lines = append(r.lines, recorded{line, len(r.runs)})
	} else if end := len(r.runs) - 1; r.runs[end].Discount == cut {
		r.runs[end].Quantity += n
		return
	}
	r.runs = append(r.runs, models.ShareRun{Quantity: n, Discount: cut})
}

// shares returns what was noted. The recorder is not to be used any more.
func (r *recorder) shares() []models.LineShare {
	shares := make([]models.LineShare, len(r.lines))
	until := len(r.runs)
	for i := len(r.lines) - 1; i >= 0; i-- {
		from := r.lines[i].from
		shares[i] = models.LineShare{Line: r.lines[i].line, Units: r.runs[from:until:until]}
		until = from
	}
	return shares
}
