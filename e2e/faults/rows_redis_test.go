package faults

import "time"

// redisRows are the faults of the gate: MySQL decides, so they may cost time
// and nothing else.
func redisRows() []row {
	return []row{
		{
			name:  "redis_killed_back_empty",
			hits:  span[int]{1, 3},
			pause: span[time.Duration]{400 * time.Millisecond, 1500 * time.Millisecond},
			lasts: span[time.Duration]{0, 800 * time.Millisecond},
			ops:   300,
			strike: func(w *world, h hit) {
				w.redis.Kill()
				pause(w.Context(), h.Lasts)
				w.redis.Restart()
				w.fired.Add(1)
			},
		},
	}
}
