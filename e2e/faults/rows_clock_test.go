package faults

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"

	"scrip/e2e/faults/history"
	"scrip/enginetest"
)

// clockRows have servers whose clocks are off. Days, zones and the millisecond
// at which each thing begins and ends are tested in package models.
func clockRows() []row {
	return []row{{
		name:   "clocks_apart",
		needs:  engines{ahead: 71 * time.Minute},
		hits:   span[int]{1, 2},
		pause:  span[time.Duration]{200 * time.Millisecond, 500 * time.Millisecond},
		lasts:  span[time.Duration]{700 * time.Millisecond, 2 * time.Second}, // the window
		ops:    300,
		strike: claimAroundAWindow,
	}}
}

// theTime is what the servers ask MySQL for, and its answer.
var (
	askTheTime = []byte("SELECT CAST(UNIX_TIMESTAMP(NOW(3))")
	theTime    = regexp.MustCompile(`\d{13}`)
)

// ahead has the database be so much ahead of every server's own clock.
func (w *world) ahead(by time.Duration) {
	w.toMaria.Judge(func(request, reply []byte) enginetest.Fate {
		if bytes.Contains(request, askTheTime) {
			if at := theTime.FindIndex(reply); at != nil {
				ms, _ := strconv.ParseInt(string(reply[at[0]:at[1]]), 10, 64)
				strconv.AppendInt(reply[at[0]:at[0]], ms+by.Milliseconds(), 10) // as many digits as before
				w.fired.Add(1)
			}
		}
		return enginetest.Pass
	})
}

// now is the database's time as the servers are told it.
func (w *world) now() time.Time { return time.Now().Add(w.needs.ahead) }

// claimAroundAWindow has users claim, of both servers, from before a window
// opens until after it has closed: by the database's clock, for both.
func claimAroundAWindow(w *world, h hit) {
	from := w.now().Add(1500 * time.Millisecond).Truncate(time.Millisecond)
	until := from.Add(h.Lasts)
	stamp := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
	id := w.make("/templates", object{
		"name": "window", "rule_id": w.rule, "currency": "USD", "validity": object{"days_after_claim": 30},
		"claim_window": object{"from": stamp(from), "until": stamp(until)}, "stock": 1_000_000,
	})
	w.must(http.StatusOK, http.MethodPost, "/templates/"+id+"/publish", nil)
	template, _ := strconv.ParseInt(id, 10, 64)
	w.watch(template, 1_000_000)
	var users sync.WaitGroup
	for i := range 6 {
		users.Go(func() {
			for n := 0; w.now().Before(until.Add(300 * time.Millisecond)); n++ {
				a := claimOf(template, fmt.Sprint("c", h.Dice%1000, "-", i, "-", n))
				a.Request = a.User
				sent := w.now()
				got := w.attempt(w.Context(), a, rand.IntN(len(w.servers)))
				w.inWindow(got, sent, w.now(), from, until)
			}
		})
	}
	users.Wait()
	w.claimedInWindow(template, from, until)
}

// apart is how far the servers may be from the database's clock.
const apart = 10 * time.Millisecond

func (w *world) inWindow(got history.Op, sent, answered, from, until time.Time) {
	fits := true
	switch {
	case got.Status == http.StatusCreated:
		fits = answered.Add(apart).After(from) && sent.Add(-apart).Before(until)
	case got.Code == "not_started":
		fits = sent.Add(-apart).Before(from)
	case got.Code == "ended":
		fits = answered.Add(apart).After(until)
	}
	if !fits {
		w.wrong.add("window %s to %s: %d %s between %s and %s of server %d", from, until, got.Status, got.Code, sent, answered, got.Server)
	}
}

// claimedInWindow holds what the coupons bear against the window, to the millisecond.
func (w *world) claimedInWindow(template int64, from, until time.Time) {
	var first, last, n int64
	const query = "SELECT COALESCE(MIN(claimed_at), 0), COALESCE(MAX(claimed_at), 0), COUNT(*) FROM coupons WHERE template_id = ?"
	if err := w.db.QueryRowContext(w.Context(), query, template).Scan(&first, &last, &n); err != nil {
		w.wrong.add("%v", err)
	}
	w.note("%d claims from %d ms after the window opened to %d ms before it closed", n, first-from.UnixMilli(), until.UnixMilli()-last)
	if n == 0 || first < from.UnixMilli() || last >= until.UnixMilli() {
		w.wrong.add("%d claims in a window from %d to %d: from %d to %d", n, from.UnixMilli(), until.UnixMilli(), first, last)
	}
}
