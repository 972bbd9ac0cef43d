package faults

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"scrip/e2e/faults/history"
	"scrip/enginetest"
)

// redisRows are the faults of the gate. MySQL decides, so they may cost time and
// nothing else.
func redisRows() []row {
	return []row{
		{
			name:   "redis_killed_back_empty",
			hits:   span[int]{1, 3},
			pause:  span[time.Duration]{400 * time.Millisecond, 1500 * time.Millisecond},
			lasts:  span[time.Duration]{0, 800 * time.Millisecond},
			ops:    300,
			strike: killRedis,
		},
		{
			name:   "redis_failover_writes_lost",
			needs:  engines{replica: true},
			hits:   span[int]{1, 1},
			pause:  span[time.Duration]{600 * time.Millisecond, 1500 * time.Millisecond},
			lasts:  span[time.Duration]{time.Second, 4 * time.Second},
			short:  time.Second,
			ops:    300,
			load:   func(p *plan) { p.Stock = 100_000 }, // a sale that is over writes nothing
			strike: failOver,
		},
		{
			name:   "redis_replies_lost",
			hits:   span[int]{2, 5},
			pause:  span[time.Duration]{200 * time.Millisecond, 800 * time.Millisecond},
			lasts:  span[time.Duration]{300 * time.Millisecond, 1500 * time.Millisecond},
			ops:    300,
			load:   func(p *plan) { p.Stock *= 4 },
			strike: loseRedisReplies,
		},
		{
			name:  "redis_frozen",
			hits:  span[int]{1, 2},
			pause: span[time.Duration]{300 * time.Millisecond, time.Second},
			lasts: span[time.Duration]{2 * time.Second, 2 * time.Second},
			ops:   200,
			strike: func(w *world, h hit) {
				w.redis.Stop()
				pause(w.Context(), h.Lasts)
				w.redis.Cont()
				w.fired.Add(1)
			},
		},
		{
			name:  "redis_away",
			hits:  span[int]{1, 1},
			pause: span[time.Duration]{500 * time.Millisecond, 500 * time.Millisecond},
			lasts: span[time.Duration]{20 * time.Second, 20 * time.Second},
			short: 3 * time.Second,
			ops:   300,
			load: func(p *plan) {
				p.Users, p.Think, p.Stock = 96, 0, 1_000_000
				p.Weights.Claim, p.Weights.Order, p.Weights.Orphan, p.Weights.Twin = 30, 1, 0, 0
			},
			strike: withoutRedis,
		},
	}
}

// killRedis brings Redis back without anything in it, and waits until the
// copies are there again.
func killRedis(w *world, h hit) {
	w.redis.Kill()
	pause(w.Context(), h.Lasts)
	w.redis.Restart()
	w.fired.Add(1)
	back := time.Now()
	for range 200 {
		copies, err := w.readGate(w.Context())
		if err == nil && slices.ContainsFunc(copies, func(c history.Copy) bool { return c.Open }) {
			w.promised("a copy is rebuilt", time.Since(back), 2*time.Second)
			return
		}
		pause(w.Context(), 50*time.Millisecond)
	}
}

// failOver cuts the link to the replica, so that it misses what the sale writes
// meanwhile, and then promotes it in the place of the dead primary.
func failOver(w *world, h hit) {
	ctx := w.Context()
	waitForReplica(ctx, w.replica)
	w.link.Down()
	pause(ctx, h.Lasts)
	lost := moves(ctx, w, w.redis) - moves(ctx, w, w.replica)
	w.redis.Kill()
	promote := redis.NewClient(&redis.Options{Addr: w.replica.Addr(), Protocol: 2, DisableIdentity: true})
	defer func() { _ = promote.Close() }()
	if err := promote.ReplicaOf(ctx, "NO", "ONE").Err(); err != nil {
		w.wrong.add("promote: %v", err)
	}
	w.toRedis.Turn(w.replica.Addr())
	w.toRedis.Cut()
	if lost > 0 {
		w.fired.Add(1)
	}
}

func waitForReplica(ctx context.Context, replica *enginetest.Server) {
	client := redis.NewClient(&redis.Options{Addr: replica.Addr(), Protocol: 2, DisableIdentity: true})
	defer func() { _ = client.Close() }()
	for {
		info, err := client.Info(ctx, "replication").Bytes()
		if err == nil && bytes.Contains(info, []byte("master_link_status:up")) || !pause(ctx, 50*time.Millisecond) {
			return
		}
	}
}

// moves counts the changes that a server knows of, over all copies.
func moves(ctx context.Context, w *world, server *enginetest.Server) int64 {
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2, DisableIdentity: true})
	defer func() { _ = client.Close() }()
	var sum int64
	for id := range w.stock {
		n, _ := client.HGet(ctx, keyOf(id, "meta"), "moves").Int64()
		sum += n
	}
	return sum
}

// loseRedisReplies has scripts run whose answers do not come: the connection
// ends instead, or nothing comes.
func loseRedisReplies(w *world, h hit) {
	fate := enginetest.Sever
	if h.Dice%2 == 0 {
		fate = enginetest.Swallow
	}
	percent, before := 5+h.Dice/2%60, w.fired.Load()
	w.toRedis.Judge(func(request, _ []byte) enginetest.Fate {
		if !bytes.Contains(request, []byte("eval")) || rand.IntN(100) >= percent {
			return enginetest.Pass
		}
		w.fired.Add(1)
		return fate
	})
	w.lasts(h, before)
	w.toRedis.Judge(nil)
	w.toRedis.Cut() // of a connection on which a reply was swallowed no other may be expected
}

// withoutRedis looks at how claims go on while there is no Redis.
func withoutRedis(w *world, h hit) {
	from := len(w.log.all())
	begun := time.Now()
	w.toRedis.Down()
	pause(w.Context(), h.Lasts)
	during := w.log.all()[from:]
	lasted := time.Since(begun)
	w.toRedis.Up()
	w.fired.Add(1)
	var claims, faulty int
	for i := range during {
		switch op := &during[i]; {
		case op.Act == history.Claim && op.Status == http.StatusCreated:
			claims++
		case op.Status >= http.StatusInternalServerError && op.Status != http.StatusServiceUnavailable:
			faulty++
		}
	}
	perSecond := float64(claims) / lasted.Seconds()
	w.note("%.0f claims a second without Redis", perSecond)
	if perSecond < 500 && !w.plan.Short && w.late.Load() <= mostLate {
		w.wrong.add("%.0f claims a second without Redis, promised are 500", perSecond)
	}
	if faulty*100 >= len(during) {
		w.wrong.add("of %d requests without Redis %d were answered by 5xx other than 503", len(during), faulty)
	}
}
