package history

import (
	"cmp"
	"slices"
	"time"
)

// The states of locks.
const (
	locked    = "locked"
	confirmed = "confirmed"
	cancelled = "cancelled"
	expired   = "expired"
)

// asks is what was asked of one xid. Times are those of the callers.
type asks struct {
	tried, confirm, cancel bool          // granted, or may have been
	trySent                time.Duration // of the first Try
	cancelSent             time.Duration // of the first Cancel
	refundSent             time.Duration // of the first Refund
	held                   time.Duration // when the lock was first told of
	over                   time.Duration // when its end was first told of
	ttl                    time.Duration
	made                   int // answers of 201 to Tries without a key
}

// locks holds every lock's end against what was told of it. A lock ends once:
// so the end that anybody was told of must be the one that is stored.
func (j *judge) locks() {
	j.asked = map[string]*asks{}
	for i := range j.ops {
		op := &j.ops[i]
		if op.XID == "" {
			continue
		}
		a := j.asked[op.XID]
		if a == nil {
			a = &asks{trySent: never, cancelSent: never, refundSent: never, held: never, over: never}
			j.asked[op.XID] = a
		}
		a.note(op)
	}
	for i := range j.ops {
		op := &j.ops[i]
		if op.XID != "" && op.Decided() {
			j.lockTold(op, j.asked[op.XID])
		}
	}
	for i := range j.state.Locks {
		j.lockAsked(&j.state.Locks[i], j.asked[j.state.Locks[i].XID])
	}
}

func (a *asks) note(op *Op) {
	granted := op.done() || op.Unknown()
	switch op.Act {
	case Try:
		a.tried = a.tried || granted
		a.trySent, a.ttl = min(a.trySent, op.Sent), op.TTL
		if op.done() {
			a.held = min(a.held, op.Answered)
		}
		if op.Status == 201 && !op.Keyed {
			a.made++
		}
	case Confirm:
		a.confirm = a.confirm || granted
	case Cancel:
		a.cancel = a.cancel || granted
		a.cancelSent = min(a.cancelSent, op.Sent)
	case Refund:
		a.refundSent = min(a.refundSent, op.Sent)
	case Claim, Pause, Resume, Stock:
	}
	if end := endTold(op); end != "" {
		a.over = min(a.over, op.Answered)
	}
}

// endTold is the end state that an answer gives away, "" if none.
func endTold(op *Op) string {
	switch op.Code {
	case "lock_confirmed":
		return confirmed
	case "lock_cancelled":
		return cancelled
	case "lock_expired":
		return expired
	}
	if op.State != locked {
		return op.State
	}
	return ""
}

func (j *judge) lockTold(op *Op, a *asks) {
	lock, end := j.locksBy[op.XID], endTold(op)
	switch {
	case lock == nil && (op.done() || end != ""):
		j.broken("every lock that was told of is there", "%s: %s", op.XID, told(op))
		return
	case lock == nil:
		return
	case op.Lock != 0 && op.Lock != lock.ID:
		j.broken("one xid, one lock", "%s is %d, told was %d", op.XID, lock.ID, op.Lock)
	case op.Act == Refund && op.done() && lock.State != confirmed:
		j.broken("a lock ends once", "%s was refunded and is %s", op.XID, lock.State)
	}
	// An expired lock that was cancelled afterwards says cancelled to a Try.
	late := end == cancelled && lock.State == expired && a.cancelSent < op.Answered
	if end != "" && end != lock.State && !late {
		j.broken("a lock ends once", "%s is %s, told was %s", op.XID, lock.State, told(op))
	}
	if op.State == locked && j.requests[op.Request].from > a.over {
		j.broken("a lock does not come back", "%s: %s, after its end was told at %s", op.XID, told(op), a.over)
	}
	if a.made > 1 && op.Status == 201 {
		j.broken("one xid, one lock", "%s was made %d times", op.XID, a.made)
	}
}

// lockAsked looks for locks, and ends of locks, that nobody can have asked for.
func (j *judge) lockAsked(lock *Lock, a *asks) {
	switch {
	case a == nil:
		j.broken("every lock was asked for", "%s", lock.XID)
	case !lock.Tombstone && !a.tried:
		j.broken("every lock was asked for", "%s, of which each Try was refused", lock.XID)
	case lock.State == confirmed && !a.confirm:
		j.broken("every end was asked for", "%s is confirmed", lock.XID)
	case lock.State == cancelled && !a.cancel:
		j.broken("every end was asked for", "%s is cancelled", lock.XID)
	}
}

// coupons follows every coupon through its locks: it is in one at a time, and
// each lock did to it what the lock's state says.
func (j *judge) coupons() {
	type pair struct{ coupon, lock int64 }
	steps := make(map[pair][]string, len(j.state.Operations))
	for _, o := range j.state.Operations {
		at := pair{o.Coupon, o.Lock}
		steps[at] = append(steps[at], o.Step)
	}
	locks := make(map[int64][]stay, len(j.state.Coupons))
	for at, did := range steps {
		slices.SortFunc(did, func(a, b string) int { return cmp.Compare(order(a), order(b)) })
		if lock := j.byLock[at.lock]; lock == nil {
			j.broken("a lock did what its state says", "there is no lock %d of coupon %d", at.lock, at.coupon)
		} else {
			j.stepsFit(lock, at.coupon, did)
			locks[at.coupon] = append(locks[at.coupon], stay{lock, did[len(did)-1]})
		}
	}
	for i := range j.state.Coupons {
		c := &j.state.Coupons[i]
		j.standsRight(c, locks[c.ID])
		j.oneLock(c, locks[c.ID])
	}
}

// order is a step's place in what one lock can do to a coupon.
func order(step string) int {
	return slices.Index([]string{"lock", "confirm", "cancel", "expire", "return"}, step)
}

// stay is a coupon's time in a lock, and the last thing that was done to it there.
type stay struct {
	*Lock

	last string
}

// standsRight holds a coupon's row against the lock that it is in still, if any.
func (j *judge) standsRight(c *Coupon, stays []stay) {
	status, in := "available", int64(0)
	for _, s := range stays {
		if s.last != "lock" && s.last != "confirm" {
			continue
		}
		if in != 0 {
			j.broken("a coupon is in one lock", "%d is in %d and in %d", c.ID, in, s.ID)
		}
		if status, in = locked, s.ID; s.last == "confirm" {
			status = "used"
		}
	}
	if c.Status != status || c.Lock != in {
		j.broken("a coupon is as its locks left it", "%d is %s in lock %d, not %s in %d", c.ID, c.Status, c.Lock, status, in)
	}
}

// oneLock looks for a lock that was made from beginning to end while another
// had the coupon for sure. That is told by the callers' clock: the ids of two
// servers do not say who came first.
func (j *judge) oneLock(c *Coupon, stays []stay) {
	for _, one := range stays {
		had := j.asked[one.XID]
		if had == nil || had.held == never {
			continue
		}
		for _, other := range stays {
			if took := j.asked[other.XID]; took != nil && other.ID != one.ID && had.held < took.trySent && took.held < had.surelyUntil(one.State) {
				j.broken("a coupon is in one lock", "%d was in %s when %s took it", c.ID, one.XID, other.XID)
			}
		}
	}
}

// surelyUntil is how long at the least a lock kept its coupons.
func (a *asks) surelyUntil(state string) time.Duration {
	if state == confirmed {
		return a.refundSent
	}
	const off = 100 * time.Millisecond // what the servers' clock may differ from the callers'
	return min(a.cancelSent, a.trySent+a.ttl-off)
}

// stepsFit holds what a lock did to a coupon against the lock's state. A
// confirmed one may have given the coupon back when all was refunded.
func (j *judge) stepsFit(lock *Lock, coupon int64, steps []string) {
	want := map[string][]string{
		locked: {"lock"}, confirmed: {"lock", "confirm"}, cancelled: {"lock", "cancel"}, expired: {"lock", "expire"},
	}[lock.State]
	if lock.State == confirmed && len(steps) == 3 && steps[2] == "return" {
		steps = steps[:2]
	}
	if !slices.Equal(steps, want) {
		j.broken("a lock did what its state says", "%s is %s and did %v to coupon %d", lock.XID, lock.State, steps, coupon)
	}
}
