package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"scrip/e2e/faults/history"
)

const (
	attempts       = 4               // at one request, before it is left in doubt
	attemptTimeout = 5 * time.Second // after which a user takes an answer for lost
)

// ask is a request: where it goes, and what the history says of it.
type ask struct {
	history.Op

	path string
	body object
}

// load is users at work.
type load struct {
	*world

	stop  context.Context //nolint:containedctx // no user begins anything once it has ended
	halt  context.CancelCauseFunc
	users sync.WaitGroup

	mu     sync.Mutex
	doubts []ask // nobody knows what became of them
}

// startLoad sets the plan's users to work.
func (w *world) startLoad() *load {
	stop, halt := context.WithCancelCause(w.Context())
	l := &load{world: w, stop: stop, halt: halt}
	for i := range w.plan.Users {
		u := &user{load: l, name: fmt.Sprint("w", i), rng: random(w.plan.Row, w.plan.Seed, fmt.Sprint("user ", i))}
		l.users.Go(u.work)
	}
	return l
}

// rest lets the load go on for as long as the plan says, and on a slow machine
// until there were enough requests, and returns how long that was.
func (l *load) rest(enough int) time.Duration {
	begun := time.Now()
	pause(l.Context(), l.plan.Rest)
	for l.log.count() < enough && time.Since(begun) < patience {
		pause(l.Context(), 50*time.Millisecond)
	}
	return time.Since(begun)
}

// end lets every user finish what it is at.
func (l *load) end() {
	l.halt(nil)
	l.users.Wait()
}

// doubt keeps a request for when all is healed.
func (l *load) doubt(a ask) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubts = append(l.doubts, a)
}

// user does one thing after the other; sometimes one of them twice at once.
type user struct {
	*load

	name  string
	rng   *rand.Rand
	asked int

	shopper string  // whose coupons these are
	wallet  []int64 // of the stream, not in a lock
}

func (u *user) chance(percent int) bool { return u.rng.IntN(100) < percent }

func (u *user) work() {
	p := u.plan.Weights
	for u.stop.Err() == nil {
		switch n := u.rng.IntN(p.Claim + p.Order + p.Orphan); {
		case n < p.Claim:
			u.claim(u.sale, u.newShopper())
		case n < p.Claim+p.Order:
			u.order()
		default:
			u.orphan()
		}
		pause(u.stop, time.Duration(u.rng.Int64N(int64(u.plan.Think)+1)))
	}
}

// newShopper names a user who has nothing yet.
func (w *world) newShopper() string { return "u" + strconv.FormatInt(w.users.Add(1), 10) }

// ask sends a request until it has an answer that stands, in bounds.
func (u *user) ask(a ask) history.Op {
	u.asked++
	a.Request = u.name + "-" + strconv.Itoa(u.asked)
	// A user may have several coupons of the stream: a claim of one is the same
	// claim only by its key.
	a.Keyed = u.chance(u.plan.Weights.Keyed) || a.Act == history.Claim && a.Template == u.stream
	var twin sync.WaitGroup
	if server := u.rng.IntN(len(u.servers)); u.chance(u.plan.Weights.Twin) {
		twin.Go(func() { u.attempt(u.Context(), a, server) })
	}
	defer twin.Wait()
	inDoubt := false
	for n := range attempts {
		got := u.attempt(u.Context(), a, u.rng.IntN(len(u.servers)))
		inDoubt = inDoubt || got.Unknown()
		if got.Decided() || got.Status/100 == 4 && got.Code != "in_progress" {
			return got
		}
		if !pause(u.stop, time.Duration(n+1)*time.Duration(20+u.rng.IntN(130))*time.Millisecond) {
			break
		}
	}
	if inDoubt {
		u.doubt(a)
	}
	return history.Op{}
}

// attempt sends a request once, and notes what was heard of it.
func (w *world) attempt(ctx context.Context, a ask, server int) history.Op {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	op, key := a.Op, ""
	if op.Keyed {
		key = op.Request
	}
	var body any // and not a nil object, which would be sent as null
	if a.body != nil {
		body = a.body
	}
	op.Server, op.Sent = server, w.since()
	got, err := w.send(ctx, server, http.MethodPost, a.path, key, body)
	if err == nil {
		op.Answered, op.Status = w.since(), got.status
		read(&op, got)
	}
	w.log.add(op)
	return op
}

// read takes from an answer what the history keeps of it.
func read(op *history.Op, got reply) {
	if got.status >= http.StatusBadRequest {
		op.Code = got.text("code")
	}
	if ids, named := got.body["coupon_ids"].([]any); named {
		for _, id := range ids {
			op.Named = append(op.Named, reply{body: object{"id": id}}.number("id"))
		}
	}
	if !op.Decided() || op.Status == http.StatusConflict {
		return
	}
	switch op.Act {
	case history.Claim:
		op.Coupon, op.IssueNo = got.number("id"), got.number("issue_no")
	case history.Try, history.Confirm, history.Cancel:
		op.Lock, op.State = got.number("id"), got.text("state")
	case history.Refund:
		op.Paid = got.number("amount")
	case history.Pause, history.Resume, history.Stock:
	}
}

func claimOf(template int64, shopper string) ask {
	return ask{
		Op:   history.Op{Act: history.Claim, Template: template, User: shopper},
		path: "/claims", body: object{"template_id": strconv.FormatInt(template, 10), "user_id": shopper},
	}
}

func (u *user) claim(template int64, shopper string) history.Op {
	return u.ask(claimOf(template, shopper))
}

// The times to live of locks, in seconds: of one that nobody ends, and of the others.
const (
	shortTTL = 1
	longTTL  = 600
)

// unitsOf is how many units an order has, all in one line.
const unitsOf = 3

// order takes coupons to a checkout, and goes through it or not.
func (u *user) order() {
	if len(u.wallet) == 0 {
		u.shopper = u.newShopper()
		for range 1 + u.rng.Int64N(u.plan.Limit) {
			if got := u.claim(u.stream, u.shopper); got.Coupon != 0 {
				u.wallet = append(u.wallet, got.Coupon)
			}
		}
	}
	if len(u.wallet) == 0 {
		return
	}
	n := 1 + u.rng.IntN(len(u.wallet))
	coupons := slices.Clone(u.wallet[:n])
	u.wallet = slices.Delete(u.wallet, 0, n)
	ttl := longTTL
	left := u.rng.IntN(100) >= u.plan.Weights.Confirm+u.plan.Weights.Cancel+u.plan.Weights.Both
	if left {
		ttl = shortTTL
	}
	xid := fmt.Sprint(u.name, "-x", u.asked)
	lock := u.ask(tryOf(xid, u.shopper, ttl, coupons))
	switch {
	case left && lock.Lock != 0: // nobody ends it; its coupons may be had again, but not by us
	case lock.Lock == 0 && lock.Decided():
		u.shopper, u.wallet = "", nil // a budget is used up, or its part for this user
	case lock.Lock == 0:
		u.cancel(xid) // as a checkout does that was left in doubt
	default:
		u.finish(xid, coupons)
	}
}

// tryOf is a lock for ttl seconds.
func tryOf(xid, shopper string, ttl int, coupons []int64) ask {
	ids := make([]string, len(coupons))
	for i, id := range coupons {
		ids[i] = strconv.FormatInt(id, 10)
	}
	body := object{
		"xid": xid, "order_id": "order of " + xid, "coupon_ids": ids, "ttl_seconds": ttl,
		"cart": object{
			"user_id": shopper, "currency": "USD", "shipping": 500,
			"lines": []object{{"line_id": "1", "sku": "shirt", "quantity": unitsOf, "unit_price": 2000}},
		},
	}
	return ask{Op: history.Op{Act: history.Try, XID: xid, User: shopper, TTL: time.Duration(ttl) * time.Second}, path: "/locks", body: body}
}

// endOf confirms or cancels.
func endOf(act history.Act, xid string) ask {
	return ask{Op: history.Op{Act: act, XID: xid}, path: "/locks/" + xid + "/" + string(act)}
}

func (u *user) confirm(xid string) history.Op { return u.ask(endOf(history.Confirm, xid)) }

func (u *user) cancel(xid string) history.Op { return u.ask(endOf(history.Cancel, xid)) }

// finish confirms a lock, or cancels it, or does both at once.
func (u *user) finish(xid string, coupons []int64) {
	w, dice := u.plan.Weights, u.rng.IntN(u.plan.Weights.Confirm+u.plan.Weights.Cancel+u.plan.Weights.Both)
	switch {
	case dice < w.Confirm:
		if u.confirm(xid).State == "confirmed" && u.chance(w.Refund) {
			u.refund(xid, coupons)
		}
	case dice < w.Confirm+w.Cancel:
		if u.cancel(xid).State == "cancelled" {
			u.wallet = append(u.wallet, coupons...)
		}
	default:
		rival := &user{load: u.load, name: u.name + "-rival" + strconv.Itoa(u.asked), rng: rand.New(rand.NewPCG(u.rng.Uint64(), 0))}
		var both sync.WaitGroup
		both.Go(func() { rival.cancel(xid) })
		u.confirm(xid)
		both.Wait()
	}
}

// refund gives some or all of the units back. With the last one the coupons return.
func (u *user) refund(xid string, coupons []int64) {
	for left := unitsOf; left > 0 && !u.chance(30); {
		units := 1 + u.rng.IntN(left)
		id := fmt.Sprint("r", left)
		got := u.ask(ask{
			Op:   history.Op{Act: history.Refund, XID: xid, RefundID: id},
			path: "/locks/" + xid + "/refund", body: object{"refund_id": id, "lines": []object{{"line_id": "1", "quantity": units}}},
		})
		if got.Status != http.StatusOK {
			return
		}
		if left -= units; left == 0 {
			u.wallet = append(u.wallet, coupons...)
		}
	}
}

// orphan cancels before it tries.
func (u *user) orphan() {
	xid := fmt.Sprint(u.name, "-o", u.asked)
	u.cancel(xid)
	u.ask(tryOf(xid, "nobody", longTTL, nil))
}
