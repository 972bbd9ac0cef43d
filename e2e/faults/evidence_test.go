package faults

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"scrip/e2e/faults/history"
)

// patience is how long a run may take to be quiet. What is promised is
// promise; a busy machine is allowed more.
const (
	patience = 90 * time.Second
	promise  = 10 * time.Second
)

// quiet waits until nobody is in doubt any more, nothing is pending, and the
// gate agrees with the database. Doubts end by the same request again.
func (l *load) quiet(ctx context.Context) error {
	begun := time.Now()
	rng := random(l.plan.Row, l.plan.Seed, "quiet")
	for {
		l.askAgain(ctx, rng)
		problem := fmt.Errorf("%d requests are in doubt: %+v", len(l.doubts), l.doubts)
		if len(l.doubts) == 0 {
			problem = cmp.Or(l.freed(ctx), l.agrees(ctx))
		}
		if problem == nil || time.Since(begun) > patience || !pause(ctx, 50*time.Millisecond) {
			return problem
		}
	}
}

// askAgain sends every request that is in doubt once more, all at the same time.
func (l *load) askAgain(ctx context.Context, rng *rand.Rand) {
	again := l.doubts
	l.doubts = nil
	var all sync.WaitGroup
	for _, a := range again {
		server := rng.IntN(len(l.servers))
		all.Go(func() {
			got := l.attempt(ctx, a, server)
			if !got.Decided() && (got.Status/100 != 4 || got.Code == "in_progress") {
				l.doubt(a)
			}
		})
	}
	all.Wait()
}

// freed asks whether every lock has ended that is past its end, or will be in a
// moment.
func (w *world) freed(ctx context.Context) error {
	var held int
	const query = "SELECT COUNT(*) FROM locks WHERE state = 'locked' AND expires_at < ?"
	err := w.db.QueryRowContext(ctx, query, w.now().Add(shortTTL*time.Second).UnixMilli()).Scan(&held)
	if err == nil && held > 0 {
		err = fmt.Errorf("%d locks are past their end", held)
	}
	return err
}

// agrees asks whether every copy in the gate is open and as the database has
// it. A copy that is cold is warmed by a claim, as it would be in a sale; only
// for what is sold out nobody asks the gate any more.
func (l *load) agrees(ctx context.Context) error {
	if l.redis == nil {
		return nil
	}
	templates, err := l.readTemplates(ctx)
	if err != nil {
		return err
	}
	copies, err := l.readGate(ctx)
	if err != nil {
		return err
	}
	for _, c := range copies {
		i := slices.IndexFunc(templates, func(t history.Template) bool { return t.ID == c.Template })
		if i < 0 {
			return fmt.Errorf("template %d is lost", c.Template)
		}
		t := templates[i]
		switch {
		case !c.Open && t.Claimed == *t.Stock: // the servers know without asking
		case !c.Open:
			l.probe(ctx, c.Template)
			return fmt.Errorf("the copy of %d is cold", c.Template)
		case c.Pending > 0 || c.Left != *t.Stock-t.Claimed:
			return fmt.Errorf("template %d: the gate has %d left and %d pending, the database %d", t.ID, c.Left, c.Pending, *t.Stock-t.Claimed)
		}
	}
	return nil
}

// probe claims one coupon.
func (l *load) probe(ctx context.Context, template int64) {
	shopper := l.newShopper()
	a := claimOf(template, shopper)
	a.Request, a.Keyed = "probe of "+shopper, true
	if got := l.attempt(ctx, a, 0); got.Unknown() {
		l.doubts = append(l.doubts, a)
	}
}

// evidence reads what the stores hold.
func (w *world) evidence(ctx context.Context) (*history.State, error) {
	s := &history.State{}
	var err error
	if s.Templates, err = w.readTemplates(ctx); err != nil {
		return nil, err
	}
	if w.redis != nil {
		if s.Gate, err = w.readGate(ctx); err != nil {
			return nil, err
		}
	}
	return s, errors.Join(
		rows(ctx, w.db, &s.Coupons, "SELECT id, template_id, user_id, issue_no, status, COALESCE(lock_id, 0) FROM coupons",
			func(c *history.Coupon) []any {
				return []any{&c.ID, &c.Template, &c.User, &c.IssueNo, &c.Status, &c.Lock}
			}),
		rows(ctx, w.db, &s.Locks, `SELECT l.id, l.xid, l.state, l.hash IS NULL, COALESCE(q.payable, 0), COALESCE(q.refunded_amount, 0)
			FROM locks l LEFT JOIN lock_quotes q ON q.lock_id = l.id`,
			func(l *history.Lock) []any {
				return []any{&l.ID, &l.XID, &l.State, &l.Tombstone, &l.Payable, &l.Refunded}
			}),
		rows(ctx, w.db, &s.Operations, "SELECT id, coupon_id, lock_id, step FROM coupon_operations",
			func(o *history.Operation) []any { return []any{&o.ID, &o.Coupon, &o.Lock, &o.Step} }),
		rows(ctx, w.db, &s.Budgets, "SELECT budget_id, period_start, used, held, total FROM budget_periods",
			func(b *history.Budget) []any { return []any{&b.ID, &b.Period, &b.Used, &b.Held, &b.Total} }),
		rows(ctx, w.db, &s.Usages, "SELECT id, budget_id, period_start, lock_id, coupon_id, step, refund_id, amount FROM budget_usages",
			func(u *history.Usage) []any {
				return []any{&u.ID, &u.Budget, &u.Period, &u.Lock, &u.Coupon, &u.Step, &u.Refund, &u.Amount}
			}),
		rows(ctx, w.db, &s.Refunds, "SELECT lock_id, refund_id, amount FROM refunds",
			func(r *history.Returned) []any { return []any{&r.Lock, &r.RefundID, &r.Amount} }),
	)
}

// rows reads all that a query finds.
func rows[T any](ctx context.Context, db *sql.DB, into *[]T, query string, columns func(*T) []any) error {
	found, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = found.Close() }()
	for found.Next() {
		var row T
		if err := found.Scan(columns(&row)...); err != nil {
			return err
		}
		*into = append(*into, row)
	}
	return found.Err()
}

func (w *world) readTemplates(ctx context.Context) ([]history.Template, error) {
	var list []history.Template
	err := rows(ctx, w.db, &list, "SELECT id, stock, claimed, per_user_limit FROM templates ORDER BY id",
		func(t *history.Template) []any { return []any{&t.ID, &t.Stock, &t.Claimed, &t.Limit} })
	for i := range list {
		list[i].Initial = w.stock[list[i].ID]
	}
	return list, err
}

// keyOf is a key of a template's copy, as in gate/lua/copy.lua.
func keyOf(template int64, name string) string {
	return "scrip:{" + strconv.FormatInt(template, 10) + "}:" + name
}

// readGate reads every template's copy, in the order of their ids, from the
// Redis that Scrip is led to.
func (w *world) readGate(ctx context.Context) ([]history.Copy, error) {
	client := redis.NewClient(&redis.Options{Addr: w.toRedis.Addr(), Protocol: 2, DisableIdentity: true})
	defer func() { _ = client.Close() }()
	info, err := client.Info(ctx, "replication").Result()
	if err != nil {
		return nil, err
	}
	var copies []history.Copy
	for id := range w.stock {
		meta, err := client.HGetAll(ctx, keyOf(id, "meta")).Result()
		if err != nil {
			return nil, err
		}
		c := history.Copy{Template: id}
		c.Left, _ = client.Get(ctx, keyOf(id, "left")).Int64() // a cold copy has none
		pending, users := client.HLen(ctx, keyOf(id, "pend")), client.SCard(ctx, keyOf(id, "users"))
		if err := cmp.Or(pending.Err(), users.Err()); err != nil {
			return nil, err
		}
		c.Pending, c.Full = pending.Val(), users.Val()
		c.Open = meta["server"] != "" && meta["loading"] == "" && strings.Contains(info, "master_replid:"+meta["server"])
		copies = append(copies, c)
	}
	slices.SortFunc(copies, func(a, b history.Copy) int { return cmp.Compare(a.Template, b.Template) })
	return copies, nil
}

// apiAgrees holds what the API says against what the database has.
func (w *world) apiAgrees(ctx context.Context, s *history.State) (differences []string) {
	differ := func(what string, got, want int64) {
		if got != want {
			differences = append(differences, fmt.Sprintf("the API says %s is %d, the database %d", what, got, want))
		}
	}
	for n, t := range s.Templates {
		path := fmt.Sprint("/templates/", t.ID)
		server := n % len(w.servers)
		for _, page := range []string{path, path + "/stats"} {
			got, err := w.send(ctx, server, http.MethodGet, page, "", nil)
			if err != nil || got.status != http.StatusOK {
				return append(differences, fmt.Sprintf("%s: %d, %v", page, got.status, err))
			}
			differ("claimed of "+page, got.number("claimed"), t.Claimed)
			differ("remaining of "+page, got.number("remaining"), *t.Stock-t.Claimed)
		}
		listed, err := w.countCoupons(ctx, server, path+"/coupons")
		if err != nil {
			return append(differences, err.Error())
		}
		differ("the number of coupons of "+path, listed, t.Claimed)
	}
	for _, id := range w.budget {
		got, err := w.send(ctx, 0, http.MethodGet, "/budgets/"+id, "", nil)
		if err != nil || got.status != http.StatusOK {
			return append(differences, fmt.Sprintf("budget %s: %d, %v", id, got.status, err))
		}
		for _, b := range s.Budgets {
			if strconv.FormatInt(b.ID, 10) == id {
				differ("used of budget "+id, got.number("used"), b.Used)
				differ("held of budget "+id, got.number("held"), b.Held)
			}
		}
	}
	return differences
}

func (w *world) countCoupons(ctx context.Context, server int, path string) (n int64, err error) {
	for cursor := ""; ; {
		got, err := w.send(ctx, server, http.MethodGet, path+"?limit=200"+cursor, "", nil)
		if err != nil || got.status != http.StatusOK {
			return n, fmt.Errorf("%s: %d, %w", path, got.status, err)
		}
		page, _ := got.body["data"].([]any)
		n += int64(len(page))
		next := got.text("next_cursor")
		if next == "" {
			return n, nil
		}
		cursor = "&cursor=" + next
	}
}
