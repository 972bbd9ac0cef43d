package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"scrip/e2e/cost/ways"
	"scrip/models"
)

// plenty is a stock that is not sold out.
const plenty = 1_000_000_000

// claim asks for a coupon of each of the templates in turn, each time for
// another user.
func claim(templates []string, users string) operation {
	return func(ctx context.Context, c *caller, n int64) error {
		c.claim(templates, users, n)
		return c.post(ctx, "/v1/claims", "", c.body, http.StatusCreated)
	}
}

// claimWithKey does the same with an Idempotency-Key, which has to be stored.
func claimWithKey(templates []string, users string) operation {
	return func(ctx context.Context, c *caller, n int64) error {
		c.claim(templates, users, n)
		return c.post(ctx, "/v1/claims", templates[0]+users+"-"+strconv.FormatInt(n, 10), c.body, http.StatusCreated)
	}
}

func (c *caller) claim(templates []string, users string, n int64) {
	c.body = fmt.Appendf(c.body[:0], `{"template_id":"%s","user_id":"%s-%d"}`, templates[n%int64(len(templates))], users, n)
}

// claims has the ways grant claims on so many templates: the four ways, the
// floor at no more requests a second than Scrip, and Scrip when a claim carries
// an Idempotency-Key.
//
// There are two floors because a server that is never idle spends less on each
// request: it need not be woken for one.
func (b *bench) claims(title string, templates int) {
	var all []*subject
	opened := map[*subject][]string{}
	add := func(name, way string, do func([]string, string) operation) *subject {
		w := b.way(way)
		s := &subject{name: name, way: w}
		opened[s] = w.open(templates, plenty)
		s.do = do(opened[s], "u"+strconv.Itoa(len(all)))
		first := claim(opened[s], "first")
		b.times(w, int64(templates), first) // what is done once for each template is no part of a claim
		all = append(all, s)
		return s
	}
	floor := add("floor", "floor", claim)
	common := add("common way", "common", claim)
	add("reference way", "reference", claim)
	scrip := add("Scrip", "scrip", claim)
	paced := add("floor, as many as Scrip", "floor", claim)
	paced.paceOf, paced.share = scrip, 1
	add("Scrip, with a key", "scrip", claimWithKey)
	add("least way", "least", claim)
	b.takeTurns(all)
	for _, s := range all {
		b.sold(s.way, opened[s], s.done+int64(templates))
	}
	b.show("", b.table(title, all, peers{floor, paced, common, scrip}))
	b.showWrites(all)
}

// showWrites shows what the database wrote for a claim.
func (b *bench) showWrites(all []*subject) {
	cells := [][]string{{"what a claim writes", "claims a commit", "commits a sync", "redo log bytes", "binary log bytes"}}
	for _, s := range all {
		if s.way.db == nil {
			continue
		}
		of := func(name string) float64 { return s.median(func(r round) float64 { return r.writes[name] }) }
		b.values[s.name+"/claims a commit"], b.values[s.name+"/redo"], b.values[s.name+"/binlog"] = 1/of(commits), of(redo), of(binlog)
		cells = append(cells, []string{s.name, figure(1/of(commits), 1), figure(of(commits)/of(syncs), 1), figure(of(redo), 0), figure(of(binlog), 0)})
	}
	b.text.WriteString(grid(cells))
}

func (b *bench) hot()      { b.claims("Claims on one hot template", 1) }
func (b *bench) thousand() { b.claims("Claims over 1,000 templates", 1000) }

func (b *bench) storms() {
	b.storm("sold out", "Sold out: everybody is refused", soldOut())
	b.storm("doubles", "Doubles: everybody has one already", doubles())
}

// storm is claims that are refused, after users 1 to claimed got theirs.
type storm struct {
	stock, claimed int64
	code           models.Code         // of the refusal
	floor          string              // the floor's template that refuses so
	user           func(n int64) int64 // who presses
}

func soldOut() storm {
	return storm{
		stock: 100, claimed: 100, code: models.CodeSoldOut, floor: ways.FloorSoldOut,
		user: func(n int64) int64 { return 1000 + n },
	}
}

func doubles() storm {
	return storm{
		stock: plenty, claimed: 1000, code: models.CodeAlreadyClaimed, floor: ways.FloorClaimed,
		user: func(n int64) int64 { return 1 + n%1000 },
	}
}

func (b *bench) storm(key, title string, st storm) {
	var all []*subject
	for _, way := range []struct{ name, key string }{
		{"floor", "floor"}, {"common way", "common"}, {"reference way", "reference"}, {"Scrip", "scrip"},
	} {
		s := &subject{name: way.name, way: b.way(way.key)}
		s.do = st.refused(b.exhaust(s.way, st))
		all = append(all, s)
	}
	b.takeTurns(all)
	b.show(key+"/", b.table(title, all, peers{floor: all[0], common: all[1], scrip: all[3]}))
}

// exhaust has a template claimed as far as the storm wants it.
func (b *bench) exhaust(w *way, st storm) []string {
	if w.name == "floor" {
		return []string{st.floor}
	}
	templates := w.open(1, st.stock)
	b.times(w, st.claimed, claim(templates, "u"))
	b.sold(w, templates, st.claimed)
	return templates
}

func (st storm) refused(templates []string) operation {
	code := []byte(`"code":"` + string(st.code) + `"`)
	return func(ctx context.Context, c *caller, n int64) error {
		c.claim(templates, "u", st.user(n))
		err := c.post(ctx, "/v1/claims", "", c.body, http.StatusConflict)
		if err == nil && !bytes.Contains(c.answer.Body, code) {
			err = fmt.Errorf("refused otherwise: %s", c.answer.Body)
		}
		return err
	}
}

// maxSetup bounds what is done before the measuring begins.
const maxSetup = 10 * time.Minute

// busyWait is how long who is turned away stays away.
const busyWait = 50 * time.Millisecond

// times does an operation so many times, unmeasured, and again where it is turned
// away.
func (b *bench) times(w *way, n int64, do operation) {
	patient := func(ctx context.Context, c *caller, n int64) error {
		err := do(ctx, c, n)
		for errors.Is(err, errBusy) && wait(ctx, time.Now().Add(busyWait)) {
			err = do(ctx, c, n)
		}
		return err
	}
	l := &load{way: w, do: patient, next: new(atomic.Int64), limit: n}
	l.run(b.ctx, b.conns, maxSetup)
	if l.done != n {
		b.Fatalf("%s: %d of %d were done to begin with: %w", w.name, l.done, n, l.example)
	}
}
