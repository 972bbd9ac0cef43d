package faults

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"scrip/e2e/faults/history"
)

// serverRows are the faults of Scrip's own processes, and of what is done to a
// template while it sells.
func serverRows() []row {
	return []row{
		{
			name:   "server_killed",
			hits:   span[int]{2, 6},
			pause:  span[time.Duration]{300 * time.Millisecond, 1500 * time.Millisecond},
			lasts:  span[time.Duration]{0, 500 * time.Millisecond},
			ops:    300,
			strike: killServer,
		},
		{
			name:   "server_killed_embedded",
			needs:  engines{embedded: true},
			hits:   span[int]{2, 6},
			pause:  span[time.Duration]{300 * time.Millisecond, 1500 * time.Millisecond},
			lasts:  span[time.Duration]{0, 500 * time.Millisecond},
			ops:    300,
			strike: killServer,
		},
		{
			name:   "lease_holder_frozen",
			hits:   span[int]{1, 2},
			pause:  span[time.Duration]{500 * time.Millisecond, time.Second},
			lasts:  span[time.Duration]{500 * time.Millisecond, 3 * time.Second}, // after another has the lease
			ops:    300,
			load:   func(p *plan) { p.Stock *= 4 },
			strike: freezeHolder,
		},
		{
			name:   "template_edited",
			hits:   span[int]{1, 1},
			pause:  span[time.Duration]{200 * time.Millisecond, 500 * time.Millisecond},
			lasts:  span[time.Duration]{8 * time.Second, 8 * time.Second},
			short:  3 * time.Second,
			ops:    300,
			load:   func(p *plan) { p.Weights.Claim, p.Think = 20, p.Think/4 },
			strike: editTemplate,
		},
	}
}

func killServer(w *world, h hit) {
	server := w.servers[h.Dice%len(w.servers)]
	server.Kill()
	pause(w.Context(), h.Lasts)
	server.Restart()
	w.fired.Add(1)
}

// lease is a row of leases.
type lease struct {
	owner string
	until int64
}

// settler reads the lease on the job that settles claims, once there is one.
func (w *world) settler() (l lease) {
	const query = "SELECT owner, until FROM leases WHERE name = 'job:settle'"
	for begun := time.Now(); ; {
		err := w.db.QueryRowContext(w.Context(), query).Scan(&l.owner, &l.until)
		if err == nil {
			return l
		}
		if time.Since(begun) > patience || !pause(w.Context(), 100*time.Millisecond) {
			w.wrong.add("the lease on the settle job: %v", err)
			return l
		}
	}
}

// freezeHolder stops the server that settles claims until the other does, and
// some more; then the first goes on where it was, in the middle of anything.
func freezeHolder(w *world, h hit) {
	w.settler()
	holder := w.servers[h.Dice%len(w.servers)]
	holder.Stop()
	held := w.settler()
	pause(w.Context(), 2500*time.Millisecond) // longer than a lease goes without being renewed
	if now := w.settler(); now.owner == held.owner && now.until != held.until {
		holder.Cont() // it was the other's
		holder = w.servers[(h.Dice+1)%len(w.servers)]
		holder.Stop()
		held = w.settler()
	}
	for begun := time.Now(); time.Since(begun) < patience; pause(w.Context(), 50*time.Millisecond) {
		if now := w.settler(); now.owner != held.owner {
			w.fired.Add(1)
			break
		}
	}
	pause(w.Context(), h.Lasts)
	holder.Cont()
}

// editTemplate pauses and resumes the sale and changes its stock, again and
// again, as one merchant does: the next edit comes after the answer to the last.
// In the middle of it Redis is killed.
func editTemplate(w *world, h hit) {
	e := &editor{world: w, rng: rand.New(rand.NewPCG(uint64(h.Dice), 1)), path: "/templates/" + strconv.FormatInt(w.sale, 10)}
	begun, killed := time.Now(), false
	for time.Since(begun) < h.Lasts {
		if !killed && time.Since(begun) > h.Lasts/2 {
			killed = true
			w.redis.Kill()
			w.redis.Restart()
		}
		if e.rng.IntN(3) == 0 {
			e.edit(history.Pause, 0)
			pause(w.Context(), time.Duration(e.rng.IntN(60))*time.Millisecond)
			e.edit(history.Resume, 0)
			pause(w.Context(), time.Duration(e.rng.IntN(100))*time.Millisecond)
			continue
		}
		e.edit(history.Stock, int64(e.rng.IntN(60)+1)*int64(1-e.rng.IntN(5)/3*2)) // three of five add
		pause(w.Context(), time.Duration(e.rng.IntN(40))*time.Millisecond)
	}
	w.note("%d edits", e.edits)
}

// editor makes one edit after the other.
type editor struct {
	*world

	rng   *rand.Rand
	path  string
	edits int
}

// edit makes an edit, and asks until it knows what came of it.
func (e *editor) edit(act history.Act, amount int64) {
	e.edits++
	a := ask{
		Op:   history.Op{Act: act, Request: "edit-" + strconv.Itoa(e.edits), Keyed: true, Template: e.sale, Amount: amount},
		path: e.path + "/" + string(act),
	}
	if act == history.Stock {
		a.body = object{"add": amount}
	}
	for range 600 {
		got := e.attempt(e.Context(), a, e.rng.IntN(len(e.servers)))
		if got.Decided() {
			if got.Status == http.StatusOK {
				e.fired.Add(1)
			}
			return
		}
		if got.Status/100 == 4 && got.Code != "in_progress" {
			e.wrong.add("%s: %d %s", act, got.Status, got.Code)
			return
		}
		pause(e.Context(), 50*time.Millisecond)
	}
	e.wrong.add("%s: no answer", act)
}
