package gate_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"scrip/enginetest"
	"scrip/gate"
	"scrip/models"
)

func TestRedis(t *testing.T) {
	t.Parallel()
	addr := enginetest.Redis(t).Addr()
	suite(t, func(t *testing.T, now models.Clock) gates { return newRedis(t, now, addr) })
}

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	addrs := startCluster(t)
	suite(t, func(t *testing.T, now models.Clock) gates { return newRedis(t, now, addrs...) })
}

// newRedis makes a gate with more patience than usual, for slow machines.
func newRedis(tb testing.TB, now models.Clock, addrs ...string) *gate.Redis {
	tb.Helper()
	return newRedisWith(tb, gate.RedisOptions{Addrs: addrs, Timeout: patience, Now: now}, slog.DiscardHandler)
}

func newRedisWith(tb testing.TB, opts gate.RedisOptions, log slog.Handler) *gate.Redis {
	tb.Helper()
	g, err := gate.NewRedis(opts, slog.New(log))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := g.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return g
}

// fixtureOn uses a gate that the test has to itself.
func fixtureOn(t *testing.T, g gates, clock *handClock) *fixture {
	t.Helper()
	return &fixture{T: t, gate: g, clock: clock, id: 1, limit: 1}
}

// control talks to a server past the gate.
func control(t *testing.T, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func do(t *testing.T, client *redis.Client, args ...any) string {
	t.Helper()
	text, err := client.Do(t.Context(), args...).Text()
	if err != nil && !errors.Is(err, redis.Nil) {
		// Answers that are no text are nobody's business here.
		if redis.HasErrorPrefix(err, "") {
			t.Fatalf("%v: %v", args, err)
		}
	}
	return text
}

// startCluster starts two primaries that share the slots.
func startCluster(t *testing.T) []string {
	t.Helper()
	first, second := enginetest.Redis(t, "--cluster-enabled", "yes"), enginetest.Redis(t, "--cluster-enabled", "yes")
	a, b := control(t, first.Addr()), control(t, second.Addr())
	do(t, a, "cluster", "addslotsrange", 0, 8191)
	do(t, b, "cluster", "addslotsrange", 8192, 16383)
	do(t, b, "cluster", "set-config-epoch", 2)
	host, port, err := net.SplitHostPort(first.Addr())
	if err != nil {
		t.Fatal(err)
	}
	do(t, b, "cluster", "meet", host, port)
	for _, node := range []*redis.Client{a, b} {
		enginetest.Eventually(t, "the cluster has formed", func() bool {
			return strings.Contains(do(t, node, "cluster", "info"), "cluster_state:ok")
		})
	}
	return []string{first.Addr(), second.Addr()}
}

func TestRestartIsCold(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		kept bool
	}{
		{"back empty", nil, false},
		// The copy is back from disk, epoch and all, and would go on.
		{"back with data", []string{"--appendonly", "yes", "--appendfsync", "always"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			clock := newHandClock()
			server := enginetest.Redis(t, test.args...)
			f := fixtureOn(t, newRedis(t, clock.now, server.Addr()), clock)
			f.rebuild(5)
			f.wantAnswers(f.reserve("a", "b"), taken, taken)

			server.Restart()
			enginetest.Eventually(t, "the gate has noticed that Redis is back", func() bool {
				return f.reserve("c")[0] != away
			})
			f.wantCold()
			if kept := do(t, control(t, server.Addr()), "hget", "scrip:{1}:meta", "epoch") == "1"; kept != test.kept {
				t.Fatalf("the epoch is still there: %t", kept)
			}
			f.wantUnmoved(func() {
				f.finish(models.GateRelease, 1, "a")
				f.finish(models.GateRecord, 77, "z")
				f.stock(1, 5)
			})
			f.rebuild(3)
			f.wantAnswers(f.reserve("a"), taken)
			f.wantCounts(2, 1, 1)
		})
	}
}

// syncAtOnce spares the wait for further replicas, five seconds by default.
var syncAtOnce = []string{"--repl-diskless-sync-delay", "0"}

// A replica that missed the last reservations is promoted behind the same
// address. Its copy has the right epoch and wrong counters.
func TestPromotedReplicaIsCold(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		cut  bool // else pooled connections to the old primary stay open
	}{{"connections cut", true}, {"connections kept", false}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			primary, replica := enginetest.Redis(t, syncAtOnce...), enginetest.Redis(t, syncAtOnce...)
			old, promoted := control(t, primary.Addr()), control(t, replica.Addr())
			replicate(t, promoted, primary.Addr())

			clock := newHandClock()
			line := enginetest.NewProxy(t, primary.Addr())
			f := fixtureOn(t, newRedis(t, clock.now, line.Addr()), clock)
			f.rebuild(5)
			f.wantAnswers(f.reserve("a"), taken)
			do(t, old, "wait", 1, 0)

			do(t, promoted, "replicaof", "no", "one")
			f.wantAnswers(f.reserve("b"), taken) // acknowledged, and lost
			line.Turn(replica.Addr())
			if test.cut {
				line.Cut()
			} else {
				// The gate's own idle connection may serve the old copy for as
				// long as it lives; a new connection must not.
				f.gate = newRedis(t, clock.now, line.Addr())
			}
			enginetest.Eventually(t, "the gate has noticed the new primary", func() bool {
				return f.reserve("c")[0] != away
			})
			epoch, left := do(t, promoted, "hget", "scrip:{1}:meta", "epoch"), do(t, promoted, "get", "scrip:{1}:left")
			if epoch != "1" || left != "4" {
				t.Fatalf("epoch %q, %q left: the replica is to have the copy without the last reservation", epoch, left)
			}
			f.wantCold()
			if f.begin() {
				t.Error("the same epoch begins again")
			}
			f.rebuild(3)
			f.wantCounts(3, 0, 0)
		})
	}
}

func replicate(t *testing.T, replica *redis.Client, primary string) {
	t.Helper()
	host, port, err := net.SplitHostPort(primary)
	if err != nil {
		t.Fatal(err)
	}
	do(t, replica, "replicaof", host, port)
	enginetest.Eventually(t, "the replica is in step", func() bool {
		return strings.Contains(do(t, replica, "info", "replication"), "master_link_status:up")
	})
}

// The old primary comes back as a replica, takes over a copy that it once made
// itself, and is promoted again.
func TestPromotedTwiceIsCold(t *testing.T) {
	t.Parallel()
	first, second := enginetest.Redis(t, syncAtOnce...), enginetest.Redis(t, syncAtOnce...)
	a, b := control(t, first.Addr()), control(t, second.Addr())
	replicate(t, b, first.Addr())
	clock := newHandClock()
	f := fixtureOn(t, newRedis(t, clock.now, first.Addr()), clock)
	f.rebuild(5)
	f.wantAnswers(f.reserve("a"), taken)
	do(t, a, "wait", 1, 0)

	do(t, b, "replicaof", "no", "one")
	f.wantAnswers(f.reserve("b"), taken) // only the first has it
	replicate(t, a, second.Addr())
	do(t, a, "replicaof", "no", "one")
	enginetest.Eventually(t, "the gate has noticed that it may write again", func() bool {
		return f.reserve("c")[0] != away
	})
	f.wantCold()
}

func TestScriptsFlushed(t *testing.T) {
	t.Parallel()
	server := enginetest.Redis(t)
	client := control(t, server.Addr())
	clock := newHandClock()
	f := fixtureOn(t, newRedis(t, clock.now, server.Addr()), clock)
	other := *f
	other.id = 2
	f.rebuild(5)
	other.rebuild(5)
	do(t, client, "script", "flush")
	got := f.gate.Reserve(t.Context(), []models.Reservation{f.ask(1, "a"), other.ask(2, "a"), f.ask(3, "b")})
	f.wantAnswers(got, taken, taken, taken)
	do(t, client, "script", "flush")
	f.must(f.gate.Finish(t.Context(), []models.GateOutcome{
		f.outcome(models.GateRelease, 1, "a"), other.outcome(models.GateConfirm, 2, "a"),
	}))
	f.wantCounts(4, 1, 1)
	other.wantCounts(4, 0, 1)
}

// The script runs, its reply does not come: nothing may run twice. That Redis is
// silent leaves the driver no time to try again; that the connection ends does.
func TestReplyLost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		timeout time.Duration
		harm    func() enginetest.Judge
	}{
		{"silence", brief, func() enginetest.Judge {
			return func(_, _ []byte) enginetest.Fate { return enginetest.Swallow }
		}},
		{"connection ends", patience, func() enginetest.Judge {
			var once atomic.Bool // a second attempt would be answered
			return func(_, _ []byte) enginetest.Fate {
				if once.Swap(true) {
					return enginetest.Pass
				}
				return enginetest.Sever
			}
		}},
	} {
		t.Run("one server/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := enginetest.Redis(t)
			line := enginetest.NewProxy(t, server.Addr())
			testReplyLost(t, server.Addr(), line, test.harm, gate.RedisOptions{
				Addrs: []string{line.Addr()}, Timeout: test.timeout,
			})
		})
		t.Run("cluster/"+test.name, func(t *testing.T) {
			t.Parallel()
			line := enginetest.NewProxy(t, "")
			server := startClusterBehind(t, line)
			testReplyLost(t, server, line, test.harm, gate.RedisOptions{
				Addrs: []string{line.Addr(), line.Addr()}, Timeout: test.timeout,
			})
		})
	}
}

// startClusterBehind starts a cluster of one, known only by the proxy's address.
func startClusterBehind(t *testing.T, line *enginetest.Proxy) (addr string) {
	t.Helper()
	_, port, err := net.SplitHostPort(line.Addr())
	if err != nil {
		t.Fatal(err)
	}
	server := enginetest.Redis(t, "--cluster-enabled", "yes", "--cluster-announce-port", port)
	line.Turn(server.Addr())
	line.Cut()
	client := control(t, server.Addr())
	do(t, client, "cluster", "addslotsrange", 0, 16383)
	enginetest.Eventually(t, "the cluster has formed", func() bool {
		return strings.Contains(do(t, client, "cluster", "info"), "cluster_state:ok")
	})
	return server.Addr()
}

func testReplyLost(t *testing.T, addr string, line *enginetest.Proxy, harm func() enginetest.Judge, opts gate.RedisOptions) {
	t.Helper()
	clock := newHandClock()
	opts.Now = clock.now
	f := fixtureOn(t, newRedisWith(t, opts, slog.DiscardHandler), clock)
	direct := *f
	direct.gate = newRedis(t, clock.now, addr)
	direct.rebuild(5)
	direct.finish(models.GateConfirm, 99, "z") // so that the server knows the script
	f.epoch = direct.epoch

	// lose does something whose reply does not come, and waits until it is done.
	lose := func(act func(), done func(models.GateState) bool) {
		t.Helper()
		enginetest.Eventually(t, "the way through works", func() bool { return f.again(1, "a") == taken })
		line.Judge(harm())
		act()
		enginetest.Eventually(t, "the script has run", func() bool { return done(direct.state()) })
		line.Judge(nil)
		line.Cut()
	}
	reserve := func() { f.wantAnswers([]models.GateAnswer{f.again(2, "b")}, away) }
	lose(reserve, func(s models.GateState) bool { return s.Pending == 2 })
	lose(reserve, func(s models.GateState) bool { return s.Pending == 2 })
	lose(func() {
		err := f.gate.Finish(t.Context(), []models.GateOutcome{f.outcome(models.GateRecord, 3, "c")})
		if !errors.Is(err, gate.ErrAway) {
			t.Errorf("a record whose reply was lost: %v", err)
		}
	}, func(s models.GateState) bool { return s.Users == 3 })
	direct.wantCounts(2, 2, 3)
	enginetest.Eventually(t, "the way through works", func() bool { return f.again(2, "b") == taken })
	direct.wantCounts(2, 2, 3)
}

func TestAway(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		goes, comes func(s *enginetest.Server)
		answer      models.GateAnswer // once it is back
	}{
		{"killed", (*enginetest.Server).Kill, (*enginetest.Server).Restart, cold},
		{"frozen", (*enginetest.Server).Stop, (*enginetest.Server).Cont, taken},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := enginetest.Redis(t)
			line := enginetest.NewProxy(t, server.Addr())
			clock := newHandClock()
			log := &syncBuffer{}
			g := newRedisWith(t, gate.RedisOptions{Addrs: []string{line.Addr()}, Timeout: brief, Now: clock.now},
				slog.NewTextHandler(log, nil))
			f := fixtureOn(t, g, clock)
			enginetest.Eventually(t, "the copy is open", func() bool {
				f.epoch++
				begun, _ := g.Begin(t.Context(), f.load(0))
				opened, _ := g.Open(t.Context(), f.load(50))
				return begun && opened
			})

			test.goes(server)
			enginetest.Eventually(t, "the gate has given up", func() bool {
				f.reserve("a")
				return g.Away()
			})
			before := line.Sent()
			const asked = 1000
			for range asked {
				f.wantAnswers(f.reserve("b"), away)
			}
			if got := line.Sent() - before; got > asked/10 {
				t.Errorf("of %d requests %d were sent though Redis is away", asked, got)
			}
			if err := g.Finish(t.Context(), []models.GateOutcome{f.outcome(models.GateConfirm, 1, "a")}); !errors.Is(err, gate.ErrAway) {
				t.Errorf("finish: %v", err)
			}
			if err := g.Ping(t.Context()); !errors.Is(err, gate.ErrAway) {
				t.Errorf("ping: %v", err)
			}

			test.comes(server)
			f.claim = 5000
			enginetest.Eventually(t, "the gate is back", func() bool { return f.again(5000, "z") == test.answer && !g.Away() })
			enginetest.Eventually(t, "a ping comes back", func() bool { return g.Ping(t.Context()) == nil })
			// Though it was asked for before in the same second, while nothing
			// could be written down.
			enginetest.Eventually(t, "the template is listed as touched", func() bool {
				touched, err := g.Touched(t.Context(), clock.now(), 10)
				return err == nil && slices.Contains(touched, f.id)
			})
			gone, back := strings.Count(log.String(), "is away"), strings.Count(log.String(), "is back")
			if back == 0 || gone < back || gone > back+1 {
				t.Errorf("%d lines about going and %d about coming back:\n%s", gone, back, log)
			}
		})
	}
}

// syncBuffer is a buffer for several writers.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Callers that give up say nothing about Redis.
func TestImpatientCallers(t *testing.T) {
	t.Parallel()
	server := enginetest.Redis(t)
	clock := newHandClock()
	g := newRedis(t, clock.now, server.Addr())
	f := fixtureOn(t, g, clock)
	f.rebuild(5)
	server.Stop()
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), brief/10)
		f.wantAnswers(g.Reserve(ctx, []models.Reservation{f.ask(1, "a")}), away)
		if err := g.Finish(ctx, []models.GateOutcome{f.outcome(models.GateConfirm, 1, "a")}); !errors.Is(err, gate.ErrAway) {
			t.Errorf("finish: %v", err)
		}
		cancel()
	}
	if g.Away() {
		t.Error("the gate has given up on Redis because its callers did not wait")
	}
	server.Cont()
	f.wantAnswers([]models.GateAnswer{f.again(2, "b")}, taken)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		args    []string
		prepare []any
		want    string // in the error; "" for none
		log     string
	}{
		{name: "as it should be"},
		{name: "evicts", args: []string{"--maxmemory-policy", "allkeys-lru"}, want: "noeviction"},
		{
			name: "keeps its settings to itself", args: []string{"--rename-command", "CONFIG", ""},
			log: "does not tell its maxmemory-policy",
		},
		{
			name: "forbids INFO", prepare: []any{"acl", "setuser", "default", "-info"},
			want: "does not run our scripts",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := enginetest.Redis(t, test.args...)
			if test.prepare != nil {
				do(t, control(t, server.Addr()), test.prepare...)
			}
			log := &syncBuffer{}
			g := newRedisWith(t, gate.RedisOptions{Addrs: []string{server.Addr()}, Timeout: patience},
				slog.NewTextHandler(log, nil))
			err := g.Check(t.Context())
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, gate.ErrAway)):
				t.Errorf("error %v, want one about %q", err, test.want)
			}
			if !strings.Contains(log.String(), test.log) || test.log == "" && log.String() != "" {
				t.Errorf("log %q, want %q", log, test.log)
			}
		})
	}
	t.Run("away", func(t *testing.T) {
		t.Parallel()
		server := enginetest.Redis(t)
		g := newRedis(t, nil, server.Addr())
		server.Kill()
		if err := g.Check(t.Context()); !errors.Is(err, gate.ErrAway) {
			t.Errorf("error %v, want %v", err, gate.ErrAway)
		}
	})
}

func TestNewRedisRefuses(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]gate.RedisOptions{
		"no address":              {},
		"a database of a cluster": {Addrs: []string{"127.0.0.1:1", "127.0.0.1:2"}, DB: 1},
	} {
		if g, err := gate.NewRedis(opts, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: accepted", name)
			_ = g.Close()
		}
	}
}

// Touches do not pile up.
func TestTouchesEnd(t *testing.T) {
	t.Parallel()
	server := enginetest.Redis(t)
	clock := newHandClock()
	f := fixtureOn(t, newRedis(t, clock.now, server.Addr()), clock)
	client := control(t, server.Addr())
	for day := range 5 {
		other := *f
		other.id += models.ID(day)
		other.reserve("a")
		clock.advance(25 * time.Hour)
	}
	if n := client.ZCard(t.Context(), "scrip:touched").Val(); n > 2 {
		t.Errorf("touches of %d days are kept", n)
	}
}
