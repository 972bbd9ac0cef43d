package discount

import "scrip/models"

// layout says how far the options from one on need the lines told apart: which
// lines are summed into which cell, and what becomes of the cells once the
// option is decided.
//
// It is built from the last option back. After the last one nothing is told
// apart. An option all of whose lines lie in one cell of the layout after it
// takes its discount from that cell as a whole, however it is shared over the
// lines: before it, its lines are one cell and the rest of that cell another.
// An option whose lines lie in several cells needs each of its lines alone, to
// share exactly as a quote would.
type layout struct {
	id     int   // equal ids: the same cells
	lines  []int // of each cell, one line that stands for all
	prices []int64
	cell   []int // of each line; -1: no later option covers it
	up     []int // of each cell, its cell in the next layout, or -1
	mine   []int // cells that the option covers
	whole  bool  // they are one cell here and lie in one in the next layout
}

// layouts returns the layout before each option from first on, and the one
// after the last.
func (s *session) layouts(options []option, first int) []layout {
	all := make([]layout, len(options)+1)
	last := &all[len(options)]
	last.cell = make([]int, len(s.lines))
	for i := range last.cell {
		last.cell[i] = -1
	}
	for i := len(options) - 1; i >= first; i-- {
		all[i] = s.before(&all[i+1], &options[i])
	}
	return all
}

// before returns the layout in which an option is decided, when the one after
// it is given.
func (s *session) before(after *layout, o *option) layout {
	cell, same := make([]int, len(s.lines)), true
	cover := o.scope
	if o.coupon.rule.Kind == models.KindFreeShipping {
		cover = lineSet{}
	}
	whole := true
	for i := cover.next(0); i >= 0; i = cover.next(i + 1) {
		whole = whole && after.cell[i] == after.cell[cover.next(0)]
	}
	// Cells are named first by where they come from, then numbered by their
	// first lines.
	names := make(map[int]int, len(s.lines))
	l := layout{whole: whole}
	for i := range s.lines {
		name := after.cell[i]
		switch {
		case cover.has(i) && whole:
			name = -2
		case cover.has(i):
			name = -3 - i
		}
		number, known := names[name]
		if !known {
			number = -1
			if name != -1 {
				number = len(l.lines)
				l.lines = append(l.lines, i)
				l.up = append(l.up, after.cell[i])
				l.prices = append(l.prices, 0)
			}
			names[name] = number
		}
		cell[i] = number
		same = same && number == after.cell[i]
		if number >= 0 {
			l.prices[number] += s.lines[i].subtotal
			if cover.has(i) && l.lines[number] == i {
				l.mine = append(l.mine, number)
			}
		}
	}
	l.cell, l.id = cell, after.id
	if !same {
		l.id++
	}
	return l
}

// fold moves a state's cells to the next layout.
func (l *layout) fold(cells []int64) []int64 {
	n := 0
	for _, to := range l.up {
		n = max(n, to+1)
	}
	next := make([]int64, n)
	for i, to := range l.up {
		if to >= 0 {
			next[to] += cells[i]
		}
	}
	return next
}

// toCells turns states on baskets into states on the cells of the first layout
// without units.
func (x *search) toCells(states []*state) {
	l := &x.layouts[x.units]
	for _, st := range states {
		st.cells = make([]int64, len(l.lines))
		for i, cell := range l.cell {
			if cell >= 0 {
				st.cells[cell] += st.basket.lines[i].left
			}
		}
		st.basket = nil
	}
}

// joinCells is join for a state on cells.
func (x *search) joinCells(st *state, i int) *state {
	o, l := &x.options[i], &x.layouts[i]
	r := o.coupon.rule
	if r.Kind == models.KindFreeShipping {
		off := atMost(st.shipping, r.Effect.MaxDiscount)
		if off == 0 || !x.fits(st, o, off) {
			return nil
		}
		next := st.with(i, off)
		next.shipping -= off
		next.cells = l.fold(st.cells)
		return next
	}
	left := int64(0)
	for _, cell := range l.mine {
		left += st.cells[cell]
	}
	base := left
	if r.Stacking.Base == models.BaseOriginal {
		base = o.amount
	}
	off := sumOff(r, base, left)
	if off == 0 || !x.fits(st, o, off) {
		return nil
	}
	next := st.with(i, off)
	next.left -= off
	next.cells = l.fold(st.cells)
	x.shareCells(st, next, i, off)
	return next
}

// shareCells takes a discount from the cells of next, sharing by what st has.
func (x *search) shareCells(st, next *state, i int, off int64) {
	l := &x.layouts[i]
	if l.whole {
		if to := l.up[l.mine[0]]; to >= 0 {
			next.cells[to] -= off
		}
		return
	}
	original := x.options[i].coupon.rule.Stacking.Base == models.BaseOriginal
	var room [24]part
	parts := room[:0]
	for _, cell := range l.mine {
		left := st.cells[cell]
		parts = append(parts, part{
			pos: int64(l.lines[cell]), n: 1, left: left, weight: weightOf(original, l.prices[cell], left),
		})
	}
	for j, p := range share(off, parts) {
		if to := l.up[l.mine[j]]; to >= 0 {
			next.cells[to] -= p.share
		}
	}
}
