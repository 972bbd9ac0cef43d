package discount

import (
	"cmp"
	"math/bits"
	"slices"
)

// part is what takes a share of a discount: n things alike, standing in a row
// from place pos on, each with the same weight and the same left to give.
type part struct {
	pos    int64
	n      int64
	weight int64
	left   int64
	share  int64 // of each
	rest   uint64
	done   bool // its share stands; it takes no part in further sharing
}

// share splits d over the parts in proportion to their weights, by largest
// remainder, ties to the lower place. What would get more than it has left
// gets just that, and the rest is shared again among the others by the same
// weights, until it fits. A part of which only the first few get one more is
// split in two; the parts come back in their order, perhaps more of them.
//
// It needs Σ n × weight ≤ 2^62, d ≤ Σ n × left, and no weight of 0 where
// something is left.
func share(d int64, parts []part) []part {
	sorted := true
	for {
		whole := int64(0)
		for i := range parts {
			if !parts[i].done {
				whole += parts[i].n * parts[i].weight
			}
		}
		if whole == 0 {
			break
		}
		extra := d
		for i := range parts {
			if p := &parts[i]; !p.done {
				p.share, p.rest = mulDiv(d, p.weight, whole)
				extra -= p.n * p.share
			}
		}
		before := len(parts)
		parts = shareExtra(extra, parts)
		sorted = sorted && len(parts) == before
		handed, over := settleFull(parts)
		if !over {
			break
		}
		d -= handed
	}
	if !sorted {
		slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.pos, b.pos) })
	}
	return parts
}

// shareExtra gives one more to each of the first extra things, by largest
// remainder and then by place.
func shareExtra(extra int64, parts []part) []part {
	for extra > 0 {
		best := -1
		for i := range parts {
			p := &parts[i]
			if p.done || p.rest == 0 {
				continue
			}
			if best < 0 || p.rest > parts[best].rest || p.rest == parts[best].rest && p.pos < parts[best].pos {
				best = i
			}
		}
		if best < 0 {
			return parts // cannot be: the remainders add up to extra wholes
		}
		p := &parts[best]
		p.rest = 0
		if p.n > extra {
			tail := *p
			tail.pos, tail.n = p.pos+extra, p.n-extra
			p.n, p.share = extra, p.share+1
			return append(parts, tail)
		}
		p.share++
		extra -= p.n
	}
	return parts
}

// settleFull fixes the shares of all parts that got more than they have left
// at what they have, and tells how much those take in all.
func settleFull(parts []part) (handed int64, over bool) {
	for i := range parts {
		if p := &parts[i]; !p.done && p.share > p.left {
			p.share, p.done, over = p.left, true, true
			handed += p.n * p.left
		}
	}
	return handed, over
}

// mulDiv returns a × b / c and the remainder. It needs 0 ≤ a, b and 0 < c, and
// that the quotient fits: here always a share of a, for b ≤ c.
func mulDiv(a, b, c int64) (quotient int64, rest uint64) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi == 0 {
		return int64(lo / uint64(c)), lo % uint64(c)
	}
	q, r := bits.Div64(hi, lo, uint64(c))
	return int64(q), r
}

// percent takes bp basis points of n, rounded once, half away from zero.
func percent(n, bp int64) int64 {
	q, r := mulDiv(n, bp, fullBP)
	if 2*r >= fullBP {
		q++
	}
	return q
}

const fullBP = 10_000
