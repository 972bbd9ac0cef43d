package faults

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"scrip/e2e/faults/history"
)

// checkoutRows are what coordinators do to locks: twice, in any order, late, or
// not at all.
func checkoutRows() []row {
	unlimited := func(p *plan) { p.Money, p.Times = 1_000_000_000, 1_000_000 }
	return []row{
		{
			name:   "tcc_sequences",
			hits:   span[int]{1, 1},
			ops:    300,
			load:   func(p *plan) { unlimited(p); p.Users = 6 },
			strike: everySequence,
		},
		{
			name:  "lock_never_ended",
			hits:  span[int]{1, 1},
			pause: span[time.Duration]{0, 500 * time.Millisecond},
			lasts: span[time.Duration]{10 * time.Second, 10 * time.Second},
			short: 3 * time.Second,
			ops:   200,
			load: func(p *plan) {
				unlimited(p)
				p.Weights.Order, p.Weights.Confirm, p.Weights.Cancel = 6, 20, 10
			},
			strike: raceExpiry,
			after:  freedInTime,
		},
	}
}

// steps of a sequence; expire waits until the lock is past its end.
const (
	try     = string(history.Try)
	confirm = string(history.Confirm)
	cancel  = string(history.Cancel)
	expire  = "expire"
)

// sequences are all of the steps up to the given length.
func sequences(longest int) (all [][]string) {
	latest := [][]string{nil}
	for range longest {
		var longer [][]string
		for _, head := range latest {
			for _, last := range []string{try, confirm, cancel, expire} {
				longer = append(longer, slices.Concat(head, []string{last}))
			}
		}
		all, latest = append(all, longer...), longer
	}
	return all
}

// everySequence puts one lock each through all sequences of up to five steps,
// and others through three steps at once; in the short form through some.
func everySequence(w *world, h hit) {
	list := sequences(5)
	rng := rand.New(rand.NewPCG(uint64(h.Dice), 2))
	if w.plan.Short {
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		list = list[:120]
	}
	jobs := make(chan int)
	var workers sync.WaitGroup
	for range 100 { // they wait for expiries, mostly
		workers.Go(func() {
			for i := range jobs {
				s := &sequence{world: w, xid: "s" + strconv.Itoa(i), rng: rand.New(rand.NewPCG(uint64(h.Dice), uint64(i)))}
				if i%8 == 7 {
					s.atOnce(list[i])
					continue
				}
				s.run(list[i])
			}
		})
	}
	for i := range list {
		jobs <- i
	}
	close(jobs)
	workers.Wait()
}

// sequence is the steps of one lock, and what its state can be by now.
type sequence struct {
	*world

	xid      string
	rng      *rand.Rand
	coupon   int64
	ttl      time.Duration
	tried    time.Duration // when the Try that made the lock was sent, at the earliest
	possible []protocol
	asked    int
}

// protocol is what the steps of one lock come to, said once more and simply.
type protocol struct {
	state     string
	cancelled bool // though it had expired
}

// step returns what follows, and what the caller is told of it.
func (p protocol) step(name string) (next protocol, told string) {
	switch {
	case name == try && p.cancelled, name != cancel && p.state == "cancelled":
		return p, "lock_cancelled"
	case name == confirm && p.state == "":
		return p, "not_found"
	case name == cancel && p.state == "confirmed":
		return p, "lock_confirmed"
	case name == confirm && p.state == "expired":
		return p, "lock_expired"
	case name == cancel && p.state == "expired":
		return protocol{"expired", true}, "expired"
	case name == try && p.state == "":
		return protocol{state: "locked"}, "locked"
	case name == confirm:
		return protocol{state: "confirmed"}, "confirmed"
	case name == cancel:
		return protocol{state: "cancelled"}, "cancelled"
	}
	return p, p.state
}

func (s *sequence) run(steps []string) {
	s.ttl = 60 * time.Second
	if slices.Contains(steps, expire) {
		s.ttl = 2 * time.Second
	}
	s.possible = []protocol{{}}
	if !s.claim() {
		return
	}
	for i, step := range steps {
		if step == expire {
			s.wait()
			continue
		}
		if got := s.step(step); !s.follow(step, got) {
			s.wrong.add("%s (%s): step %d is told %d %s%s", s.xid, strings.Join(steps, ", "), i+1, got.Status, got.Code, got.State)
			return
		}
	}
	s.fired.Add(1)
}

// claim gets the coupon that the lock takes.
func (s *sequence) claim() bool {
	got := s.insist(claimOf(s.stream, s.xid))
	s.coupon = got.Coupon
	if s.coupon == 0 {
		s.wrong.add("%s: no coupon: %d %s", s.xid, got.Status, got.Code)
	}
	return s.coupon != 0
}

// step takes one step, and sends it again until it is decided.
func (s *sequence) step(name string) history.Op {
	if name == try {
		return s.insist(tryOf(s.xid, s.xid, int(s.ttl/time.Second), []int64{s.coupon}))
	}
	return s.insist(endOf(history.Act(name), s.xid))
}

// insist sends a request until it is decided. The lock of a Try can be as old as
// the first attempt at it.
func (s *sequence) insist(a ask) (got history.Op) {
	s.asked++
	began := s.since()
	defer func() { got.Sent = began }()
	a.Request = s.xid + "-" + strconv.Itoa(s.asked)
	a.Keyed = a.Act == history.Claim
	for range 200 {
		if got = s.attempt(s.Context(), a, s.rng.IntN(len(s.servers))); got.Decided() || got.Status == http.StatusNotFound {
			break
		}
		pause(s.Context(), 50*time.Millisecond)
	}
	return got
}

// wait lets the lock's time run out, if it has one that does.
func (s *sequence) wait() {
	if slices.ContainsFunc(s.possible, func(p protocol) bool { return p.state == "locked" }) {
		pause(s.Context(), s.tried+s.ttl+50*time.Millisecond-s.since())
	}
}

// follow keeps of what is possible what fits the answer; false if nothing does.
// Within its time a lock may not expire; past it, it has.
func (s *sequence) follow(step string, got history.Op) bool {
	var next []protocol
	for _, p := range s.possible {
		candidates := []protocol{p}
		if p.state == "locked" && got.Answered >= s.tried+s.ttl {
			candidates = append(candidates, protocol{state: "expired"})
		}
		for _, from := range candidates {
			if to, told := from.step(step); told == got.Code+got.State {
				if from.state == "" && to.state == "locked" {
					s.tried = got.Sent
				}
				next = append(next, to)
			}
		}
	}
	s.possible = next
	return len(next) > 0
}

// atOnce takes all the steps at the same time. What they are told must fit each
// other; that is for the judge to say.
func (s *sequence) atOnce(steps []string) {
	s.ttl = time.Second
	if !s.claim() {
		return
	}
	var all sync.WaitGroup
	for i, step := range steps {
		if step == expire {
			continue
		}
		racer := *s
		racer.asked = (i + 1) * 100
		racer.rng = rand.New(rand.NewPCG(s.rng.Uint64(), uint64(i)))
		all.Go(func() { racer.step(step) })
	}
	all.Wait()
	s.fired.Add(1)
}

// raceExpiry confirms locks at the millisecond of their end: one before, at it,
// and one after.
func raceExpiry(w *world, h hit) {
	begun := time.Now()
	var racers sync.WaitGroup
	for i := range 24 {
		racers.Go(func() {
			for n := 0; time.Since(begun) < h.Lasts; n++ {
				s := &sequence{world: w, xid: fmt.Sprint("e", i, "-", n), rng: rand.New(rand.NewPCG(uint64(h.Dice), uint64(i*1000+n))), ttl: time.Second}
				if s.claim() {
					s.confirmAtItsEnd(time.Duration(n%3-1) * time.Millisecond)
				}
			}
		})
	}
	racers.Wait()
}

func (s *sequence) confirmAtItsEnd(off time.Duration) {
	a := tryOf(s.xid, s.xid, int(s.ttl/time.Second), []int64{s.coupon})
	a.Request = s.xid + "-try"
	got := s.attempt(s.Context(), a, 0)
	if got.Status != http.StatusCreated {
		return
	}
	end := s.expiresAt()
	pause(s.Context(), time.Until(end)+off)
	switch end := s.step(confirm); end.State + end.Code {
	case "confirmed", "lock_expired":
		s.fired.Add(1)
	default:
		s.wrong.add("%s: confirmed at its end: %d %s%s", s.xid, end.Status, end.Code, end.State)
	}
}

// expiresAt is the lock's end as the database has it.
func (s *sequence) expiresAt() time.Time {
	var ms int64
	if err := s.db.QueryRowContext(s.Context(), "SELECT expires_at FROM locks WHERE xid = ?", s.xid).Scan(&ms); err != nil {
		s.wrong.add("%s: %v", s.xid, err)
	}
	return time.UnixMilli(ms)
}

// freedInTime looks how long after their ends the locks that nobody ended were
// freed, by the times that the servers noted.
func freedInTime(w *world, _ *history.State) []string {
	var late struct{ most, n int64 }
	const query = `SELECT COALESCE(MAX(o.created_at - l.expires_at), 0), COUNT(*) FROM coupon_operations o
		JOIN locks l ON l.id = o.lock_id WHERE o.step = 'expire'`
	if err := w.db.QueryRowContext(w.Context(), query).Scan(&late.most, &late.n); err != nil {
		return []string{err.Error()}
	}
	if late.n == 0 {
		return []string{"no lock expired"}
	}
	took := time.Duration(late.most) * time.Millisecond
	w.note("%d locks freed at most %.1fs past their end", late.n, took.Seconds())
	if took > 5*time.Second && !w.plan.Short {
		return []string{fmt.Sprintf("a lock was freed %s past its end, promised are 5s", took)}
	}
	return nil
}
