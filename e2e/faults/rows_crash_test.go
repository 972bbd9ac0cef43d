package faults

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"scrip/e2e/faults/history"
	"scrip/failpoint"
)

// crashRows are one row for each declared step: there a server dies, in the
// middle of the load, and is started again. How often the fault happened is
// what the dying wrote down themselves, so a step that nobody reaches is red.
func crashRows() []row {
	var rows []row
	for _, step := range failpoint.Steps() {
		if !strings.HasPrefix(string(step), "task.") { // no sale reaches them; see e2e/distributions_test.go
			rows = append(rows, crashRow(step))
		}
	}
	return rows
}

func crashRow(step failpoint.Step) row {
	r := row{
		name:   "crash_" + strings.ReplaceAll(string(step), ".", "_"),
		needs:  engines{crash: fmt.Sprint(step, ":", 5)},
		hits:   span[int]{1, 1},
		pause:  span[time.Duration]{0, 200 * time.Millisecond},
		ops:    100,
		strike: awaitDeaths,
		load:   busyCheckout,
	}
	switch path, _, _ := strings.Cut(string(step), "."); path {
	case "settle":
		// Something has to be pending first. Whoever settles it dies next.
		r.needs.crash = fmt.Sprint(failpoint.ClaimReserved, ":", 5, ",", step, ":", 1)
		r.needs.servers = 1
	case "remind":
		// Days that have come when a coupon is claimed: it is reminded of at once.
		r.needs.crash, r.needs.remind = fmt.Sprint(step, ":", 2), []int{60, 1}
		r.after = remindedOnce
	case "expire":
		r.needs.crash = fmt.Sprint(step, ":", 1)
	case "rebuild":
		// The first two load the gate for the first time, before anybody has a
		// coupon. The third is in the middle of the sale.
		r.needs.crash = fmt.Sprint(step, ":", 3)
		r.needs.servers = 1
		r.strike = func(w *world, h hit) {
			pause(w.Context(), time.Second)
			w.redis.Kill()
			w.redis.Restart()
			awaitDeaths(w, h)
		}
	}
	return r
}

// busyCheckout has every step be reached soon.
func busyCheckout(p *plan) {
	p.Users, p.Think, p.Limit = 24, 10*time.Millisecond, 3
	p.Weights = weights{Claim: 4, Order: 4, Orphan: 1, Keyed: 60, Twin: 20, Confirm: 60, Cancel: 15, Both: 5, Refund: 70}
	if p.Short {
		p.SettleAfter, p.Rest = 1500*time.Millisecond, 300*time.Millisecond
	}
}

// armed is scrip with failpoints, built once.
var armed = sync.OnceValues(func() (string, error) {
	return build(context.Background(), filepath.Dir(binary), "failpoint")
})

// arm has the servers die of the failpoints, and returns the program that can.
func (w *world) arm(plan string) (program string) {
	w.Helper()
	program, err := armed()
	if err != nil {
		w.Fatal(err)
	}
	w.crash, w.deaths = plan, filepath.Join(w.TempDir(), "deaths")
	w.env = append(w.env, "FAILPOINT="+plan, "FAILPOINT_FIRED="+w.deaths)
	return program
}

// longestLife is how long it may take until a server dies of a failpoint.
const longestLife = time.Minute

// awaitDeaths waits until somebody has died of each failpoint of the plan, and
// starts whoever is dead again each time.
func awaitDeaths(w *world, _ hit) {
	want := int64(1 + strings.Count(w.crash, ","))
	for deadline := time.Now().Add(longestLife); w.fired.Load() < want && time.Now().Before(deadline); {
		for _, server := range w.servers {
			if syscall.Kill(server.Pid(), 0) != nil {
				server.Restart()
				w.fired.Add(1)
			}
		}
		pause(w.Context(), 20*time.Millisecond)
	}
	// Whoever died has written down of what.
	died, err := os.ReadFile(w.deaths)
	if got := strings.ReplaceAll(strings.TrimSpace(string(died)), "\n", ","); err != nil || !named(w.crash, got) {
		w.wrong.add("the servers were to die of %s, and died of %q (%v)", w.crash, got, err)
	}
}

// named reports whether got are the steps of the plan.
func named(plan, got string) bool {
	var steps []string
	for one := range strings.SplitSeq(plan, ",") {
		step, _, _ := strings.Cut(one, ":")
		steps = append(steps, step)
	}
	return strings.Join(steps, ",") == got
}

// TestAnOrdinaryProgramHasNoFailpoints: not even their names.
func TestAnOrdinaryProgramHasNoFailpoints(t *testing.T) {
	t.Parallel()
	with, err := armed()
	if err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]bool{binary: false, with: true} {
		text, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range failpoint.Steps() {
			if bytes.Contains(text, []byte(step)) != want {
				t.Errorf("%s: %s is in it: %v", filepath.Base(program), step, !want)
			}
		}
		if bytes.Contains(text, []byte("FAILPOINT")) != want {
			t.Errorf("%s: the variables are in it: %v", filepath.Base(program), !want)
		}
	}
	if slices.Contains(failpoint.Steps(), "") {
		t.Error("a step without a name would be in every program")
	}
}

// remindedOnce demands that everybody has one message for each day who has a
// coupon that no order ever wanted: the job had all the time to tell of it.
func remindedOnce(w *world, _ *history.State) (wrong []string) {
	var users []string
	for deadline := time.Now().Add(longestLife); ; pause(w.Context(), 100*time.Millisecond) {
		users = nil
		const untold = `SELECT DISTINCT c.user_id FROM coupons c WHERE c.template_id = %d
			AND NOT EXISTS (SELECT 1 FROM coupon_operations o WHERE o.coupon_id = c.id)
			AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.user_id = c.user_id)`
		if err := rows(w.Context(), w.db, &users, fmt.Sprintf(untold, w.stream), func(u *string) []any { return []any{u} }); err != nil {
			return []string{err.Error()}
		}
		if len(users) == 0 || time.Now().After(deadline) {
			break
		}
	}
	for _, user := range users {
		wrong = append(wrong, user+" was not reminded")
	}
	const often = "SELECT user_id FROM messages GROUP BY user_id HAVING COUNT(*) > COUNT(DISTINCT occasion)"
	users = nil
	if err := rows(w.Context(), w.db, &users, often, func(u *string) []any { return []any{u} }); err != nil {
		return []string{err.Error()}
	}
	for _, user := range users {
		wrong = append(wrong, user+" was reminded more than once a day")
	}
	var told []string
	if err := rows(w.Context(), w.db, &told, "SELECT user_id FROM messages", func(u *string) []any { return []any{u} }); err != nil || len(told) == 0 {
		wrong = append(wrong, fmt.Sprint("nobody was reminded ", err))
	}
	w.note("%d were reminded", len(told))
	return wrong
}
