package store

import (
	"context"
	"encoding/json"
	"fmt"

	"scrip/models"
)

// Sums over the ledger, as the counters should be.
const (
	ledgerUsed = "SUM(CASE step WHEN 'use' THEN amount WHEN 'return' THEN -amount ELSE 0 END)"
	ledgerHeld = "SUM(CASE step WHEN 'hold' THEN amount WHEN 'return' THEN 0 ELSE -amount END)"
)

// budgetInvariants hold ledger, counters and locks against one another.
func budgetInvariants() []invariant {
	return []invariant{
		{
			"no more of a limited budget is used and held than its total",
			`SELECT budget_id, period_start, used, held, total FROM budget_periods
				WHERE used < 0 OR held < 0 OR total IS NOT NULL AND used + held > total`,
		},
		{
			"a budget's counters are the sums of its ledger",
			`SELECT p.budget_id, p.period_start, p.used, p.held, u.ledger_used, u.ledger_held FROM budget_periods p
				LEFT JOIN (SELECT budget_id, period_start, ` + ledgerUsed + ` AS ledger_used, ` + ledgerHeld + ` AS ledger_held
					FROM budget_usages GROUP BY budget_id, period_start) u
				ON u.budget_id = p.budget_id AND u.period_start = p.period_start
				WHERE p.used <> COALESCE(u.ledger_used, 0) OR p.held <> COALESCE(u.ledger_held, 0)`,
		},
		{
			"a user's part of a budget is the sum of the user's entries",
			`SELECT p.budget_id, p.period_start, p.user_id, p.used, p.held, u.ledger_used, u.ledger_held FROM budget_users p
				LEFT JOIN (SELECT budget_id, period_start, user_id, ` + ledgerUsed + ` AS ledger_used, ` + ledgerHeld + ` AS ledger_held
					FROM budget_usages GROUP BY budget_id, period_start, user_id) u
				ON u.budget_id = p.budget_id AND u.period_start = p.period_start AND u.user_id = p.user_id
				WHERE p.used <> COALESCE(u.ledger_used, 0) OR p.held <> COALESCE(u.ledger_held, 0)`,
		},
		{
			"every entry of the ledger has its counters",
			`SELECT u.id, u.budget_id, u.period_start, u.user_id FROM budget_usages u
				LEFT JOIN budget_periods p ON p.budget_id = u.budget_id AND p.period_start = u.period_start
				LEFT JOIN budget_users w ON w.budget_id = u.budget_id AND w.period_start = u.period_start AND w.user_id = u.user_id
				WHERE p.budget_id IS NULL OR w.budget_id IS NULL`,
		},
		{
			"a lock holds, uses or released of its budgets what its state says",
			`SELECT l.id, l.state, u.lock_id, u.coupon_id, u.budget_id, u.held, u.used, u.released, u.returned
				FROM (SELECT lock_id, coupon_id, budget_id, period_start, user_id,
					SUM(CASE step WHEN 'hold' THEN amount ELSE 0 END) AS held,
					SUM(CASE step WHEN 'use' THEN amount ELSE 0 END) AS used,
					SUM(CASE step WHEN 'release' THEN amount ELSE 0 END) AS released,
					SUM(CASE step WHEN 'return' THEN amount ELSE 0 END) AS returned
					FROM budget_usages GROUP BY lock_id, coupon_id, budget_id, period_start, user_id) u
				LEFT JOIN locks l ON l.id = u.lock_id
				WHERE l.id IS NULL OR u.user_id <> l.user_id OR u.returned > u.used
				OR u.used <> CASE WHEN l.state = 'confirmed' THEN u.held ELSE 0 END
				OR u.released <> CASE WHEN l.state IN ('cancelled', 'expired') THEN u.held ELSE 0 END`,
		},
	}
}

// lockInvariants hold locks, coupons and refunds against one another.
func lockInvariants() []invariant {
	return []invariant{
		{
			"every locked coupon has a live lock, every used one a confirmed lock",
			`SELECT c.id, c.status, c.lock_id, l.state FROM coupons c LEFT JOIN locks l ON l.id = c.lock_id
				WHERE c.status IN ('locked', 'used') AND (l.id IS NULL OR l.user_id <> c.user_id OR l.order_id <> c.order_id
					OR l.state <> CASE c.status WHEN 'locked' THEN 'locked' ELSE 'confirmed' END)
				OR c.status NOT IN ('locked', 'used') AND c.lock_id IS NOT NULL`,
		},
		{
			"a live lock's coupons are locked by it, a confirmed one's used or returned",
			`SELECT l.id, l.state, o.coupon_id, c.status FROM locks l
				JOIN coupon_operations o ON o.lock_id = l.id AND o.step = 'lock'
				LEFT JOIN coupons c ON c.id = o.coupon_id AND c.lock_id = l.id
				LEFT JOIN coupon_operations r ON r.lock_id = l.id AND r.coupon_id = o.coupon_id AND r.step = 'return'
				WHERE l.state = 'locked' AND (c.id IS NULL OR c.status <> 'locked')
				OR l.state = 'confirmed' AND (c.id IS NULL OR c.status <> 'used') <> (r.id IS NOT NULL)`,
		},
		{
			"every step of a lock is recorded once for each of its coupons",
			`SELECT l.id, l.state, s.coupon_id, s.locked, s.confirmed, s.cancelled, s.expired FROM locks l
				JOIN (SELECT lock_id, coupon_id,
					SUM(CASE step WHEN 'lock' THEN 1 ELSE 0 END) AS locked,
					SUM(CASE step WHEN 'confirm' THEN 1 ELSE 0 END) AS confirmed,
					SUM(CASE step WHEN 'cancel' THEN 1 ELSE 0 END) AS cancelled,
					SUM(CASE step WHEN 'expire' THEN 1 ELSE 0 END) AS expired
					FROM coupon_operations GROUP BY lock_id, coupon_id) s ON s.lock_id = l.id
				WHERE s.locked <> 1
				OR s.confirmed <> CASE l.state WHEN 'confirmed' THEN 1 ELSE 0 END
				OR s.cancelled <> CASE l.state WHEN 'cancelled' THEN 1 ELSE 0 END
				OR s.expired <> CASE l.state WHEN 'expired' THEN 1 ELSE 0 END`,
		},
		{
			"every lock but a tombstone has its quote",
			`SELECT l.id, l.state, q.lock_id FROM locks l LEFT JOIN lock_quotes q ON q.lock_id = l.id
				WHERE (l.hash IS NULL) <> (q.lock_id IS NULL)`,
		},
		{
			"a lock's refunds add up, to no more than was paid, and only after it was confirmed",
			`SELECT q.lock_id, l.state, q.payable, q.refunds, q.refunded_amount, r.n, r.amount FROM lock_quotes q
				LEFT JOIN locks l ON l.id = q.lock_id
				LEFT JOIN (SELECT lock_id, COUNT(*) AS n, SUM(amount) AS amount FROM refunds GROUP BY lock_id) r
				ON r.lock_id = q.lock_id
				WHERE q.refunds <> COALESCE(r.n, 0) OR q.refunded_amount <> COALESCE(r.amount, 0)
				OR q.refunded_amount > q.payable OR q.refunds > 0 AND (l.id IS NULL OR l.state <> 'confirmed')`,
		},
	}
}

// What is checked of the quotes, whose JSON no query can look into.
const (
	quoteHolds    = "a lock's holds on budgets, and its operations on coupons, are those of its quote"
	quoteRefunded = "no more units of a line are refunded than the quote has"
)

// quoteRow is a quote that is checked.
type quoteRow struct {
	lock     models.ID
	frozen   models.Frozen
	refunded map[string]int64
}

// checkQuotes goes through all quotes, in chunks.
func (s *Store) checkQuotes(ctx context.Context) (broken []Violation, err error) {
	const chunk = 500
	for after := models.ID(0); ; {
		quotes, err := s.quotes(ctx, after, chunk)
		if err != nil || len(quotes) == 0 {
			return broken, err
		}
		after = quotes[len(quotes)-1].lock
		holds, err := s.holdsBetween(ctx, quotes[0].lock, after)
		if err != nil {
			return broken, err
		}
		known := make(map[models.ID]bool, len(quotes))
		for i := range quotes {
			known[quotes[i].lock] = true
			broken = append(broken, quotes[i].check(holds)...)
		}
		for key, held := range holds {
			if known[key.lock] { // else it was made after the quotes were read
				broken = append(broken, key.violation(0, held))
			}
		}
	}
}

func (s *Store) quotes(ctx context.Context, after models.ID, limit int) ([]quoteRow, error) {
	var quotes []quoteRow
	err := query(ctx, s.sql, "SELECT lock_id, frozen, refunded_units FROM lock_quotes WHERE lock_id > ? ORDER BY lock_id LIMIT ?",
		[]any{after, limit}, func(scan func(...any) error) error {
			var row quoteRow
			var frozen, refunded []byte
			if err := scan(&row.lock, &frozen, &refunded); err != nil {
				return err
			}
			if refunded != nil {
				if err := json.Unmarshal(refunded, &row.refunded); err != nil {
					return fmt.Errorf("refunded units of lock %s: %w", row.lock, err)
				}
			}
			if err := json.Unmarshal(frozen, &row.frozen); err != nil {
				return fmt.Errorf("quote of lock %s: %w", row.lock, err)
			}
			quotes = append(quotes, row)
			return nil
		})
	return quotes, err
}

// holdKey names a hold: of a lock, for a coupon, on a budget. Budget 0 stands
// for the coupon itself, which was locked once.
type holdKey struct{ lock, coupon, budget models.ID }

// holdsBetween reads what the ledger and the record of operations have of locks.
// Both are written with the quote and never change, so they are there.
func (s *Store) holdsBetween(ctx context.Context, from, to models.ID) (map[holdKey]int64, error) {
	holds := map[holdKey]int64{}
	err := query(ctx, s.sql, `SELECT lock_id, coupon_id, budget_id, amount FROM budget_usages
			WHERE lock_id BETWEEN ? AND ? AND step = 'hold'
		UNION ALL SELECT lock_id, coupon_id, 0, 1 FROM coupon_operations WHERE lock_id BETWEEN ? AND ? AND step = 'lock'`,
		[]any{from, to, from, to}, func(scan func(...any) error) error {
			var key holdKey
			var amount int64
			err := scan(&key.lock, &key.coupon, &key.budget, &amount)
			holds[key] += amount
			return err
		})
	return holds, err
}

// check compares a quote with the holds, from which it takes away its own.
func (q *quoteRow) check(holds map[holdKey]int64) (broken []Violation) {
	for i := range q.frozen.Coupons {
		c := &q.frozen.Coupons[i]
		want := map[models.ID]int64{0: 1}
		for _, b := range c.Budgets {
			want[b.ID] = takes(b.Kind, &q.frozen.Quote.Applied[i])
		}
		for budget, amount := range want {
			key := holdKey{q.lock, c.CouponID, budget}
			if holds[key] != amount {
				broken = append(broken, key.violation(amount, holds[key]))
			}
			delete(holds, key)
		}
	}
	lines := make(map[string]int64, len(q.frozen.Lines))
	for _, line := range q.frozen.Lines {
		lines[line.LineID] = line.Quantity
	}
	for line, n := range q.refunded {
		if n > lines[line] {
			broken = append(broken, Violation{quoteRefunded, fmt.Sprintf("lock_id=%s line_id=%q quantity=%d refunded=%d",
				q.lock, line, lines[line], n)})
		}
	}
	return broken
}

func (k holdKey) violation(quote, held int64) Violation {
	return Violation{quoteHolds, fmt.Sprintf("lock_id=%s coupon_id=%s budget_id=%s quote=%d held=%d",
		k.lock, k.coupon, k.budget, quote, held)}
}
