package main

import (
	"context"
	"sync/atomic"
)

// day is what a server does on a day with a sale: of 100 operations so many are
// of each kind.
//
//	55  reads of a wallet
//	15  claims over 1,000 templates
//	10  claims of what is sold out
//	 5  claims of what the user has already
//	10  carts qualified
//	 5  orders, each a lock and a confirm
type day struct {
	claims, soldOut, doubles operation
	claimed                  atomic.Int64
	till                     *till
}

func (b *bench) newDay(w *way) *day {
	b.fillWallets(w, b.walletTemplates(w))
	d := &day{till: b.newTill(w, "day")}
	d.claims = claim(w.open(1000, plenty), "day")
	out, has := soldOut(), doubles()
	d.soldOut, d.doubles = out.refused(b.exhaust(w, out)), has.refused(b.exhaust(w, has))
	return d
}

// orderShare is the part of operations that are orders.
const orderShare = 0.05

func (d *day) do(ctx context.Context, c *caller, n int64) error {
	switch kind := n * 37 % 100; { // all kinds come in every 100, well mixed
	case kind < 55:
		return readWallet(ctx, c, n)
	case kind < 70:
		return d.claims(ctx, c, d.claimed.Add(1))
	case kind < 80:
		return d.soldOut(ctx, c, n)
	case kind < 85:
		return d.doubles(ctx, c, n)
	case kind < 95:
		return qualify(ctx, c, n)
	}
	return d.till.order(ctx, c, n)
}

// subject has the way live through such days.
func (d *day) subject(name string) *subject {
	s := &subject{name: name, way: d.till.way, do: d.do}
	s.before = func(seconds float64) { d.till.stock(max(5000, int64(1.5*orderShare*s.latest.rate*seconds))) }
	return s
}

func (b *bench) mixed() {
	floor := b.newDay(b.way("floor")).subject("floor")
	day := b.newDay(b.way("scrip"))
	scrip := day.subject("Scrip")
	all := []*subject{floor, scrip}
	b.takeTurns(all)
	day.till.confirmed()
	b.show("", b.table("A mixed day", all, peers{floor: floor, scrip: scrip}))
}
