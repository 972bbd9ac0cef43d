package bench

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// press is one press of the button: a request that is sent until it is decided.
// It is in the hands of one goroutine at a time.
type press struct {
	user int
	key  int // presses with the same key are the same request

	start   time.Time // when it is meant to be sent; zero until it was
	failing time.Time // since when it has been tried without being decided
	tries   int

	// maybe is set once a try may have been carried out without our knowing:
	// until the press is decided, its user may or may not have a coupon.
	maybe   bool
	decided bool
	givenUp bool // neither decided nor to be tried again, for now
	outcome outcome
}

// outcome is the answer that decided a press.
type outcome struct {
	status int
	code   string   // of a refusal
	coupon string   // the id granted; "" if none
	user   string   // whose coupon it is, as the answer has it
	named  []string // the ids that a refusal says the user has
}

func (o *outcome) granted() bool { return o.status/100 == 2 }

// plan lays out the presses in the order in which they are to be made. The
// second press of a user comes a little later than the first: often while the
// first is still under way, sometimes long after.
func plan(o Options) []*press {
	type placed struct {
		at    float64
		press *press
	}
	random := rand.New(rand.NewPCG(o.Seed, uint64(o.Users))) //nolint:gosec // repeatable, not secret
	order := make([]placed, 0, int(float64(o.Users)*(1.05+o.Doubles+o.Retries)))
	keys := o.Users
	for place, user := range random.Perm(o.Users) {
		at := float64(place)
		later := func() float64 { return at + random.ExpFloat64()*float64(o.Concurrency) }
		order = append(order, placed{at, &press{user: user, key: user}})
		if random.Float64() < o.Doubles {
			order = append(order, placed{later(), &press{user: user, key: keys}})
			keys++
		}
		if random.Float64() < o.Retries {
			order = append(order, placed{later(), &press{user: user, key: user}})
		}
	}
	slices.SortStableFunc(order, func(a, b placed) int { return cmp.Compare(a.at, b.at) })
	presses := make([]*press, len(order))
	for i, p := range order {
		presses[i] = p.press
	}
	return presses
}
