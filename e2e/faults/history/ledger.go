package history

import (
	"cmp"
	"slices"
)

// account is a budget's period.
type account struct{ budget, period int64 }

// sums are what an account's counters must be.
type sums struct{ used, held int64 }

// movement is what one lock took of one budget for one coupon.
type movement struct {
	lock, coupon, budget int64
}

// moved is how much went each way, and how often.
type moved struct {
	hold, use, release, returned int64
	holds, ends                  int
}

// ledger adds up every budget's movements, in their order: never more is used
// and held than there is, and what a lock holds moves on once.
func (j *judge) ledger() {
	totals := map[account]*int64{}
	for _, b := range j.state.Budgets {
		totals[account{b.ID, b.Period}] = b.Total
	}
	slices.SortFunc(j.state.Usages, inTime)
	balances := map[account]*sums{}
	movements := map[movement]*moved{}
	for i := range j.state.Usages {
		u := &j.state.Usages[i]
		at := account{u.Budget, u.Period}
		if balances[at] == nil {
			balances[at] = &sums{}
		}
		balances[at].apply(u)
		if total := totals[at]; total != nil && balances[at].used+balances[at].held > *total {
			j.broken("used and held are within the total", "budget %d: %d of %d with entry %d",
				u.Budget, balances[at].used+balances[at].held, *total, u.ID)
		}
		m := movement{u.Lock, u.Coupon, u.Budget}
		if movements[m] == nil {
			movements[m] = &moved{}
		}
		movements[m].apply(u)
	}
	for _, b := range j.state.Budgets {
		var sum sums
		if found := balances[account{b.ID, b.Period}]; found != nil {
			sum = *found
		}
		if b.Used != sum.used || b.Held != sum.held {
			j.broken("counters are the ledger's sums", "budget %d: used %d and held %d, not %d and %d", b.ID, b.Used, b.Held, sum.used, sum.held)
		}
		if b.Total != nil && b.Used+b.Held > *b.Total {
			j.broken("used and held are within the total", "budget %d: %d and %d of %d", b.ID, b.Used, b.Held, *b.Total)
		}
	}
	for m, did := range movements {
		j.movesOnce(m, did)
	}
}

// The ids of two servers order what they did only as well as their clocks
// agree: what gives back counts as early as it can have been.
const clockOff = 50 // ms

// idMillis is how many of an id's low bits are below its millisecond.
const idMillis = 22

// inTime orders entries by their ids, as far as those tell.
func inTime(a, b Usage) int {
	at := func(u *Usage) int64 {
		if u.Step == "release" || u.Step == "return" {
			return u.ID>>idMillis - clockOff
		}
		return u.ID >> idMillis
	}
	return cmp.Or(cmp.Compare(at(&a), at(&b)), cmp.Compare(a.ID, b.ID))
}

func (s *sums) apply(u *Usage) {
	switch u.Step {
	case "hold":
		s.held += u.Amount
	case "use":
		s.held, s.used = s.held-u.Amount, s.used+u.Amount
	case "release":
		s.held -= u.Amount
	case "return":
		s.used -= u.Amount
	}
}

func (m *moved) apply(u *Usage) {
	switch u.Step {
	case "hold":
		m.hold += u.Amount
		m.holds++
	case "use":
		m.use += u.Amount
		m.ends++
	case "release":
		m.release += u.Amount
		m.ends++
	case "return":
		m.returned += u.Amount
	}
}

// movesOnce holds a movement against the lock that made it.
func (j *judge) movesOnce(m movement, did *moved) {
	lock := j.byLock[m.lock]
	if lock == nil {
		j.broken("money moves once", "budget %d was moved by lock %d, which is not there", m.budget, m.lock)
		return
	}
	fits := did.holds == 1
	switch lock.State {
	case locked:
		fits = fits && did.ends == 0 && did.returned == 0
	case confirmed:
		fits = fits && did.ends == 1 && did.use == did.hold && did.returned <= did.use
	default:
		fits = fits && did.ends == 1 && did.release == did.hold && did.returned == 0
	}
	if !fits {
		j.broken("money moves once", "%s is %s: held %d in %d steps, used %d, released %d, returned %d of budget %d",
			lock.XID, lock.State, did.hold, did.holds, did.use, did.release, did.returned, m.budget)
	}
}

// refunds holds every refund that was told of against its row, and each row
// against who can have asked for it.
func (j *judge) refunds() {
	type name struct {
		xid, refund string
	}
	rows := map[name]int64{}
	paid := map[int64]int64{}
	for _, r := range j.state.Refunds {
		lock := j.byLock[r.Lock]
		if lock == nil {
			j.broken("a refund belongs to a lock", "%s of lock %d", r.RefundID, r.Lock)
			continue
		}
		n := name{lock.XID, r.RefundID}
		if _, twice := rows[n]; twice {
			j.broken("a refund is paid once", "%s of %s", r.RefundID, lock.XID)
		}
		rows[n] = r.Amount
		paid[r.Lock] += r.Amount
	}
	for i := range j.state.Locks {
		if l := &j.state.Locks[i]; paid[l.ID] != l.Refunded || l.Refunded > l.Payable {
			j.broken("a refund is paid once", "%s: refunds come to %d, counted are %d of %d", l.XID, paid[l.ID], l.Refunded, l.Payable)
		}
	}
	asked := map[name]bool{}
	for i := range j.ops {
		op := &j.ops[i]
		if op.Act != Refund {
			continue
		}
		n := name{op.XID, op.RefundID}
		asked[n] = asked[n] || op.done() || op.Unknown()
		if amount, there := rows[n]; op.done() && (!there || amount != op.Paid) {
			j.broken("every refund that was told of is there", "%s of %s: %d told, %d stored", op.RefundID, op.XID, op.Paid, amount)
		}
	}
	for n := range rows {
		if !asked[n] {
			j.broken("every refund was asked for", "%s of %s", n.refund, n.xid)
		}
	}
}
