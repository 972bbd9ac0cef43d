package history

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// row is a coupon and when it can have been made: after the first attempt at
// its claim was sent, and before anybody was told of it.
type row struct {
	*Coupon

	from, until time.Duration
	asked       bool
}

// holder is a user of a template.
type holder struct {
	template int64
	user     string
}

// claims holds every template's coupons against what its claimers were told.
func (j *judge) claims() {
	rows := make(map[int64]*row, len(j.state.Coupons))
	byUser := make(map[holder][]*row, len(j.state.Coupons))
	byTemplate := map[int64][]*row{}
	all := make([]row, len(j.state.Coupons))
	for i := range j.state.Coupons {
		r := &all[i]
		*r = row{Coupon: &j.state.Coupons[i], from: never, until: never}
		if rows[r.ID] != nil {
			j.broken("ids are unique", "coupon %d", r.ID)
		}
		rows[r.ID] = r
		who := holder{r.Template, r.User}
		byUser[who] = append(byUser[who], r)
		byTemplate[r.Template] = append(byTemplate[r.Template], r)
	}
	j.grants(rows)
	j.wanted(byUser)
	for i := range j.state.Templates {
		t := &j.state.Templates[i]
		j.template(t, byTemplate[t.ID])
		for _, r := range byTemplate[t.ID] {
			if have := byUser[holder{t.ID, r.User}]; int64(len(have)) > t.Limit && have[0] == r {
				j.broken("nobody is over the limit", "%s has %d of template %d, at most %d", r.User, len(have), t.ID, t.Limit)
			}
		}
	}
}

// grants looks up every coupon that somebody was told of.
func (j *judge) grants(rows map[int64]*row) {
	for i := range j.ops {
		op := &j.ops[i]
		if op.Act != Claim {
			continue
		}
		if op.done() {
			j.told(op, op.Coupon, rows)
			if r := rows[op.Coupon]; r != nil && r.IssueNo != op.IssueNo {
				j.broken("every 201 has its row", "coupon %d has number %d, told was %d", op.Coupon, r.IssueNo, op.IssueNo)
			}
		}
		for _, id := range op.Named {
			j.told(op, id, rows)
		}
	}
}

func (j *judge) told(op *Op, coupon int64, rows map[int64]*row) {
	r := rows[coupon]
	switch {
	case r == nil:
		j.broken("every 201 has its row", "coupon %d of %s, told at %s with %d %s", coupon, op.User, op.Answered, op.Status, op.Code)
		return
	case r.User != op.User || r.Template != op.Template:
		j.broken("a coupon has one owner", "%d of %s was told to %s", coupon, r.User, op.User)
		return
	}
	r.until = min(r.until, op.Answered)
	if op.done() {
		r.asked = true
		r.from = min(r.from, j.requests[op.Request].from)
	}
}

// wanted looks for coupons that nobody was granted. A user who was left in doubt
// may have one; that is what the doubt is about.
func (j *judge) wanted(byUser map[holder][]*row) {
	doubts := map[holder][]*request{}
	seen := map[*request]bool{}
	for i := range j.ops {
		op := &j.ops[i]
		r := j.requests[op.Request]
		if op.Act == Claim && r.unknown && !seen[r] {
			seen[r] = true
			who := holder{op.Template, op.User}
			doubts[who] = append(doubts[who], r)
		}
	}
	for who, rows := range byUser {
		for _, r := range rows {
			if r.asked {
				continue
			}
			if len(doubts[who]) == 0 {
				j.broken("every row was asked for", "coupon %d of %s, of template %d", r.ID, r.User, r.Template)
			}
			for _, doubt := range doubts[who] {
				r.from = min(r.from, doubt.from)
			}
		}
	}
}

func (j *judge) template(t *Template, rows []*row) {
	slices.SortFunc(rows, func(a, b *row) int { return cmp.Compare(a.IssueNo, b.IssueNo) })
	if t.Claimed != int64(len(rows)) {
		j.broken("claimed counts the coupons", "template %d: claimed %d, coupons %d", t.ID, t.Claimed, len(rows))
	}
	if t.Stock != nil && int64(len(rows)) > *t.Stock {
		j.broken("no more is issued than there is stock", "template %d: %d of %d", t.ID, len(rows), *t.Stock)
	}
	for i, r := range rows {
		if r.IssueNo != int64(i+1) {
			j.broken("issue numbers run from 1 without gap or double", "template %d: number %d at place %d", t.ID, r.IssueNo, i+1)
			break
		}
	}
	j.inOrder(t, rows)
	edits := j.edits(t)
	j.withinStock(t, rows, edits)
	j.soldOut(t, rows, edits)
	j.paused(t, rows)
}

// inOrder looks for a coupon that somebody held before another was asked for
// which has the smaller number: the decisions would not fit any order in time.
func (j *judge) inOrder(t *Template, rows []*row) {
	earliest := (*row)(nil) // told of first, among the rows with larger numbers
	for _, r := range slices.Backward(rows) {
		if earliest != nil && r.from != never && earliest.until < r.from {
			j.broken("numbers follow time", "template %d: %d was told at %s, %d asked for at %s",
				t.ID, earliest.IssueNo, earliest.until, r.IssueNo, r.from)
		}
		if earliest == nil || r.until < earliest.until {
			earliest = r
		}
	}
}

// edit is a stock that was in effect from some moment between its two first
// times on, until some moment at or before the end of the next edit.
type edit struct {
	stock       int64
	from, until time.Duration // at the widest
}

// edits lists the stocks that a template had, in order; none without a stock.
func (j *judge) edits(t *Template) []edit {
	if t.Initial == nil {
		return nil
	}
	list := []edit{{stock: *t.Initial, until: never}}
	for i := range j.ops {
		op := &j.ops[i]
		r := j.requests[op.Request]
		if op.Act != Stock || op.Template != t.ID || r.first != op || !op.done() {
			continue
		}
		last := &list[len(list)-1]
		last.until = op.Answered
		list = append(list, edit{stock: last.stock + op.Amount, from: r.from, until: never})
	}
	if last := list[len(list)-1].stock; t.Stock == nil || *t.Stock != last {
		j.broken("stock edits add up", "template %d: the row has another stock than %d", t.ID, last)
	}
	return list
}

// overlapping are the stocks that can have been in effect at some moment of a span.
func overlapping(edits []edit, from, until time.Duration) []edit {
	first := sort.Search(len(edits), func(i int) bool { return edits[i].until >= from })
	end := sort.Search(len(edits), func(i int) bool { return edits[i].from > until })
	return edits[min(first, end):end]
}

// withinStock holds each coupon against the stock at the time it was made.
func (j *judge) withinStock(t *Template, rows []*row, edits []edit) {
	if len(edits) == 0 {
		return
	}
	for _, r := range rows {
		if r.from == never {
			continue
		}
		most := int64(0)
		for _, e := range overlapping(edits, r.from, r.until) {
			most = max(most, e.stock)
		}
		if r.IssueNo > most {
			j.broken("no more is issued than there is stock", "template %d: number %d while there were %d", t.ID, r.IssueNo, most)
		}
	}
}

// loosening is how long an edit that gives more may take to be seen on every
// server.
const loosening = 2 * time.Second

// soldOut looks for users who were told that all is gone while it cannot have
// been, not by a stock that had just been raised either.
func (j *judge) soldOut(t *Template, rows []*row, edits []edit) {
	if len(rows) == 0 && len(edits) == 0 {
		return
	}
	begun := make([]time.Duration, 0, len(rows)) // when each coupon was asked for
	for _, r := range rows {
		begun = append(begun, r.from)
	}
	slices.Sort(begun)
	for i := range j.ops {
		op := &j.ops[i]
		if op.Act != Claim || op.Code != "sold_out" || op.Template != t.ID {
			continue
		}
		gone := int64(sort.Search(len(begun), func(i int) bool { return begun[i] >= op.Answered })) // at most
		possible := slices.ContainsFunc(overlapping(edits, j.requests[op.Request].from-loosening, op.Answered),
			func(e edit) bool { return gone >= e.stock })
		if !possible {
			j.broken("sold out is said only of what is", "template %d: to %s at %s, when at most %d were gone", t.ID, op.User, op.Answered, gone)
		}
	}
}

// paused looks for coupons that were asked for after a pause was answered, and
// granted before the template was resumed.
func (j *judge) paused(t *Template, rows []*row) {
	type span struct{ from, until time.Duration }
	var spans []span
	for i := range j.ops {
		op := &j.ops[i]
		r := j.requests[op.Request]
		switch {
		case op.Template != t.ID:
		case op.Act == Pause && r.first == op && op.done():
			spans = append(spans, span{from: op.Answered, until: never})
		case op.Act == Resume && len(spans) > 0 && spans[len(spans)-1].until == never:
			spans[len(spans)-1].until = r.from
		}
	}
	if len(spans) == 0 {
		return
	}
	for _, r := range rows {
		i := sort.Search(len(spans), func(i int) bool { return spans[i].from >= r.from }) - 1 // the last that had begun
		if i >= 0 && r.from != never && r.until < spans[i].until {
			j.broken("nothing is issued while paused", "template %d: number %d, asked for at %s, %s after the pause",
				t.ID, r.IssueNo, r.from, r.from-spans[i].from)
		}
	}
}
