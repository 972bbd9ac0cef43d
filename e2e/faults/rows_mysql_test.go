package faults

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"scrip/enginetest"
)

// mysqlRows are the faults of the store that decides.
func mysqlRows() []row {
	return []row{
		{
			name:   "mysql_killed",
			needs:  engines{ownMySQL: []string{}},
			hits:   span[int]{2, 20},
			pause:  span[time.Duration]{200 * time.Millisecond, 1200 * time.Millisecond},
			lasts:  span[time.Duration]{0, 500 * time.Millisecond},
			ops:    300,
			strike: killMySQL,
		},
		{
			// The proof that the row above can fail: a MySQL that answers a commit
			// before it is on disk. Scrip refuses such a server, unless told not to.
			name:   "mysql_killed_unflushed",
			needs:  engines{ownMySQL: []string{"--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"}, env: []string{"SCRIP_MYSQL_ALLOW_UNSAFE=true"}},
			hits:   span[int]{2, 4},
			pause:  span[time.Duration]{900 * time.Millisecond, 1800 * time.Millisecond},
			ops:    300,
			load:   func(p *plan) { p.Stock, p.Think = 100_000, time.Millisecond },
			strike: killMySQL,
			breaks: "every 201 has its row",
		},
		{
			name:   "commit_reply_lost",
			hits:   span[int]{2, 5},
			pause:  span[time.Duration]{200 * time.Millisecond, 800 * time.Millisecond},
			lasts:  span[time.Duration]{300 * time.Millisecond, 1500 * time.Millisecond},
			ops:    300,
			load:   func(p *plan) { p.Stock *= 4 },
			strike: loseCommits,
		},
		{
			name:   "deadlocks_and_lock_timeouts",
			needs:  engines{ownMySQL: []string{}, dsn: "innodb_lock_wait_timeout=1"},
			hits:   span[int]{2, 5},
			pause:  span[time.Duration]{100 * time.Millisecond, 400 * time.Millisecond},
			lasts:  span[time.Duration]{2 * time.Second, 4 * time.Second},
			short:  2 * time.Second,
			ops:    200,
			load:   func(p *plan) { p.Weights.Order, p.Stock = 6, 100_000 },
			strike: opposeLocks,
		},
		{
			name:   "mysql_disk_full",
			needs:  engines{diskMiB: 256, ownMySQL: []string{"--innodb-log-file-size=8M"}},
			hits:   span[int]{1, 3},
			pause:  span[time.Duration]{600 * time.Millisecond, 1500 * time.Millisecond},
			lasts:  span[time.Duration]{3 * time.Second, 6 * time.Second},
			short:  3 * time.Second,
			ops:    200,
			load:   func(p *plan) { p.Stock = 100_000 },
			strike: fillDisk,
		},
	}
}

// killMySQL kills the database, and looks at what is said while it is away and
// how soon it goes on.
func killMySQL(w *world, h hit) {
	w.maria.Kill()
	got, err := w.send(w.Context(), h.Dice%len(w.servers), http.MethodGet, "/rules", "", nil)
	if err != nil || got.status != http.StatusServiceUnavailable || got.text("code") != "busy" || got.header.Get("Retry-After") == "" {
		w.wrong.add("without a database: %d %v %v, %v", got.status, got.header, got.body, err)
	}
	pause(w.Context(), h.Lasts)
	w.maria.Restart()
	w.fired.Add(1)
	w.goesOn()
}

// goesOn waits until every server grants claims again after its database came back.
func (w *world) goesOn() {
	back := time.Now()
	for i := range w.servers {
		for time.Since(back) < patience {
			a := claimOf(w.stream, w.newShopper())
			a.Request, a.Keyed = "back of "+a.User, true
			if got := w.attempt(w.Context(), a, i); got.Decided() || !pause(w.Context(), 20*time.Millisecond) {
				break
			}
		}
	}
	w.promised("back", time.Since(back), 3*time.Second)
}

// loseCommits has commits done whose answers come late, or never, or with the
// end of the connection.
func loseCommits(w *world, h hit) {
	percent, before := 5+h.Dice%40, w.fired.Load()
	w.toMaria.Judge(func(request, _ []byte) enginetest.Fate {
		if !bytes.HasSuffix(request, []byte("\x03COMMIT")) || rand.IntN(100) >= percent {
			return enginetest.Pass
		}
		w.fired.Add(1)
		switch h.Dice / 64 % 3 {
		case 0:
			return enginetest.Sever
		case 1:
			return enginetest.Swallow
		}
		pause(w.Context(), 1500*time.Millisecond)
		return enginetest.Pass
	})
	w.lasts(h, before)
	w.toMaria.Judge(nil)
	w.toMaria.Cut()
}

// lasts waits for as long as a fault lasts: until it has happened once more, on
// a machine so busy that nothing came by in its time.
func (w *world) lasts(h hit, before int64) {
	pause(w.Context(), h.Lasts)
	for begun := time.Now(); w.fired.Load() == before && time.Since(begun) < patience; {
		if !pause(w.Context(), tick) {
			return
		}
	}
}

// opposeLocks locks rows in an order that Scrip never would, and keeps them for
// longer than Scrip waits. It is heavier than a batch of Scrip's, so that of two
// in a deadlock it is Scrip's that has to give way.
func opposeLocks(w *world, h hit) {
	ctx, cancel := context.WithTimeout(w.Context(), h.Lasts)
	defer cancel()
	before := w.lockTrouble()
	if _, err := w.db.ExecContext(w.Context(), "CREATE TABLE IF NOT EXISTS ballast (id INT AUTO_INCREMENT PRIMARY KEY, filler INT)"); err != nil {
		w.wrong.add("%v", err)
		return
	}
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			w.intrude(ctx, fmt.Sprintf("SELECT id FROM templates WHERE id = %d FOR UPDATE", w.sale), 1300*time.Millisecond)
			pause(ctx, 300*time.Millisecond)
		}
	})
	all.Go(func() {
		for ctx.Err() == nil {
			w.intrude(ctx, fmt.Sprintf("SELECT id FROM coupons WHERE template_id = %d AND status <> 'used' ORDER BY id DESC LIMIT 400 FOR UPDATE", w.stream),
				50*time.Millisecond, "SELECT id FROM budgets ORDER BY id DESC FOR UPDATE")
			pause(ctx, 50*time.Millisecond)
		}
	})
	all.Wait()
	w.fired.Add(w.lockTrouble() - before)
}

// intrude locks what the first statement finds, waits, and locks what the
// others do; then it takes all back.
func (w *world) intrude(ctx context.Context, first string, hold time.Duration, then ...string) {
	tx, err := w.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return
	}
	defer func() { _ = tx.Rollback() }()
	weight := "INSERT INTO ballast (filler) VALUES (0)" + strings.Repeat(", (0)", 2000)
	for _, statement := range append([]string{weight, first, ""}, then...) {
		if statement == "" {
			pause(ctx, hold)
		} else if _, err := tx.ExecContext(ctx, statement); err != nil {
			return
		}
	}
}

// lockTrouble is how many deadlocks and lock timeouts the server has seen.
func (w *world) lockTrouble() (n int64) {
	const query = "SELECT COALESCE(SUM(`COUNT`), 0) FROM information_schema.INNODB_METRICS WHERE NAME IN ('lock_deadlocks', 'lock_timeouts')"
	if err := w.db.QueryRowContext(w.Context(), query).Scan(&n); err != nil {
		w.wrong.add("%v", err)
	}
	return n
}

// fillDisk leaves the database not a byte, which it does not survive, and gives
// the disk back before it starts again.
func fillDisk(w *world, h hit) {
	before := len(w.maria.Output())
	filler := filepath.Join(w.maria.Dir(), "data", "filler")
	if err := fill(filler); err != nil {
		w.wrong.add("fill the disk: %v", err)
	}
	pause(w.Context(), h.Lasts)
	if err := os.Remove(filler); err != nil {
		w.wrong.add("%v", err)
	}
	if said := w.maria.Output()[before:]; strings.Contains(said, "full") || strings.Contains(said, "No space left") {
		w.fired.Add(1)
	}
	w.maria.Restart()
	w.goesOn()
}

// fill writes a file until there is no room for more.
func fill(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	for size := 1 << 20; size > 0; size /= 2 {
		for piece := make([]byte, size); err == nil; {
			_, err = file.Write(piece)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
		err = nil
	}
	return nil
}
