package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"scrip/bench/wire"
	"scrip/client"
)

// sale is one run.
type sale struct {
	options  Options
	target   wire.Target
	name     string // random, so that no two runs share users or keys
	api      *client.Client
	template string // its id
	presses  []*press
	tally    *tally
	began    time.Time
	elapsed  time.Duration
}

func newSale(o Options) (*sale, error) {
	target, err := o.check()
	if err != nil {
		return nil, err
	}
	api, err := client.New(o.URL, o.Key, client.WithPatience(o.Patience))
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(rand.Text()[:10])
	return &sale{options: o, target: target, name: name, api: api, presses: plan(o), tally: newTally()}, nil
}

// userID is the name of a contender; no other run has it.
func (s *sale) userID(user int) string { return s.userPrefix() + strconv.Itoa(user) }

func (s *sale) userPrefix() string { return "bench-" + s.name + "-" }

// open makes the rule and the template, and publishes it.
func (s *sale) open(ctx context.Context) error {
	rule, err := s.api.CreateRule(ctx, client.NewRule{
		Name: "bench " + s.name, Kind: "amount_off", Effect: client.Effect{AmountOff: 500, Currency: "USD"},
	})
	if err != nil {
		return fmt.Errorf("make a rule: %w", err)
	}
	template, err := s.api.CreateTemplate(ctx, client.NewTemplate{
		Name: "bench " + s.name, RuleID: rule.ID, Currency: "USD",
		Stock: new(int64(s.options.Stock)), PerUserLimit: 1, Validity: client.Validity{DaysAfterClaim: new(30)},
	})
	if err != nil {
		return fmt.Errorf("make a template: %w", err)
	}
	if _, err := s.api.PublishTemplate(ctx, template.ID); err != nil {
		return fmt.Errorf("publish the template: %w", err)
	}
	s.template = template.ID
	return nil
}

// hold makes all presses. What was given up as undecided is taken up once more
// when everybody else is through: a coupon may be left for those users, and by
// then the server may know what became of their requests.
func (s *sale) hold(ctx context.Context) {
	s.began = time.Now()
	defer func() { s.elapsed = time.Since(s.began) }()
	if !s.drive(ctx, newQueue(s.presses, s.began, s.options.Rate)) {
		return
	}
	var left []*press
	for _, p := range s.presses {
		if !p.decided {
			p.failing, p.givenUp = time.Time{}, false
			left = append(left, p)
		}
	}
	s.tally.revive()
	s.drive(ctx, newQueue(left, time.Now(), 0))
}

// drive empties a queue, and reports whether it came to its end.
func (s *sale) drive(ctx context.Context, q *queue) bool {
	var workers sync.WaitGroup
	for range min(s.options.Concurrency, len(q.plan)) {
		workers.Go(func() { newWorker(s, q).work(ctx) })
	}
	workers.Wait()
	return ctx.Err() == nil && !q.stopped
}
