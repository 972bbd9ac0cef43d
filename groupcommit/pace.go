package groupcommit

import "time"

// pace is how long a lane's batches take, by which it can be told how long a
// request would wait. Its lane's mutex guards it.
type pace struct {
	usual time.Duration // of the last few batches, the latest counting most
	began time.Time     // when the batch under way did; zero while there is none
}

// newest is the weight of the latest batch in the usual time: one part in so many.
const newest = 4

// turn ends the batch under way, if there is one, and begins the next, if there
// is one.
func (p *pace) turn(now time.Time, next bool) {
	if !p.began.IsZero() {
		took := now.Sub(p.began)
		if p.usual == 0 {
			p.usual = took
		}
		p.usual += (took - p.usual) / newest
	}
	p.began = time.Time{}
	if next {
		p.began = now
	}
}

// over reports whether the deadline will have passed before a request is
// answered that has so many full batches before its own, besides the one under
// way. A lane at rest takes whatever comes: somebody has to find out that a
// database which was slow is so no longer.
func (p *pace) over(deadline time.Time, ahead int) bool {
	if p.began.IsZero() {
		return false
	}
	// Of a batch that takes longer than usual nobody knows how long it will;
	// what has taken long will take as long again.
	now := time.Now()
	running := now.Sub(p.began)
	wait := max(p.usual-running, running) + time.Duration(ahead+1)*p.usual
	return now.Add(wait).After(deadline)
}
