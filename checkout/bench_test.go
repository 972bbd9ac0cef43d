package checkout_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver of the plain way

	"scrip/checkout"
	"scrip/enginetest"
	"scrip/models"
	"scrip/store"
)

// BenchmarkHotBudget is what one order costs, lock and confirm, when all orders
// take from one budget and 64 callers are at it on MariaDB with 64 connections:
//
//	for_update  in the plain way: two transactions of its own for each order,
//	            each of which locks the budget's row by SELECT … FOR UPDATE
//	alone       the service's own transactions, one for each lock and confirm
//	service     the service as it is, which decides together what comes together
//
// x is how many times as many orders that are as in the plain way, which does
// less: it keeps no ledger, no record of operations, no user's part of the
// budget and no alerts, and freezes a quote that it is given.
func BenchmarkHotBudget(b *testing.B) {
	plainRate := 0.0
	b.Run("for_update", func(b *testing.B) {
		p := newPlain(b)
		plainRate = hammer(b, p.prepare(b), p.order)
	})
	alone := config()
	alone.Lanes, alone.MaxBatch = hotCallers, 1
	for _, way := range []struct {
		name string
		cfg  checkout.Config
	}{{"alone", alone}, {"service", config()}} {
		b.Run(way.name, func(b *testing.B) {
			w := newWorld(b, store.Options{DSN: enginetest.MySQLDSN(b), MaxOpenConns: hotCallers}, way.cfg)
			rate := hammer(b, w.prepare(b), w.order)
			if plainRate > 0 {
				b.ReportMetric(rate/plainRate, "x")
			}
		})
	}
}

const hotCallers = 64

// hammer has so many callers take one order after the other, and returns how
// many there were a second.
func hammer(b *testing.B, coupons []models.Coupon, order func(context.Context, models.Coupon) error) float64 {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range hotCallers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(coupons)); i = next.Add(1) - 1 {
				if err := order(b.Context(), coupons[i]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	rate := float64(len(coupons)) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "orders/s")
	return rate
}

// users are b.N of them, so that no user's wallet grows with the benchmark.
func users(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = "u" + strconv.Itoa(i)
	}
	return list
}

func (w world) prepare(b *testing.B) []models.Coupon {
	b.Helper()
	budget := w.budget(b, models.BudgetSpec{Kind: models.BudgetAmount, Currency: "USD", Total: models.MaxAmount})
	return w.issue(b, w.template(b, models.Rule{}, budget.ID), users(b.N)...)
}

func (w world) order(ctx context.Context, coupon models.Coupon) error {
	one := try(coupon.ID.String(), coupon)
	one.Cart.UserID = coupon.UserID
	if _, err := w.checkout.Lock(ctx, one); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if _, err := w.checkout.Confirm(ctx, one.XID, "key:1"); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	return nil
}

// plain is checkout as one writes it first.
type plain struct {
	*sql.DB
	frozen []byte
}

func newPlain(b *testing.B) *plain {
	b.Helper()
	db := must(sql.Open("mysql", enginetest.MySQLDSN(b)+"?interpolateParams=true"))(b)
	db.SetMaxOpenConns(hotCallers)
	db.SetMaxIdleConns(hotCallers)
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	for _, statement := range []string{
		`CREATE TABLE budgets (id BIGINT PRIMARY KEY, total BIGINT NOT NULL, used BIGINT NOT NULL, held BIGINT NOT NULL)`,
		`CREATE TABLE coupons (id BIGINT PRIMARY KEY, user_id VARCHAR(64) NOT NULL, status VARCHAR(10) NOT NULL, lock_id BIGINT)`,
		`CREATE TABLE locks (id BIGINT PRIMARY KEY, xid VARCHAR(191) NOT NULL UNIQUE, coupon_id BIGINT NOT NULL, amount BIGINT NOT NULL,
			state VARCHAR(10) NOT NULL, frozen LONGTEXT NOT NULL, expires_at BIGINT NOT NULL)`,
		`INSERT INTO budgets VALUES (1, 1000000000000000, 0, 0)`,
	} {
		must(db.ExecContext(b.Context(), statement))(b)
	}
	// A quote as the service would freeze it.
	w := &fake{now: noon(), wallet: []models.WalletCoupon{amountOff(1, 100)}}
	lock := must(w.service(b).Lock(b.Context(), try("x", w.wallet[0].Coupon)))(b).Lock
	return &plain{DB: db, frozen: must(json.Marshal(lock.Frozen))(b)}
}

func (p *plain) prepare(b *testing.B) []models.Coupon {
	b.Helper()
	must(p.ExecContext(b.Context(), "DELETE FROM coupons"))(b)
	coupons := make([]models.Coupon, b.N)
	const chunk = 500
	for begin := 0; begin < len(coupons); begin += chunk {
		end, args := min(begin+chunk, len(coupons)), []any{}
		for i := begin; i < end; i++ {
			coupons[i] = models.Coupon{ID: models.ID(i + 1), UserID: "u" + strconv.Itoa(i)}
			args = append(args, coupons[i].ID, coupons[i].UserID)
		}
		rows := strings.Repeat(", (?, ?, 'available', NULL)", end-begin)[2:]
		must(p.ExecContext(b.Context(), "INSERT INTO coupons VALUES "+rows, args...))(b)
	}
	return coupons
}

func (p *plain) order(ctx context.Context, coupon models.Coupon) error {
	if err := p.lock(ctx, coupon); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if err := p.confirm(ctx, coupon.ID.String()); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	return nil
}

const plainAmount = 100

var errRefused = errors.New("refused")

func (p *plain) lock(ctx context.Context, coupon models.Coupon) error {
	return p.inTx(ctx, func(tx *sql.Tx) error {
		var total, used, held int64
		err := tx.QueryRowContext(ctx, "SELECT total, used, held FROM budgets WHERE id = 1 FOR UPDATE").Scan(&total, &used, &held)
		if err != nil {
			return err
		}
		var status string
		err = tx.QueryRowContext(ctx, "SELECT status FROM coupons WHERE id = ? AND user_id = ? FOR UPDATE", coupon.ID, coupon.UserID).Scan(&status)
		if err != nil {
			return err
		}
		if used+held+plainAmount > total || status != "available" {
			return errRefused
		}
		return execAll(ctx, tx,
			statement{
				"INSERT INTO locks VALUES (?, ?, ?, ?, 'locked', ?, ?)",
				[]any{coupon.ID, coupon.ID.String(), coupon.ID, plainAmount, p.frozen, noon().Add(time.Hour).UnixMilli()},
			},
			statement{"UPDATE coupons SET status = 'locked', lock_id = ? WHERE id = ?", []any{coupon.ID, coupon.ID}},
			statement{"UPDATE budgets SET held = held + ? WHERE id = 1", []any{plainAmount}},
		)
	})
}

func (p *plain) confirm(ctx context.Context, xid string) error {
	return p.inTx(ctx, func(tx *sql.Tx) error {
		var id, coupon, amount, held int64
		var state string
		err := tx.QueryRowContext(ctx, "SELECT id, coupon_id, amount, state FROM locks WHERE xid = ? FOR UPDATE", xid).
			Scan(&id, &coupon, &amount, &state)
		if err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, "SELECT held FROM budgets WHERE id = 1 FOR UPDATE").Scan(&held)
		if err != nil {
			return err
		}
		if held < amount || state != "locked" {
			return errRefused
		}
		return execAll(ctx, tx,
			statement{"UPDATE locks SET state = 'confirmed' WHERE id = ?", []any{id}},
			statement{"UPDATE coupons SET status = 'used' WHERE id = ?", []any{coupon}},
			statement{"UPDATE budgets SET held = held - ?, used = used + ? WHERE id = 1", []any{amount, amount}},
		)
	})
}

type statement struct {
	text string
	args []any
}

func execAll(ctx context.Context, tx *sql.Tx, statements ...statement) error {
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s.text, s.args...); err != nil {
			return err
		}
	}
	return nil
}

func (p *plain) inTx(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := p.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
