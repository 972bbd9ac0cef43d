package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// What the capacity sheet is about.
const (
	wantedRate = 130_000 // claims a second
	headroom   = 1.5     // so many times as much is kept, for what was not foreseen

	// The reference design did 120,000 claims a second with these.
	referenceRate   = 120_000
	referencePrimes = 30
	referenceShards = 6

	machineCores = 4 // of a small server
)

// need is what a kind of claim needs, in processors.
type need struct {
	name                 string
	server, maria, redis float64
}

func (m Measured) needs() []need {
	var needs []need
	for _, kind := range []struct{ name, scenario, way string }{
		{"Scrip, one hot template", "hot", "Scrip"},
		{"Scrip, each with an Idempotency-Key", "hot", "Scrip, with a key"},
		{"Scrip, over 1,000 templates", "thousand", "Scrip"},
		{"the reference way, one hot template", "hot", "reference way"},
		{"the common way, one hot template", "hot", "common way"},
	} {
		of := func(part string) float64 {
			micros, _ := m.value(kind.scenario, kind.way+"/"+part)
			return micros * wantedRate / 1e6
		}
		if n := (need{kind.name, of("server"), of("maria"), of("redis")}); n.server > 0 {
			needs = append(needs, n)
		}
	}
	return needs
}

// machines is how many of so many processors carry the load with headroom.
func machines(processors, each float64) int { return int(math.Ceil(processors * headroom / each)) }

// capacity is what the wanted rate needs, computed from what was measured.
func (m Measured) capacity() string {
	needs := m.needs()
	if len(needs) == 0 {
		return "Not measured.\n"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "For %s claims a second, in processors like those it was measured with (%s), and in brackets whole ones with a headroom of %g times:\n\n",
		figure(wantedRate, 0), m.Scenarios["hot"].When, headroom)
	cells := [][]string{{"", "servers", "MySQL", "Redis", "together"}}
	shown := func(x float64) string {
		if x == 0 {
			return ""
		}
		return fmt.Sprintf("%.1f (%.0f)", x, math.Ceil(x*headroom))
	}
	for _, n := range needs {
		cells = append(cells, []string{n.name, shown(n.server), shown(n.maria), shown(n.redis), shown(n.server + n.maria + n.redis)})
	}
	text.WriteString(grid(cells))
	m.fleet(&text, needs)
	m.limits(&text)
	return text.String()
}

// fleet sets machines beside those of the reference design. A Redis decides on
// one processor, so a shard is one.
func (m Measured) fleet(text *strings.Builder, needs []need) {
	fmt.Fprintf(text, "\nAs machines of %d processors, with the headroom; a Redis shard is one processor:\n\n", machineCores)
	cells := [][]string{{"", "servers", "MySQL primaries", "Redis shards"}}
	for _, n := range needs {
		cells = append(cells, []string{
			n.name, strconv.Itoa(machines(n.server, machineCores)), strconv.Itoa(machines(n.maria, machineCores)), strconv.Itoa(machines(n.redis, 1)),
		})
	}
	cells = append(cells, []string{
		"the reference design, as published, for " + figure(referenceRate, 0), "", strconv.Itoa(referencePrimes), strconv.Itoa(referenceShards),
	})
	text.WriteString(grid(cells))
}

// limit is where one part of the smallest installation ends.
type limit struct {
	what string
	rate float64 // claims a second
}

// limits says what breaks first: how many claims a second one of each part could
// carry if it had its processors for itself.
func (m Measured) limits(text *strings.Builder) {
	const cells = machineCores
	var all []limit
	add := func(what, part string, processors float64) {
		if micros, found := m.value("hot", "Scrip/"+part); found && micros > 0 {
			all = append(all, limit{what, processors * 1e6 / micros})
		}
	}
	add(fmt.Sprintf("a server of %d processors", machineCores), "server", cells)
	add(fmt.Sprintf("a MySQL primary of %d processors", machineCores), "maria", cells)
	add("a Redis shard, and so one hot template", "redis", 1)
	rows := [][]string{{"one of each, at its limit", "claims a second", "with headroom"}}
	first := limit{rate: math.Inf(1)}
	for _, l := range all {
		rows = append(rows, []string{l.what, figure(l.rate, 0), figure(l.rate/headroom, 0)})
		if l.rate < first.rate {
			first = l
		}
	}
	fmt.Fprintf(text, "\n%s\nWhat breaks first is %s.\n", grid(rows), first.what)
	m.writes(text)
}

// writes says what a second of claims leaves on disks.
func (m Measured) writes(text *strings.Builder) {
	redo, found := m.value("hot", "Scrip/redo")
	binlog, _ := m.value("hot", "Scrip/binlog")
	batch, _ := m.value("hot", "Scrip/claims a commit")
	if !found || batch == 0 {
		return
	}
	const mega = 1e6
	fmt.Fprintf(text, "\nA claim writes %.0f bytes to the redo log and %.0f to the binary log: %.0f and %.0f MB a second in all. One commit carried %.0f claims, so that would be %s commits a second; the more come at once, the more one carries.\n",
		redo, binlog, redo*wantedRate/mega, binlog*wantedRate/mega, batch, figure(wantedRate/batch, 0))
}
