package history

import (
	"cmp"
	"math"
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

// asks is what was asked of one xid.
type asks struct {
	tried, confirm, cancel bool          // granted, or may have been
	cancelSent             time.Duration // of the first Cancel
	held                   time.Duration // when the lock was first told of
	over                   time.Duration // when its end was first told of
	made                   int           // answers of 201 to Tries without a key
}

// locks holds every lock's end against what was told of it. A lock ends once:
// so the end that anybody was told of must be the one that is stored.
func (j *judge) locks() {
	all := map[string]*asks{}
	for i := range j.ops {
		op := &j.ops[i]
		if op.XID == "" {
			continue
		}
		a := all[op.XID]
		if a == nil {
			a = &asks{cancelSent: never, held: never, over: never}
			all[op.XID] = a
		}
		a.note(op)
	}
	for i := range j.ops {
		op := &j.ops[i]
		if op.XID != "" && op.Decided() {
			j.lockTold(op, all[op.XID])
		}
	}
	for i := range j.state.Locks {
		j.lockAsked(&j.state.Locks[i], all[j.state.Locks[i].XID])
	}
}

func (a *asks) note(op *Op) {
	granted := op.done() || op.Unknown()
	switch op.Act {
	case Try:
		a.tried = a.tried || granted
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
	case Refund, Claim, Pause, Resume, Stock:
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

// stay is the time that a coupon spent in a lock, in milliseconds of the ids of
// what was done to it: from its lock step until it was free again.
type stay struct {
	lock, from, until int64
	used              bool
}

// idMillis is how many of an id's low bits are below its millisecond. Ids of one
// millisecond come from several servers and do not tell who was first.
const idMillis = 22

// coupons follows every coupon through its locks: it is in one at a time, and
// each lock did to it what the lock's state says.
func (j *judge) coupons() {
	type pair struct{ coupon, lock int64 }
	steps := make(map[pair][]Operation, len(j.state.Operations))
	for _, o := range j.state.Operations {
		at := pair{o.Coupon, o.Lock}
		steps[at] = append(steps[at], o)
	}
	stays := make(map[int64][]stay, len(j.state.Coupons))
	for at, did := range steps {
		slices.SortFunc(did, func(a, b Operation) int { return cmp.Compare(order(a.Step), order(b.Step)) })
		j.stepsFit(at.lock, at.coupon, did)
		stays[at.coupon] = append(stays[at.coupon], stayOf(at.lock, did))
	}
	for i := range j.state.Coupons {
		j.oneLock(&j.state.Coupons[i], stays[j.state.Coupons[i].ID])
	}
}

// order is a step's place in what one lock can do to a coupon.
func order(step string) int {
	return slices.Index([]string{"lock", "confirm", "cancel", "expire", "return"}, step)
}

func stayOf(lock int64, did []Operation) stay {
	s := stay{lock: lock, from: did[0].ID >> idMillis, until: math.MaxInt64}
	switch last := did[len(did)-1]; last.Step {
	case "confirm":
		s.used = true
	case "cancel", "expire", "return":
		s.until = last.ID >> idMillis
	}
	return s
}

// oneLock holds a coupon against its stays in locks.
func (j *judge) oneLock(c *Coupon, stays []stay) {
	slices.SortFunc(stays, func(a, b stay) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.until, b.until)) })
	status, in := "available", int64(0)
	for i, s := range stays {
		if i > 0 && s.from < stays[i-1].until {
			j.broken("a coupon is in one lock", "%d was in lock %d when %d took it", c.ID, stays[i-1].lock, s.lock)
		}
		if s.until == math.MaxInt64 {
			status, in = locked, s.lock
			if s.used {
				status = "used"
			}
		}
	}
	if c.Status != status || c.Lock != in {
		j.broken("a coupon is as its locks left it", "%d is %s in lock %d, not %s in %d", c.ID, c.Status, c.Lock, status, in)
	}
}

// stepsFit holds what a lock did to a coupon against the lock's state. A
// confirmed one may have given the coupon back when all was refunded.
func (j *judge) stepsFit(lockID, coupon int64, did []Operation) {
	lock := j.byLock[lockID]
	if lock == nil {
		j.broken("a lock did what its state says", "there is no lock %d of coupon %d", lockID, coupon)
		return
	}
	want := map[string][]string{
		locked: {"lock"}, confirmed: {"lock", "confirm"}, cancelled: {"lock", "cancel"}, expired: {"lock", "expire"},
	}[lock.State]
	steps := make([]string, len(did))
	for i := range did {
		steps[i] = did[i].Step
	}
	if lock.State == confirmed && len(steps) == 3 && steps[2] == "return" {
		steps = steps[:2]
	}
	if !slices.Equal(steps, want) {
		j.broken("a lock did what its state says", "%s is %s and did %v to coupon %d", lock.XID, lock.State, steps, coupon)
	}
}
