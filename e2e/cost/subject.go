package main

import (
	"slices"
	"sync/atomic"
	"time"
)

// subject is one way at one operation.
type subject struct {
	name   string // as the table shows it
	way    *way
	do     operation
	paceOf *subject // sends a share of that one's latest rate; nil: as fast as they are answered
	share  float64
	before func(seconds float64) // called, if there is one, before a turn of so many seconds
	rounds []round
	latest round
	next   atomic.Int64
	done   int64 // operations answered as they should be, all turns together
}

// round is what one turn came to.
type round struct {
	rate           float64            // operations a second
	p50, p99, p999 float64            // µs
	cost           map[string]float64 // µs of processor time for each operation, by part
	total          float64            // µs, all parts
	writes         map[string]float64 // what the database wrote for each operation, by its own counters
}

const warmUp = time.Second

// takeTurns warms all up, and then has them take turns. The order changes from
// round to round, so that none always follows the same one.
func (b *bench) takeTurns(subjects []*subject) {
	for _, s := range subjects {
		b.turn(s, warmUp)
	}
	for _, s := range subjects {
		s.rounds = nil
	}
	for i := range b.rounds {
		for j := range subjects {
			b.turn(subjects[(i+j)%len(subjects)], b.options.turn)
		}
		b.sayf("  round %d of %d\n", i+1, b.rounds)
	}
}

// turn puts the subject under load, and waits until it has calmed down.
func (b *bench) turn(s *subject, length time.Duration) {
	if s.before != nil {
		s.before(length.Seconds())
	}
	before, written := s.way.spent(), b.written(s.way)
	l := &load{way: s.way, do: s.do, next: &s.next}
	if s.paceOf != nil {
		l.rate = s.share * s.paceOf.latest.rate
	}
	l.run(b.ctx, b.conns, length)
	b.calm(s.way)
	after := s.way.spent()
	writes := b.written(s.way)

	s.done += l.done
	if l.busy > 0 {
		b.sayf("  %s: %d of %d were turned away as busy\n", s.name, l.busy, l.busy+l.done)
	}
	if l.done == 0 || l.failed > l.done/100 {
		b.Fatalf("%s: %d answered as they should be, %d otherwise, such as: %w\n%s", s.name, l.done, l.failed, l.example, s.way.lastWords())
	}
	r := round{
		rate: float64(l.done) / l.elapsed.Seconds(), cost: map[string]float64{},
		p50: l.percentile(50), p99: l.percentile(99), p999: l.percentile(99.9),
	}
	for part := range after {
		r.cost[part] = micros(after[part]-before[part]) / float64(l.done)
		r.total += r.cost[part]
	}
	for name := range writes {
		writes[name] = (writes[name] - written[name]) / float64(l.done)
	}
	r.writes = writes
	s.rounds, s.latest = append(s.rounds, r), r
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func (s *subject) median(of func(round) float64) float64 {
	values := make([]float64, len(s.rounds))
	for i, r := range s.rounds {
		values[i] = of(r)
	}
	return median(values)
}

// times is the median, over the rounds, of how many times the other's value:
// a machine that slows down in one round slows down both. It is 0 without
// another.
func (s *subject) times(other *subject, of func(round) float64) float64 {
	if other == nil {
		return 0
	}
	values := make([]float64, min(len(s.rounds), len(other.rounds)))
	for i := range values {
		values[i] = of(s.rounds[i]) / of(other.rounds[i])
	}
	return median(values)
}

func rateOf(r round) float64  { return r.rate }
func totalOf(r round) float64 { return r.total }

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}
