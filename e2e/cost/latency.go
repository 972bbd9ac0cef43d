package main

import (
	"fmt"
	"path/filepath"
)

// shares of the top rate at which it is looked how long claims take.
func shares() []float64 { return []float64{0.1, 0.25, 0.5, 0.75, 0.9} }

// half is the place of a half in them.
const half = 2

// climb is one way at parts of its top rate, and at the top.
type climb struct {
	template []string
	top      *subject   // in a closed loop: as fast as it is answered
	parts    []*subject // in an open one
}

func (b *bench) newClimb(name, way string) climb {
	w := b.way(way)
	c := climb{template: w.open(1, plenty)}
	c.top = &subject{name: name, way: w, do: claim(c.template, "top")}
	for i, share := range shares() {
		c.parts = append(c.parts, c.paced(c.top, share, fmt.Sprintf("part%d", i)))
	}
	return c
}

// paced is the same way at a share of some top rate.
func (c climb) paced(top *subject, share float64, users string) *subject {
	return &subject{name: c.top.name, way: c.top.way, do: claim(c.template, users), paceOf: top, share: share}
}

// latency measures how long claims on one hot template take at parts of what
// each way can do, and on the floor and in the least way at half of what Scrip can.
func (b *bench) latency() {
	bare, scrip, insert := b.newClimb("floor", "floor"), b.newClimb("Scrip", "scrip"), b.newClimb("least way", "least")
	climbs := []climb{bare, b.newClimb("common way", "common"), b.newClimb("reference way", "reference"), scrip, insert}
	there := func(c climb) *subject { return c.paced(scrip.top, shares()[half], "there") }
	floor, least := there(bare), there(insert)
	var all []*subject
	for _, c := range climbs {
		all = append(append(all, c.top), c.parts...)
	}
	b.takeTurns(append(all, floor, least))

	p99 := func(r round) float64 { return r.p99 }
	b.values["half"], b.values["half least"] = scrip.parts[half].times(floor, p99), least.times(floor, p99)
	fmt.Fprintf(&b.text, "At half of Scrip's top rate, %s claims a second, a claim's p99 is %.2f ms and the floor's %.2f ms: %.1f times; "+
		"the least way's is %.1f times.\n\n",
		figure(scrip.parts[half].median(rateOf), 0), scrip.parts[half].median(p99)/1000, floor.median(p99)/1000,
		b.values["half"], b.values["half least"])
	curves := make([]curve, len(climbs))
	for i, c := range climbs {
		curves[i] = c.curve()
	}
	b.text.WriteString(curvesTable(curves))
	if b.docs != "" {
		fmt.Fprintf(&b.text, "\n![How long a claim takes at which rate](%s)\n", pictureFile)
		b.must(writeFile(filepath.Join(b.docs, pictureFile), draw(curves)))
	}
}

// curve is how long the claims of one way took, the lowest rate first.
type curve struct {
	name   string
	points []point
}

// point is one rate.
type point struct {
	share    float64 // of the top rate; 1: in a closed loop
	rate     float64 // claims a second
	p50, p99 float64 // µs
	cost     float64 // µs of processor time for each, all parts
}

func (c climb) curve() curve {
	made := curve{name: c.top.name}
	for _, s := range append(c.parts, c.top) {
		share := s.share
		if s == c.top {
			share = 1
		}
		made.points = append(made.points, point{
			share: share, rate: s.median(rateOf),
			p50: s.median(func(r round) float64 { return r.p50 }),
			p99: s.median(func(r round) float64 { return r.p99 }), cost: s.median(totalOf),
		})
	}
	return made
}

// curvesTable shows for each way a row of rates, of p50, of p99 and of what a claim
// costs.
func curvesTable(curves []curve) string {
	head := []string{"share of the top rate"}
	for _, p := range curves[0].points {
		head = append(head, fmt.Sprintf("%.0f %%", p.share*100))
	}
	cells := [][]string{head}
	for _, c := range curves {
		rates, p50s, p99s, costs := []string{c.name + ", a second"}, []string{"p50 ms"}, []string{"p99 ms"}, []string{"all µs"}
		for _, p := range c.points {
			rates = append(rates, figure(p.rate, 0))
			p50s, p99s = append(p50s, figure(p.p50/1000, 2)), append(p99s, figure(p.p99/1000, 2))
			costs = append(costs, figure(p.cost, 1))
		}
		cells = append(cells, rates, p50s, p99s, costs)
	}
	return grid(cells)
}
