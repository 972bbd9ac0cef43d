package discount

import (
	"math/bits"

	"scrip/models"
)

// lineSet is a set of the lines of one cart, by index.
type lineSet [(models.MaxLines + 63) / 64]uint64

func (s *lineSet) add(i int)      { s[i>>6] |= 1 << (i & 63) }
func (s *lineSet) has(i int) bool { return s[i>>6]&(1<<(i&63)) != 0 }
func (s *lineSet) empty() bool    { return *s == lineSet{} }

func (s *lineSet) join(o *lineSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s *lineSet) keep(o *lineSet) {
	for i := range s {
		s[i] &= o[i]
	}
}

func (s *lineSet) drop(o *lineSet) {
	for i := range s {
		s[i] &^= o[i]
	}
}

// next returns the first line of the set at or after i, or -1.
func (s *lineSet) next(i int) int {
	for w := i >> 6; w < len(s); w++ {
		word := s[w]
		if w == i>>6 {
			word &= ^uint64(0) << (i & 63)
		}
		if word != 0 {
			return w<<6 | bits.TrailingZeros64(word)
		}
	}
	return -1
}

// lineIndex finds the lines of a cart by what scopes name them by. A scope can
// name a thousand skus; the cart seldom has more than a few.
type lineIndex struct {
	all        lineSet
	skus       map[string]*lineSet
	categories map[string]*lineSet
	owners     []lineOwner
}

// lineOwner is a merchant and its lines; carts have few merchants.
type lineOwner struct {
	merchantID string
	lines      lineSet
}

func newLineIndex(cart *models.Cart, lines []cartLine) *lineIndex {
	x := &lineIndex{skus: make(map[string]*lineSet, len(lines)), categories: map[string]*lineSet{}}
	for i := range lines {
		line := lines[i].line
		x.all.add(i)
		addTo(x.skus, line.SKU, i)
		for _, category := range line.CategoryIDs {
			addTo(x.categories, category, i)
		}
		x.addOwner(cart.Owner(line), i)
	}
	return x
}

func addTo(m map[string]*lineSet, key string, i int) {
	set := m[key]
	if set == nil {
		set = new(lineSet)
		m[key] = set
	}
	set.add(i)
}

func (x *lineIndex) addOwner(merchantID string, i int) {
	for j := range x.owners {
		if x.owners[j].merchantID == merchantID {
			x.owners[j].lines.add(i)
			return
		}
	}
	x.owners = append(x.owners, lineOwner{merchantID: merchantID})
	x.owners[len(x.owners)-1].lines.add(i)
}

// covered returns the lines that a scope covers: of the given merchant only,
// or of all for the platform ("").
func (x *lineIndex) covered(scope *models.Scope, merchantID string) lineSet {
	var set lineSet
	if len(scope.SKUs) == 0 && len(scope.CategoryIDs) == 0 {
		set = x.all
	}
	for _, sku := range scope.SKUs {
		if lines := x.skus[sku]; lines != nil {
			set.join(lines)
		}
	}
	for _, category := range scope.CategoryIDs {
		if lines := x.categories[category]; lines != nil {
			set.join(lines)
		}
	}
	for _, sku := range scope.ExcludeSKUs {
		if lines := x.skus[sku]; lines != nil {
			set.drop(lines)
		}
	}
	for _, category := range scope.ExcludeCategoryIDs {
		if lines := x.categories[category]; lines != nil {
			set.drop(lines)
		}
	}
	if merchantID != "" {
		own := x.owned(merchantID)
		set.keep(&own)
	}
	return set
}

func (x *lineIndex) owned(merchantID string) lineSet {
	for i := range x.owners {
		if x.owners[i].merchantID == merchantID {
			return x.owners[i].lines
		}
	}
	return lineSet{}
}
