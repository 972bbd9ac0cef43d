package faults

import (
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

// plan is all that a seed decides. It is kept with a failed run.
type plan struct {
	Row   string `json:"row"`
	Seed  uint64 `json:"seed"`
	Short bool   `json:"short"` // the form that make test runs

	Users       int           `json:"users"` // at a time
	Think       time.Duration `json:"think"` // of a user between two requests, at most
	Stock       int64         `json:"stock"` // of the sale
	Limit       int64         `json:"limit"` // coupons of the stream for each user
	Money       int64         `json:"money"` // the stream's budgets
	Times       int64         `json:"times"`
	Weights     weights       `json:"weights"`
	SettleAfter time.Duration `json:"settle_after"`
	Hits        []hit         `json:"hits"`
	Rest        time.Duration `json:"rest"` // the load goes on for so long after the last hit
}

// weights say what users do, in parts of their sum, and in percent how.
type weights struct {
	Claim   int `json:"claim"`   // one coupon of the sale
	Order   int `json:"order"`   // from claim to refund
	Orphan  int `json:"orphan"`  // cancel before try
	Keyed   int `json:"keyed"`   // percent of the requests with an Idempotency-Key
	Twin    int `json:"twin"`    // percent that are sent twice at once, to different servers
	Confirm int `json:"confirm"` // percent of the locks; the rest is cancelled, left, or both
	Cancel  int `json:"cancel"`
	Both    int `json:"both"`
	Refund  int `json:"refund"` // percent of the confirmed
}

// hit is one strike of the fault.
type hit struct {
	After time.Duration `json:"after"` // the start, or the hit before
	Lasts time.Duration `json:"lasts"`
	Dice  int           `json:"dice"` // for what else a row leaves to chance
}

// span is what a duration or a number is drawn from; both ends belong to it.
type span[N int | time.Duration] struct{ least, most N }

func (s span[N]) draw(rng *rand.Rand) N {
	return s.least + N(rng.Int64N(int64(s.most-s.least)+1))
}

// random is a source for one purpose of a run.
func random(row string, seed uint64, purpose string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(row + "/" + purpose))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

func newPlan(r *row, seed uint64, short bool) *plan {
	rng := random(r.name, seed, "plan")
	p := &plan{
		Row: r.name, Seed: seed, Short: short,
		Users: 12 + rng.IntN(21),
		Think: time.Duration(5+rng.IntN(25)) * time.Millisecond,
		Stock: int64(100 + rng.IntN(900)),
		Limit: int64(1 + rng.IntN(3)),
		Money: 500 * int64(200+rng.IntN(3000)),
		Times: int64(200 + rng.IntN(3000)),
		Weights: weights{
			Claim: 2 + rng.IntN(6), Order: 1 + rng.IntN(4), Orphan: rng.IntN(2),
			Keyed: rng.IntN(101), Twin: rng.IntN(30),
			Confirm: 40 + rng.IntN(20), Cancel: 10 + rng.IntN(20), Both: rng.IntN(15), Refund: rng.IntN(70),
		},
		SettleAfter: 5 * time.Second,
		Rest:        time.Duration(500+rng.IntN(1000)) * time.Millisecond,
	}
	hits := r.hits.draw(rng)
	if short {
		hits, p.SettleAfter = r.hits.least, 3*time.Second
	}
	for range hits {
		p.Hits = append(p.Hits, hit{After: r.pause.draw(rng), Lasts: r.lasts.draw(rng), Dice: rng.IntN(1 << 30)})
		if short && r.short != 0 {
			p.Hits[len(p.Hits)-1].Lasts = r.short
		}
	}
	return p
}

// seeds are the ones to run: SCRIP_FAULTS_SEEDS of them from SCRIP_FAULTS_SEED
// on. Without, it is one, in the short form.
func seeds() (from, n uint64, short bool) {
	from, n = 1, 1
	if first, err := strconv.ParseUint(os.Getenv("SCRIP_FAULTS_SEED"), 10, 64); err == nil {
		from = first
	}
	many, err := strconv.ParseUint(os.Getenv("SCRIP_FAULTS_SEEDS"), 10, 64)
	if err == nil && many > 0 {
		n = many
	}
	return from, n, err != nil
}
