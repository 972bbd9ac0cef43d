package faults

import (
	"math/rand/v2"
	"net/http"
	"time"

	"scrip/enginetest"
)

// lineRows are the faults of what connects Scrip to its stores.
func lineRows() []row {
	return []row{
		{
			name:   "lines_slow_and_cut",
			hits:   span[int]{1, 3},
			pause:  span[time.Duration]{200 * time.Millisecond, 600 * time.Millisecond},
			lasts:  span[time.Duration]{time.Second, 4 * time.Second},
			short:  time.Second,
			ops:    200,
			strike: slowAndCut,
		},
		{
			name:   "mysql_silent",
			hits:   span[int]{1, 3},
			pause:  span[time.Duration]{200 * time.Millisecond, 600 * time.Millisecond},
			lasts:  span[time.Duration]{2 * time.Second, 5 * time.Second},
			short:  2 * time.Second,
			ops:    200,
			strike: silenceMySQL,
		},
	}
}

// slowAndCut delays every reply of both stores, by up to a tenth of a second, and
// ends all their connections now and then.
func slowAndCut(w *world, h hit) {
	most := time.Duration(5+h.Dice%100) * time.Millisecond
	slow := func(_, _ []byte) enginetest.Fate {
		w.fired.Add(1)
		pause(w.Context(), rand.N(most))
		return enginetest.Pass
	}
	w.toRedis.Judge(slow)
	w.toMaria.Judge(slow)
	for begun := time.Now(); time.Since(begun) < h.Lasts; {
		pause(w.Context(), h.Lasts/4)
		w.toRedis.Cut()
		w.toMaria.Cut()
	}
	w.toRedis.Judge(nil)
	w.toMaria.Judge(nil)
}

// silenceMySQL has requests arrive and no reply come back, on connections that
// stay open. Nobody may be kept waiting for longer than the deadline of the route.
func silenceMySQL(w *world, h hit) {
	begun := time.Now()
	w.toMaria.Judge(func(_, _ []byte) enginetest.Fate {
		w.fired.Add(1)
		return enginetest.Swallow
	})
	got, err := w.send(w.Context(), h.Dice%len(w.servers), http.MethodGet, "/rules", "", nil)
	if err != nil || got.status != http.StatusServiceUnavailable && time.Since(begun) < h.Lasts {
		w.wrong.add("of a silent database: %d %v, %v", got.status, got.body, err)
	}
	w.promised("told so", time.Since(begun), 8*time.Second)
	pause(w.Context(), h.Lasts-time.Since(begun))
	w.toMaria.Judge(nil)
	w.toMaria.Cut() // what was swallowed does not come any more
	w.goesOn()
}
