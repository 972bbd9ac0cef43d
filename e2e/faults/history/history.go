// Package history judges a run from the outside: what every caller asked and
// was told, and when, against what the stores hold once all is quiet.
//
// The judgement is exact where a general linearizability checker would give up
// on one hot counter, because the server says in which order it decided: claims
// of a template are ordered by their issue_no, movements of a budget by the ids
// of its ledger. What remains is arithmetic on lists, linear but for their
// sorting.
//
// The laws are those of the API, not of the code: a request that was refused
// changed nothing, what was granted is there, what is there was asked for, and
// an unanswered request has either happened or not, for ever.
package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Act is what a request asks for.
type Act string

// The acts that a run is made of. Steps and Stocks of one template come from
// one editor, one after the other.
const (
	Claim   Act = "claim"
	Try     Act = "try"
	Confirm Act = "confirm"
	Cancel  Act = "cancel"
	Refund  Act = "refund"
	Pause   Act = "pause"
	Resume  Act = "resume"
	Stock   Act = "stock"
)

// Op is one attempt at a request, as its caller saw it. Times are since the
// start of the run.
type Op struct {
	Act      Act           `json:"act"`
	Request  string        `json:"request"`         // attempts at the same request share it, and nothing else does
	Keyed    bool          `json:"keyed,omitempty"` // it carried an Idempotency-Key
	Server   int           `json:"server"`
	Sent     time.Duration `json:"sent"`
	Answered time.Duration `json:"answered,omitempty"` // 0: never
	Status   int           `json:"status,omitempty"`   // 0: no answer came
	Code     string        `json:"code,omitempty"`     // of a refusal

	// What was asked. Amount is what a Stock adds.
	Template int64         `json:"template,omitempty"`
	User     string        `json:"user,omitempty"`
	XID      string        `json:"xid,omitempty"`
	RefundID string        `json:"refund_id,omitempty"`
	Amount   int64         `json:"amount,omitempty"`
	TTL      time.Duration `json:"ttl,omitempty"` // of a Try

	// What was answered. Named are the coupons that a refusal names, Paid is
	// the amount of a refund.
	Coupon  int64   `json:"coupon,omitempty"`
	IssueNo int64   `json:"issue_no,omitempty"`
	Named   []int64 `json:"named,omitempty"`
	Lock    int64   `json:"lock,omitempty"`
	State   string  `json:"state,omitempty"`
	Paid    int64   `json:"paid,omitempty"`
}

// done reports whether the request was granted.
func (op *Op) done() bool { return op.Status/100 == 2 }

// Decided reports whether the answer is one that stands: done, or refused for a
// reason. in_progress is said of another attempt.
func (op *Op) Decided() bool {
	return op.done() || op.Status == 409 && op.Code != "in_progress"
}

// Unknown reports whether the attempt may have happened for all the caller knows.
func (op *Op) Unknown() bool {
	switch op.Status {
	case 0, 500, 502, 504:
		return true
	case 503:
		return op.Code != "busy"
	}
	return op.Code == "in_progress"
}

// State is what the stores hold after the run. All times in it are the
// server's; only the ids order it.
type State struct {
	Templates  []Template  `json:"templates"`
	Coupons    []Coupon    `json:"coupons"`
	Locks      []Lock      `json:"locks"`
	Operations []Operation `json:"operations"`
	Budgets    []Budget    `json:"budgets"`
	Usages     []Usage     `json:"usages"`
	Refunds    []Returned  `json:"refunds"`
	Gate       []Copy      `json:"gate"`
}

// Template is a row of templates. Initial is the stock with which the run began.
type Template struct {
	ID      int64  `json:"id"`
	Initial *int64 `json:"initial"`
	Stock   *int64 `json:"stock"`
	Claimed int64  `json:"claimed"`
	Limit   int64  `json:"limit"`
}

// Coupon is a row of coupons.
type Coupon struct {
	ID       int64  `json:"id"`
	Template int64  `json:"template"`
	User     string `json:"user"`
	IssueNo  int64  `json:"issue_no"`
	Status   string `json:"status"`
	Lock     int64  `json:"lock,omitempty"`
}

// Lock is a row of locks with what its quote says of money.
type Lock struct {
	ID        int64  `json:"id"`
	XID       string `json:"xid"`
	State     string `json:"state"`
	Tombstone bool   `json:"tombstone,omitempty"` // a Cancel that came before its Try
	Payable   int64  `json:"payable"`
	Refunded  int64  `json:"refunded"`
}

// Operation is a row of coupon_operations.
type Operation struct {
	ID     int64  `json:"id"`
	Coupon int64  `json:"coupon"`
	Lock   int64  `json:"lock"`
	Step   string `json:"step"`
}

// Budget is a row of budget_periods; Total is nil where nothing limits it.
type Budget struct {
	ID     int64  `json:"id"`
	Period int64  `json:"period"`
	Used   int64  `json:"used"`
	Held   int64  `json:"held"`
	Total  *int64 `json:"total"`
}

// Usage is a row of budget_usages, the ledger.
type Usage struct {
	ID     int64  `json:"id"`
	Budget int64  `json:"budget"`
	Period int64  `json:"period"`
	Lock   int64  `json:"lock"`
	Coupon int64  `json:"coupon"`
	Step   string `json:"step"`
	Refund string `json:"refund,omitempty"`
	Amount int64  `json:"amount"`
}

// Returned is a row of refunds.
type Returned struct {
	Lock     int64  `json:"lock"`
	RefundID string `json:"refund_id"`
	Amount   int64  `json:"amount"`
}

// Copy is what the gate holds of a template. A copy that is not open decides
// nothing, and so cannot be wrong.
type Copy struct {
	Template int64 `json:"template"`
	Open     bool  `json:"open"`
	Left     int64 `json:"left"`
	Pending  int64 `json:"pending"`
	Full     int64 `json:"full"` // users at their limit
}

// Fault is a law that the run broke, how often, and a few examples.
type Fault struct {
	Law      string   `json:"law"`
	Count    int      `json:"count"`
	Examples []string `json:"examples"`
}

func (f Fault) String() string {
	return fmt.Sprintf("%s: %d times: %s", f.Law, f.Count, f.Examples)
}

// mostExamples of each fault are told.
const mostExamples = 5

// Judge returns what is wrong, nothing if all is well. It may reorder the
// slices that it is given.
func Judge(ops []Op, state *State) []Fault {
	j := &judge{ops: ops, state: state, faults: map[string]*Fault{}}
	j.index()
	j.claims()
	j.answers()
	j.locks()
	j.coupons()
	j.ledger()
	j.refunds()
	j.gate()
	return j.verdict()
}

// judge is a judgement in the making.
type judge struct {
	ops      []Op
	state    *State
	faults   map[string]*Fault
	requests map[string]*request
	asked    map[string]*asks // by xid
	locksBy  map[string]*Lock // by xid
	byLock   map[int64]*Lock
}

// request is all attempts at one request. It can have happened from the moment
// its first attempt was sent.
type request struct {
	from    time.Duration
	first   *Op  // granted, or else refused for good; nil if none was either
	unknown bool // an attempt may have happened unseen
}

// never is when an unanswered attempt ends.
const never = time.Duration(math.MaxInt64)

func (j *judge) index() {
	slices.SortStableFunc(j.ops, func(a, b Op) int { return cmp.Compare(a.Sent, b.Sent) })
	j.requests = make(map[string]*request, len(j.ops))
	for i := range j.ops {
		op := &j.ops[i]
		r := j.requests[op.Request]
		if r == nil {
			r = &request{from: op.Sent}
			j.requests[op.Request] = r
		}
		r.unknown = r.unknown || op.Unknown()
		if op.Decided() && (r.first == nil || op.done() && !r.first.done()) {
			r.first = op
		}
	}
	j.locksBy = make(map[string]*Lock, len(j.state.Locks))
	j.byLock = make(map[int64]*Lock, len(j.state.Locks))
	for i := range j.state.Locks {
		lock := &j.state.Locks[i]
		j.locksBy[lock.XID], j.byLock[lock.ID] = lock, lock
	}
}

// broken notes that a law was broken.
func (j *judge) broken(law, format string, args ...any) {
	f := j.faults[law]
	if f == nil {
		f = &Fault{Law: law}
		j.faults[law] = f
	}
	f.Count++
	if len(f.Examples) < mostExamples {
		f.Examples = append(f.Examples, fmt.Sprintf(format, args...))
	}
}

func (j *judge) verdict() []Fault {
	faults := make([]Fault, 0, len(j.faults))
	for _, f := range j.faults {
		faults = append(faults, *f)
	}
	slices.SortFunc(faults, func(a, b Fault) int { return cmp.Compare(a.Law, b.Law) })
	return faults
}

// answers looks for requests that were answered in two ways. With an
// Idempotency-Key all answers that stand are one; without, they name the same
// thing.
func (j *judge) answers() {
	for i := range j.ops {
		op := &j.ops[i]
		first := j.requests[op.Request].first
		if !op.Decided() || first == op {
			continue
		}
		if op.Keyed && !sameAnswer(first, op) || !op.Keyed && !sameThing(first, op) {
			j.broken("one request, one answer", "%s %s: %s, and %s", op.Act, op.Request, told(first), told(op))
		}
	}
}

func sameAnswer(a, b *Op) bool {
	return a.Status == b.Status && a.Code == b.Code && a.Coupon == b.Coupon && a.IssueNo == b.IssueNo &&
		a.Lock == b.Lock && a.State == b.State && a.Paid == b.Paid && slices.Equal(a.Named, b.Named)
}

// sameThing holds natural keys to their promise: attempts that succeed make one
// thing, and what was granted stays so. An attempt that was refused before
// another was granted says nothing.
func sameThing(granted, op *Op) bool {
	switch {
	case !granted.done():
		return true // none was; what stood in the way of each may differ
	case op.done():
		return granted.Coupon == op.Coupon && granted.Lock == op.Lock && granted.Paid == op.Paid
	case op.Sent < granted.Answered:
		return true
	case op.Act == Claim: // told of the first
		return slices.Contains(op.Named, granted.Coupon)
	case op.Act == Try: // cancelled since
		return op.Code == "lock_cancelled"
	}
	return false
}

func told(op *Op) string {
	return fmt.Sprintf("%d %s coupon=%d no=%d lock=%d %s paid=%d named=%v (%s…%s, server %d)",
		op.Status, op.Code, op.Coupon, op.IssueNo, op.Lock, op.State, op.Paid, op.Named, op.Sent, op.Answered, op.Server)
}

// gate holds the copies against the database.
func (j *judge) gate() {
	full := map[int64]map[string]int64{}
	for i := range j.state.Coupons {
		c := &j.state.Coupons[i]
		if full[c.Template] == nil {
			full[c.Template] = map[string]int64{}
		}
		full[c.Template][c.User]++
	}
	templates := map[int64]*Template{}
	for i := range j.state.Templates {
		templates[j.state.Templates[i].ID] = &j.state.Templates[i]
	}
	for _, copied := range j.state.Gate {
		t := templates[copied.Template]
		if t == nil || !copied.Open {
			continue
		}
		if copied.Pending != 0 {
			j.broken("nothing stays pending", "template %d: %d", t.ID, copied.Pending)
		}
		if t.Stock != nil && copied.Left != *t.Stock-t.Claimed {
			j.broken("the gate agrees with the database", "template %d: left %d, not %d", t.ID, copied.Left, *t.Stock-t.Claimed)
		}
		want := int64(0)
		for _, n := range full[t.ID] {
			if n >= t.Limit {
				want++
			}
		}
		if copied.Full != want {
			j.broken("the gate knows who has one", "template %d: %d users at the limit, not %d", t.ID, copied.Full, want)
		}
	}
}
