package faults

import "time"

// serverRows are the faults of Scrip's own processes.
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
	}
}

func killServer(w *world, h hit) {
	server := w.servers[h.Dice%len(w.servers)]
	server.Kill()
	pause(w.Context(), h.Lasts)
	server.Restart()
	w.fired.Add(1)
}
