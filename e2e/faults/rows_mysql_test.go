package faults

import (
	"net/http"
	"time"
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
	}
}

// killMySQL kills the database, and looks at what is said while it is away.
func killMySQL(w *world, h hit) {
	w.maria.Kill()
	got, err := w.send(w.Context(), h.Dice%len(w.servers), http.MethodGet, "/rules", "", nil)
	if err != nil || got.status != http.StatusServiceUnavailable || got.text("code") != "busy" || got.header.Get("Retry-After") == "" {
		w.wrong.add("without a database: %d %v %v, %v", got.status, got.header, got.body, err)
	}
	pause(w.Context(), h.Lasts)
	w.maria.Restart()
	w.fired.Add(1)
}
