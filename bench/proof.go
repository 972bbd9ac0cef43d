package bench

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"scrip/client"
)

// evidence is what the server says about the sale afterwards.
type evidence struct {
	coupons  []client.Coupon
	template client.Template
	stats    client.TemplateStats
}

// Proof is the sale as the server's own lists tell it, held against the answers
// that the contenders got. Apart from Sold, a right server has 0 everywhere.
type Proof struct {
	Sold  int // coupons there are
	Over  int // of them beyond the stock
	Lost  int // coupons that somebody was told of, and that are not there or belong to somebody else
	Twice int // users with more than one coupon, and coupons granted to more than one user

	Unsold  int // coupons left though there were contenders for them
	Gaps    int // numbers from 1 to Sold that no coupon has as its issue_no
	Unasked int // coupons of users who were neither granted one nor left in doubt
	Denied  int // users refused because they had a coupon, who have none
	Fickle  int // requests answered otherwise when they were sent again with the same Idempotency-Key
	Amiss   int // other disagreements: in what the server counts, or in a coupon's own fields

	// Faults tells each of these in a sentence, with the first few examples.
	Faults []string
}

// Holds reports whether nothing is wrong.
func (p Proof) Holds() bool { return len(p.Faults) == 0 }

// gather reads the evidence. Requests of which nothing was heard may still be
// carried out while it reads, so it reads until nothing has changed meanwhile.
func (s *sale) gather(ctx context.Context) (evidence, error) {
	var e evidence
	const attempts = 5
	for attempt := range attempts {
		before, err := s.api.Template(ctx, s.template)
		if err != nil {
			return e, fmt.Errorf("read the template: %w", err)
		}
		if e.coupons, err = s.coupons(ctx, int(before.Claimed)); err != nil {
			return e, fmt.Errorf("read the coupons: %w", err)
		}
		if e.stats, err = s.api.TemplateStats(ctx, s.template); err != nil {
			return e, fmt.Errorf("read the statistics: %w", err)
		}
		if e.template, err = s.api.Template(ctx, s.template); err != nil {
			return e, fmt.Errorf("read the template: %w", err)
		}
		if e.template.Claimed == before.Claimed || !sleep(ctx, pause(attempt+1, 0)) {
			break
		}
	}
	return e, ctx.Err()
}

func (s *sale) coupons(ctx context.Context, expected int) ([]client.Coupon, error) {
	pages := func(page client.PageOptions) (client.Page[client.Coupon], error) {
		return s.api.TemplateCoupons(ctx, s.template, page)
	}
	const perPage = 200
	coupons := make([]client.Coupon, 0, expected)
	for coupon, err := range client.All(pages, perPage) {
		if err != nil {
			return nil, err
		}
		coupons = append(coupons, coupon)
	}
	return coupons, nil
}

// judge holds the evidence against the answers.
func (s *sale) judge(e evidence) Proof {
	j := judgement{sale: s, rows: make(map[string]*client.Coupon, len(e.coupons)), ofUser: map[string]int{}}
	j.proof.Sold = len(e.coupons)
	j.readRows(e.coupons)
	j.checkStock(e)
	j.checkNumbers(e.coupons)
	j.checkGrants()
	j.checkUnasked(e.coupons)
	j.checkKeys()
	j.checkCounts(e)
	return j.proof
}

// judgement is a proof in the making.
type judgement struct {
	sale   *sale
	proof  Proof
	rows   map[string]*client.Coupon // by id
	ofUser map[string]int            // how many rows
}

// examples gathers what is wrong in one way.
type examples []string

func (x *examples) add(format string, args ...any) {
	*x = append(*x, fmt.Sprintf(format, args...))
}

// conclude adds a fault if there are examples of it, and returns their number.
func (j *judgement) conclude(what string, x examples) int {
	if len(x) == 0 {
		return 0
	}
	const most = 3
	shown := strings.Join(x[:min(most, len(x))], "; ")
	if len(x) > most {
		shown += "; …"
	}
	j.proof.Faults = append(j.proof.Faults, fmt.Sprintf("%s %s: %s", count(len(x)), what, shown))
	return len(x)
}

func (j *judgement) readRows(coupons []client.Coupon) {
	var amiss, twice examples
	for i := range coupons {
		row := &coupons[i]
		if j.rows[row.ID] != nil {
			amiss.add("%s is listed twice", row.ID)
		}
		if row.TemplateID != j.sale.template {
			amiss.add("%s is of template %s", row.ID, row.TemplateID)
		}
		j.rows[row.ID] = row
		j.ofUser[row.UserID]++
		if j.ofUser[row.UserID] == 2 { // each user once
			twice.add("%s", row.UserID)
		}
	}
	j.proof.Amiss += j.conclude("rows of the list are amiss", amiss)
	j.proof.Twice += j.conclude("users have more than one coupon", twice)
}

func (j *judgement) checkStock(e evidence) {
	o := j.sale.options
	var over, unsold examples
	for i := o.Stock; i < len(e.coupons); i++ {
		over.add("%s", e.coupons[len(e.coupons)-1-i].ID)
	}
	j.proof.Over = j.conclude("coupons beyond the stock", over)
	if left := min(o.Stock, o.Users) - len(e.coupons); left > 0 {
		j.proof.Unsold = left
		unsold.add("%s contenders for %s coupons", count(o.Users), count(o.Stock))
		j.conclude("case of coupons left", unsold)
	}
}

// checkNumbers looks for the numbers 1 … n among the issue_no of n coupons.
// One that is repeated or out of range leaves another one out.
func (j *judgement) checkNumbers(coupons []client.Coupon) {
	seen := make([]bool, len(coupons)+1)
	for _, coupon := range coupons {
		if 1 <= coupon.IssueNo && coupon.IssueNo <= int64(len(coupons)) {
			seen[coupon.IssueNo] = true
		}
	}
	var gaps examples
	for number, found := range seen {
		if number > 0 && !found {
			gaps.add("%d", number)
		}
	}
	j.proof.Gaps = j.conclude("issue numbers missing", gaps)
}

// checkGrants looks for every coupon that somebody was told of.
func (j *judgement) checkGrants() {
	var lost, twice, denied, amiss examples
	holder := map[string]int{} // by coupon id
	told := func(p *press, id string) {
		user := j.sale.userID(p.user)
		row := j.rows[id]
		other, known := holder[id]
		switch {
		case known && other == p.user:
			return // told again
		case known:
			twice.add("%s to %s and %s", id, j.sale.userID(other), user)
		case row == nil:
			lost.add("%q of %s", id, user)
		case row.UserID != user:
			lost.add("%s of %s belongs to %s", id, user, row.UserID)
		}
		holder[id] = p.user
	}
	refused := map[int]bool{}
	for _, p := range j.sale.presses {
		switch {
		case !p.decided:
		case p.outcome.granted():
			told(p, p.outcome.coupon)
			if user := j.sale.userID(p.user); p.outcome.user != user {
				amiss.add("the one to %s names %q", user, p.outcome.user)
			}
		case p.outcome.code == client.CodeAlreadyClaimed:
			for _, id := range p.outcome.named {
				told(p, id)
			}
			if user := j.sale.userID(p.user); j.ofUser[user] == 0 && !refused[p.user] {
				refused[p.user] = true
				denied.add("%s", user)
			}
		}
	}
	j.proof.Lost = j.conclude("acknowledged coupons are lost", lost)
	j.proof.Twice += j.conclude("coupons were granted to two users", twice)
	j.proof.Amiss += j.conclude("answers name another user", amiss)
	j.proof.Denied = j.conclude("users were refused for a coupon they do not have", denied)
}

// checkUnasked looks for rows of which nobody was told. A user left in doubt
// may have one; that is what the doubt is about.
func (j *judgement) checkUnasked(coupons []client.Coupon) {
	told := map[string]bool{}    // coupon ids
	inDoubt := map[string]bool{} // user ids
	for _, p := range j.sale.presses {
		if p.decided && p.outcome.granted() {
			told[p.outcome.coupon] = true
		}
		if !p.decided && p.maybe {
			inDoubt[j.sale.userID(p.user)] = true
		}
	}
	var unasked examples
	for _, coupon := range coupons {
		if !told[coupon.ID] && !inDoubt[coupon.UserID] {
			unasked.add("%s of %s", coupon.ID, coupon.UserID)
		}
	}
	j.proof.Unasked = j.conclude("coupons of which nobody was told", unasked)
}

// checkKeys compares the answers to requests that were sent twice.
func (j *judgement) checkKeys() {
	var fickle examples
	first := map[int]*press{}
	for _, p := range j.sale.presses {
		if !p.decided {
			continue
		}
		one, repeated := first[p.key]
		if !repeated {
			first[p.key] = p
			continue
		}
		a, b := one.outcome, p.outcome
		if cmp.Or(cmp.Compare(a.status, b.status), cmp.Compare(a.code, b.code), cmp.Compare(a.coupon, b.coupon)) != 0 {
			fickle.add("%s got %d %s%s and %d %s%s", j.sale.userID(p.user), a.status, a.code, a.coupon, b.status, b.code, b.coupon)
		}
	}
	j.proof.Fickle = j.conclude("requests were answered in two ways with the same key", fickle)
}

// checkCounts compares what the server counts with what it lists.
func (j *judgement) checkCounts(e evidence) {
	var amiss examples
	differ := func(what string, got, want int64) {
		if got != want {
			amiss.add("%s is %d, not %d", what, got, want)
		}
	}
	listed := int64(len(e.coupons))
	stock := int64(j.sale.options.Stock)
	differ("the template's claimed", e.template.Claimed, listed)
	differ("the statistics' claimed", e.stats.Claimed, listed)
	differ("the statistics' sum over all states",
		e.stats.Available+e.stats.Locked+e.stats.Used+e.stats.Expired+e.stats.Revoked, listed)
	for what, remaining := range map[string]*int64{
		"the template's remaining": e.template.Remaining, "the statistics' remaining": e.stats.Remaining,
	} {
		if remaining == nil {
			amiss.add("%s is null", what)
			continue
		}
		differ(what, *remaining, stock-listed)
	}
	slices.Sort(amiss)
	j.proof.Amiss += j.conclude("counts differ from the list", amiss)
}
