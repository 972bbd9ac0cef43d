package history_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"scrip/e2e/faults/history"
)

// at makes an id of the given millisecond.
func at(ms, n int64) int64 { return ms<<22 | n }

const ms = time.Millisecond

// run is a small history in which all is right, to be spoilt.
type run struct {
	ops   []history.Op
	state history.State
}

func (r *run) op(name string) *history.Op {
	i := slices.IndexFunc(r.ops, func(op history.Op) bool { return op.Request == name })
	if i < 0 {
		panic("no request " + name)
	}
	return &r.ops[i]
}

func (r *run) add(op history.Op) { r.ops = append(r.ops, op) }

func (r *run) lock(xid string) *history.Lock {
	return &r.state.Locks[slices.IndexFunc(r.state.Locks, func(l history.Lock) bool { return l.XID == xid })]
}

func (r *run) drop(coupon int64) {
	r.state.Coupons = slices.DeleteFunc(r.state.Coupons, func(c history.Coupon) bool { return c.ID == coupon })
}

// right has two templates: 1 sells its three coupons to four users, 2 is paused,
// resumed and stocked up. Of the five locks each ends in another way.
func right() *run {
	r := &run{}
	claim := func(name, user string, template, coupon, no int64, sent, answered time.Duration) {
		op := history.Op{
			Act: history.Claim, Request: name, Keyed: true, Template: template, User: user,
			Sent: sent, Answered: answered, Status: 201, Coupon: coupon, IssueNo: no,
		}
		r.add(op)
		r.state.Coupons = append(r.state.Coupons, history.Coupon{
			ID: coupon, Template: template, User: user, IssueNo: no, Status: "available",
		})
	}
	claim("a", "ann", 1, 11, 1, 1*ms, 5*ms)
	claim("b", "bob", 1, 12, 2, 2*ms, 6*ms)
	claim("c", "cid", 1, 13, 3, 7*ms, 9*ms)
	r.add(history.Op{
		Act: history.Claim, Request: "d", Template: 1, User: "dan", Sent: 10 * ms, Answered: 11 * ms, Status: 409, Code: "sold_out",
	})
	r.add(history.Op{ // told of the coupon that the user has
		Act: history.Claim, Request: "a again", Template: 1, User: "ann", Sent: 10 * ms, Answered: 12 * ms,
		Status: 409, Code: "already_claimed", Named: []int64{11},
	})

	claim("e", "eve", 2, 21, 1, 1*ms, 4*ms)
	step := func(act history.Act, name string, sent, answered time.Duration, amount int64) {
		r.add(history.Op{
			Act: act, Request: name, Template: 2, Sent: sent, Answered: answered, Status: 200, Amount: amount,
		})
	}
	step(history.Pause, "pause", 5*ms, 6*ms, 0)
	step(history.Resume, "resume", 20*ms, 22*ms, 0)
	step(history.Stock, "more", 23*ms, 25*ms, 2)
	r.add(history.Op{Act: history.Claim, Request: "f", Keyed: true, Template: 2, User: "fay", Sent: 26 * ms}) // no answer
	claim("f", "fay", 2, 22, 2, 40*ms, 45*ms)                                                                 // the same again
	r.state.Templates = []history.Template{
		{ID: 1, Initial: new(int64(3)), Stock: new(int64(3)), Claimed: 3, Limit: 1},
		{ID: 2, Initial: new(int64(1)), Stock: new(int64(3)), Claimed: 2, Limit: 1},
	}
	r.state.Gate = []history.Copy{{Template: 1, Open: true, Full: 3}, {Template: 2, Open: true, Left: 1, Full: 2}}
	r.locks()
	return r
}

func (r *run) locks() {
	lock := func(xid string, id, coupon int64, state string, steps ...string) {
		r.state.Locks = append(r.state.Locks, history.Lock{ID: id, XID: xid, State: state, Payable: 2500})
		r.add(history.Op{
			Act: history.Try, Request: "try " + xid, XID: xid, User: "u", Sent: 50 * ms, Answered: 52 * ms,
			Status: 201, Lock: id, State: "locked", TTL: time.Minute,
		})
		for i, step := range append([]string{"lock"}, steps...) {
			r.state.Operations = append(r.state.Operations, history.Operation{ID: at(100+10*int64(i), id), Coupon: coupon, Lock: id, Step: step})
		}
		r.state.Usages = append(r.state.Usages, history.Usage{ID: at(100, id), Budget: 9, Lock: id, Coupon: coupon, Step: "hold", Amount: 500})
	}
	end := func(act history.Act, xid string, status int, code, state string) {
		op := history.Op{
			Act: act, Request: string(act) + " " + xid, XID: xid, Sent: 60 * ms, Answered: 62 * ms, Status: status, Code: code, State: state,
		}
		if status == 200 {
			op.Lock = r.lock(xid).ID
		}
		r.add(op)
	}
	moves := func(id, coupon int64, step string, ms, amount int64, refund string) {
		r.state.Usages = append(r.state.Usages, history.Usage{
			ID: at(ms, id), Budget: 9, Lock: id, Coupon: coupon, Step: step, Amount: amount, Refund: refund,
		})
	}
	lock("x1", 31, 11, "confirmed", "confirm")
	end(history.Confirm, "x1", 200, "", "confirmed")
	end(history.Cancel, "x1", 409, "lock_confirmed", "")
	moves(31, 11, "use", 110, 500, "")
	moves(31, 11, "return", 320, 167, "r1")
	r.lock("x1").Refunded = 833
	r.state.Refunds = []history.Returned{{Lock: 31, RefundID: "r1", Amount: 833}}
	r.add(history.Op{
		Act: history.Refund, Request: "refund x1", XID: "x1", RefundID: "r1", Sent: 70 * ms, Answered: 72 * ms, Status: 200, Paid: 833,
	})
	lock("x2", 32, 12, "cancelled", "cancel")
	end(history.Cancel, "x2", 200, "", "cancelled")
	moves(32, 12, "release", 310, 500, "")
	lock("x3", 33, 13, "expired", "expire")
	end(history.Confirm, "x3", 409, "lock_expired", "")
	moves(33, 13, "release", 310, 500, "")
	lock("x4", 34, 21, "locked")
	r.state.Locks = append(r.state.Locks, history.Lock{ID: 35, XID: "x5", State: "cancelled", Tombstone: true})
	end(history.Cancel, "x5", 200, "", "cancelled")
	r.state.Coupons[0].Status, r.state.Coupons[0].Lock = "used", 31
	r.state.Coupons[3].Status, r.state.Coupons[3].Lock = "locked", 34
	r.state.Budgets = []history.Budget{{ID: 9, Used: 333, Held: 500, Total: new(int64(2000))}}
}

func TestARightHistoryIsAccepted(t *testing.T) {
	t.Parallel()
	r := right()
	for _, fault := range history.Judge(r.ops, &r.state) {
		t.Error(fault)
	}
}

// Each wrong is one thing that can go wrong, and the law that it breaks.
func TestEveryWrongIsNoticed(t *testing.T) {
	t.Parallel()
	for _, wrong := range slices.Concat(wrongClaims(), wrongLocks(), wrongMoney()) {
		t.Run(wrong.name, func(t *testing.T) {
			t.Parallel()
			r := right()
			wrong.spoil(r)
			faults := history.Judge(r.ops, &r.state)
			if !slices.ContainsFunc(faults, func(f history.Fault) bool { return f.Law == wrong.law }) {
				t.Errorf("nobody noticed that %q is broken; found %v", wrong.law, faults)
			}
		})
	}
}

type wrong struct {
	name, law string
	spoil     func(*run)
}

func wrongClaims() []wrong {
	return []wrong{
		{"one too many", "no more is issued than there is stock", func(r *run) {
			r.state.Templates[0].Claimed = 4
			r.state.Coupons = append(r.state.Coupons, history.Coupon{ID: 14, Template: 1, User: "dan", IssueNo: 4, Status: "available"})
			*r.op("d") = history.Op{
				Act: history.Claim, Request: "d", Template: 1, User: "dan", Sent: 10 * ms, Answered: 11 * ms, Status: 201, Coupon: 14, IssueNo: 4,
			}
		}},
		{"one too many for a moment", "no more is issued than there is stock", func(r *run) {
			r.op("f").Status, r.op("f").Answered, r.op("f").Sent = 201, 22*ms, 21*ms // before there was more
			r.op("f").Coupon, r.op("f").IssueNo = 22, 2
		}},
		{"a number left out", "issue numbers run from 1 without gap or double", func(r *run) { r.state.Coupons[2].IssueNo = 4 }},
		{"a number twice", "issue numbers run from 1 without gap or double", func(r *run) { r.state.Coupons[2].IssueNo = 2 }},
		{"a counter astray", "claimed counts the coupons", func(r *run) { r.state.Templates[0].Claimed = 2 }},
		{"two of one user", "nobody is over the limit", func(r *run) { r.state.Coupons[1].User = "ann" }},
		{"a coupon lost", "every 201 has its row", func(r *run) { r.drop(13) }},
		{"another number told", "every 201 has its row", func(r *run) { r.op("c").IssueNo = 2 }},
		{"a coupon named that is not there", "every 201 has its row", func(r *run) { r.op("a again").Named = []int64{77} }},
		{"a coupon of somebody else", "a coupon has one owner", func(r *run) { r.op("b").Coupon = 11 }},
		{"an id twice", "ids are unique", func(r *run) { r.state.Coupons[1].ID = 11 }},
		{"a coupon that was refused", "every row was asked for", func(r *run) {
			r.op("c").Status, r.op("c").Code, r.op("c").Coupon = 503, "busy", 0
		}},
		{"a coupon that nobody wanted", "every row was asked for", func(r *run) { r.state.Coupons[2].User = "zoe" }},
		{"a key with two answers", "one request, one answer", func(r *run) {
			again := *r.op("c")
			again.Sent, again.Answered, again.Coupon, again.IssueNo = 12*ms, 13*ms, 12, 2
			r.add(again)
		}},
		{"granted, and refused with the same key", "one request, one answer", func(r *run) {
			r.add(history.Op{
				Act: history.Claim, Request: "c", Keyed: true, Template: 1, User: "cid", Sent: 12 * ms, Answered: 13 * ms, Status: 409, Code: "sold_out",
			})
		}},
		{"granted, and not named later", "one request, one answer", func(r *run) {
			r.op("c").Keyed = false
			r.add(history.Op{
				Act: history.Claim, Request: "c", Template: 1, User: "cid", Sent: 12 * ms, Answered: 13 * ms, Status: 409, Code: "sold_out",
			})
		}},
		{"a later claim with the smaller number", "numbers follow time", func(r *run) {
			r.op("a").IssueNo, r.state.Coupons[0].IssueNo = 3, 3
			r.op("c").IssueNo, r.state.Coupons[2].IssueNo = 1, 1
		}},
		{"sold out too early", "sold out is said only of what is", func(r *run) { r.op("d").Sent, r.op("d").Answered = 3*ms, 7*ms }},
		{"sold out where there is some left", "sold out is said only of what is", func(r *run) { r.op("d").Template = 2; r.op("d").Sent, r.op("d").Answered = 2030*ms, 2031*ms }},
		{"stock lost", "stock edits add up", func(r *run) { r.state.Templates[1].Stock = new(int64(2)) }},
		{"issued while paused", "nothing is issued while paused", func(r *run) { r.op("e").Sent, r.op("e").Answered = 7*ms, 9*ms }},
		{"a unit lost in the gate", "the gate agrees with the database", func(r *run) { r.state.Gate[1].Left = 0 }},
		{"a unit too many in the gate", "the gate agrees with the database", func(r *run) { r.state.Gate[1].Left = 2 }},
		{"a unit that stays pending", "nothing stays pending", func(r *run) { r.state.Gate[1].Pending = 1 }},
		{"a user forgotten by the gate", "the gate knows who has one", func(r *run) { r.state.Gate[1].Full = 1 }},
	}
}

func wrongLocks() []wrong {
	return []wrong{
		{"a lock lost", "every lock that was told of is there", func(r *run) { r.state.Locks = r.state.Locks[1:] }},
		{"two locks of one xid", "one xid, one lock", func(r *run) { r.op("try x4").Lock = 44 }},
		{"made twice", "one xid, one lock", func(r *run) {
			again := *r.op("try x4")
			again.Request = "try x4 once more"
			r.add(again)
		}},
		{"confirmed, then cancelled", "a lock ends once", func(r *run) { r.op("cancel x1").Status, r.op("cancel x1").Code = 409, "lock_cancelled" }},
		{"a confirm lost", "a lock ends once", func(r *run) { r.lock("x1").State = "expired" }},
		{"a cancel lost", "a lock ends once", func(r *run) { r.lock("x2").State = "locked" }},
		{"refunded though cancelled", "a lock ends once", func(r *run) { r.op("refund x1").XID = "x2" }},
		{"locked again", "a lock does not come back", func(r *run) {
			again := *r.op("try x2")
			again.Request, again.Status, again.Sent, again.Answered = "again", 200, 80*ms, 82*ms
			r.add(again)
		}},
		{"a lock that was refused", "every lock was asked for", func(r *run) {
			r.op("try x4").Status, r.op("try x4").Code, r.op("try x4").Lock, r.op("try x4").State = 503, "busy", 0, ""
		}},
		{"a lock of nobody", "every lock was asked for", func(r *run) {
			r.state.Locks = append(r.state.Locks, history.Lock{ID: 36, XID: "x6", State: "locked"})
		}},
		{"confirmed without being asked", "every end was asked for", func(r *run) { r.op("confirm x1").Status, r.op("confirm x1").Code = 503, "busy" }},
		{"cancelled without being asked", "every end was asked for", func(r *run) { r.op("cancel x2").Status, r.op("cancel x2").Code = 503, "busy" }},
		{"a coupon in two locks", "a coupon is in one lock", func(r *run) {
			r.state.Operations = append(r.state.Operations, history.Operation{ID: at(200, 34), Coupon: 11, Lock: 34, Step: "lock"})
		}},
		{"a coupon in two locks for a moment", "a coupon is in one lock", func(r *run) {
			r.state.Operations = append(r.state.Operations, history.Operation{ID: at(105, 34), Coupon: 12, Lock: 34, Step: "lock"})
			r.op("try x4").Sent, r.op("try x4").Answered = 54*ms, 58*ms // of x2 only the cancel at 60 ms gave it back
		}},
		{"a coupon freed though its lock stands", "a coupon is as its locks left it", func(r *run) {
			r.state.Coupons[3].Status, r.state.Coupons[3].Lock = "available", 0
		}},
		{"a used coupon to be used again", "a coupon is as its locks left it", func(r *run) {
			r.state.Coupons[0].Status, r.state.Coupons[0].Lock = "available", 0
		}},
		{"a coupon in the wrong lock", "a coupon is as its locks left it", func(r *run) { r.state.Coupons[3].Lock = 33 }},
		{"an end half written", "a lock did what its state says", func(r *run) { r.lock("x4").State = "cancelled" }},
		{"an end twice", "a lock did what its state says", func(r *run) {
			r.state.Operations = append(r.state.Operations, history.Operation{ID: at(130, 32), Coupon: 12, Lock: 32, Step: "expire"})
		}},
	}
}

func wrongMoney() []wrong {
	step := func(r *run, lock int64, step string) *history.Usage {
		return &r.state.Usages[slices.IndexFunc(r.state.Usages, func(u history.Usage) bool { return u.Lock == lock && u.Step == step })]
	}
	return []wrong{
		{"a counter that is not the sum", "counters are the ledger's sums", func(r *run) { r.state.Budgets[0].Used++ }},
		{"a hold that was never released", "counters are the ledger's sums", func(r *run) { r.state.Budgets[0].Held += 500 }},
		{"more than there is", "used and held are within the total", func(r *run) { r.state.Budgets[0].Total = new(int64(800)) }},
		{"more than there is for a moment", "used and held are within the total", func(r *run) { r.state.Budgets[0].Total = new(int64(1999)) }},
		{"used twice", "money moves once", func(r *run) {
			twice := *step(r, 31, "use")
			twice.ID++
			r.state.Usages = append(r.state.Usages, twice)
		}},
		{"used and released", "money moves once", func(r *run) {
			r.state.Usages = append(r.state.Usages, history.Usage{ID: at(115, 31), Budget: 9, Lock: 31, Coupon: 11, Step: "release", Amount: 500})
		}},
		{"held twice", "money moves once", func(r *run) {
			twice := *step(r, 34, "hold")
			twice.ID++
			r.state.Usages = append(r.state.Usages, twice)
		}},
		{"confirmed and not used", "money moves once", func(r *run) { step(r, 31, "use").Step = "release" }},
		{"another amount used", "money moves once", func(r *run) { step(r, 31, "use").Amount = 400 }},
		{"more returned than used", "money moves once", func(r *run) { step(r, 31, "return").Amount = 501 }},
		{"cancelled and not released", "money moves once", func(r *run) { step(r, 32, "release").Lock = 34 }},
		{"money of no lock", "money moves once", func(r *run) { step(r, 34, "hold").Lock = 99 }},
		{"a refund paid twice", "a refund is paid once", func(r *run) { r.state.Refunds = append(r.state.Refunds, r.state.Refunds[0]) }},
		{"a refund not counted", "a refund is paid once", func(r *run) { r.lock("x1").Refunded = 0 }},
		{"more refunded than paid", "a refund is paid once", func(r *run) { r.lock("x1").Payable = 800 }},
		{"a refund lost", "every refund that was told of is there", func(r *run) { r.state.Refunds = nil; r.lock("x1").Refunded = 0 }},
		{"another amount refunded", "every refund that was told of is there", func(r *run) { r.op("refund x1").Paid = 800 }},
		{"a refund that was refused", "every refund was asked for", func(r *run) { r.op("refund x1").Status, r.op("refund x1").Code = 503, "busy" }},
		{"a refund of no lock", "a refund belongs to a lock", func(r *run) { r.state.Refunds[0].Lock = 99 }},
		{"two amounts under one refund id", "one request, one answer", func(r *run) {
			again := *r.op("refund x1")
			again.Sent, again.Answered, again.Paid = 80*ms, 82*ms, 800
			r.add(again)
		}},
	}
}

// sale is a history of n claims, most of a stock, by users who come in crowds.
func sale(n int) ([]history.Op, history.State) {
	const stock, crowd = 900_000, 64
	ops := make([]history.Op, 0, n)
	left := int64(min(stock, n))
	state := history.State{Templates: []history.Template{{ID: 1, Initial: &left, Stock: &left, Claimed: left, Limit: 1}}}
	for i := range n {
		user := fmt.Sprint("user", i)
		sent := time.Duration(i/crowd) * ms
		op := history.Op{
			Act: history.Claim, Request: user, Keyed: true, Template: 1, User: user, Sent: sent, Answered: sent + ms,
			Status: 409, Code: "sold_out",
		}
		if i < int(left) {
			op.Status, op.Code, op.Coupon, op.IssueNo = 201, "", int64(i+1), int64(i+1)
			state.Coupons = append(state.Coupons, history.Coupon{ID: op.Coupon, Template: 1, User: user, IssueNo: op.IssueNo, Status: "available"})
		}
		ops = append(ops, op)
	}
	return ops, state
}

// What is asked of it: a million operations in less than five seconds.
func BenchmarkAMillionOperations(b *testing.B) {
	ops, state := sale(1_000_000)
	b.ReportAllocs()
	for b.Loop() {
		if faults := history.Judge(ops, &state); len(faults) > 0 {
			b.Fatal(faults)
		}
	}
}
