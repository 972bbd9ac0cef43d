package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"scrip/client"
	"scrip/models"
)

// till takes orders on one way: each has a coupon of its own, and all take from
// one budget.
type till struct {
	b        *bench
	way      *way
	name     string
	template string
	coupons  []string // by number of the order, from 0
	next     atomic.Int64
	done     atomic.Int64 // orders confirmed
}

func (b *bench) newTill(w *way, name string) *till {
	t := &till{b: b, way: w, name: name}
	if !w.scrip() {
		t.template = w.open(1, plenty)[0]
		return t
	}
	api := b.api(w)
	budget, err := api.CreateBudget(b.ctx, client.NewBudget{
		Name: "cost", Kind: "amount", Currency: "USD", Total: models.MaxAmount,
	})
	b.must(err)
	t.template = b.publishTemplate(api, client.NewTemplate{RuleID: b.rule(api), BudgetIDs: []string{budget.ID}})
	return t
}

// stock sees to it that there are so many more coupons to order with.
func (t *till) stock(more int64) {
	have := int64(len(t.coupons))
	missing := t.next.Load() + more - have
	if missing <= 0 {
		return
	}
	t.coupons = append(t.coupons, make([]string, missing)...)
	if t.way.name == "floor" {
		for i := have; i < have+missing; i++ {
			t.coupons[i] = "7000000000000001"
		}
		return
	}
	t.b.times(t.way, missing, func(ctx context.Context, c *caller, n int64) error {
		n += have
		c.claim([]string{t.template}, t.name, n)
		if err := c.post(ctx, "/v1/claims", "", c.body, http.StatusCreated); err != nil {
			return err
		}
		_, rest, _ := bytes.Cut(c.answer.Body, []byte(`"id":"`))
		id, _, found := bytes.Cut(rest, []byte(`"`))
		if !found {
			return fmt.Errorf("no id in %s", c.answer.Body)
		}
		t.coupons[n-1] = string(id)
		return nil
	})
	t.b.calm(t.way)
}

var errNoCoupon = errors.New("there is no coupon left to order with: the till was not stocked enough")

// order locks and confirms one order.
func (t *till) order(ctx context.Context, c *caller, _ int64) error {
	n := t.next.Add(1)
	if n > int64(len(t.coupons)) {
		return errNoCoupon
	}
	c.body = fmt.Appendf(c.body[:0], `{"xid":"%s-%d","order_id":"order-%d","coupon_ids":["%s"],"cart":`, t.name, n, n, t.coupons[n-1])
	c.body = appendCart(c.body, fmt.Sprintf("%s-%d", t.name, n), 2)
	c.body = append(c.body, '}')
	if err := c.post(ctx, "/v1/locks", "", c.body, http.StatusCreated); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	c.body = fmt.Appendf(c.body[:0], "/v1/locks/%s-%d/confirm", t.name, n)
	if err := c.post(ctx, string(c.body), "", nil, http.StatusOK); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	t.done.Add(1)
	return nil
}

// confirmed fails the run unless as many locks are confirmed as were
// acknowledged.
func (t *till) confirmed() {
	if t.way.db == nil {
		return
	}
	var stored int64
	const ask = "SELECT COUNT(*) FROM locks WHERE state = 'confirmed' AND xid LIKE ?"
	t.b.must(t.way.db.QueryRowContext(t.b.ctx, ask, t.name+"-%").Scan(&stored))
	if stored != t.done.Load() {
		t.b.Errorf("%s: %d locks are confirmed, %d were acknowledged", t.way.name, stored, t.done.Load())
	}
}

// orders weighs an order, which is a lock and a confirm, when all take from one
// budget.
func (b *bench) orders() {
	var all []*subject
	var tills []*till
	// Coupons for the warm-up, by what each can order in a second.
	for _, way := range []struct {
		name, key string
		first     int64
	}{{"floor", "floor", 50_000}, {"common way", "common", 2000}, {"Scrip", "scrip", 10_000}} {
		t := b.newTill(b.way(way.key), "order")
		s := &subject{name: way.name, way: t.way, do: t.order}
		first := way.first
		s.before = func(seconds float64) { t.stock(max(first, int64(1.5*s.latest.rate*seconds))) }
		all, tills = append(all, s), append(tills, t)
	}
	b.takeTurns(all)
	for _, t := range tills {
		t.confirmed()
	}
	title := "Orders (lock, then confirm) that all take from one budget"
	b.show("", b.table(title, all, peers{floor: all[0], common: all[1], scrip: all[2]}))
}
