package gate_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
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

// ear keeps what was heard.
type ear struct {
	mu    sync.Mutex
	heard []models.ID
}

func (e *ear) hear(id models.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, id)
}

func (e *ear) all() []models.ID {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

func (e *ear) has(id models.ID) bool { return slices.Contains(e.all(), id) }

// listenOn listens until the test ends, and no longer than the gate is open.
func listenOn(t *testing.T, g gates) *ear {
	t.Helper()
	e := &ear{}
	ctx, end := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.Listen(ctx, e.hear)
	}()
	t.Cleanup(func() {
		end(nil)
		<-done
	})
	return e
}

// announced announces again and again until it is heard: whoever has just begun to
// listen may have missed the first.
func announced(t *testing.T, from gates, id models.ID, by ...*ear) {
	t.Helper()
	enginetest.Eventually(t, "an edit is heard of", func() bool {
		_ = from.Announce(t.Context(), id) // it may be away for now
		return !slices.ContainsFunc(by, func(e *ear) bool { return !e.has(id) })
	})
}

func TestAllInstancesHearOfAnEdit(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) []string{
		"one server": func(t *testing.T) []string { t.Helper(); return []string{enginetest.Redis(t).Addr()} },
		"cluster":    startCluster,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addrs := start(t)
			one, other := newRedis(t, nil, addrs...), newRedis(t, nil, addrs...)
			ears := []*ear{listenOn(t, one), listenOn(t, other)}
			announced(t, one, 1, ears...)
			announced(t, other, 2, ears...)
			// By now everybody listens, and nothing has to be said twice.
			if err := one.Announce(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			enginetest.Eventually(t, "what was said once is heard", func() bool { return ears[0].has(3) && ears[1].has(3) })
		})
	}
}

func TestInOneProcessNothingIsHeard(t *testing.T) {
	t.Parallel()
	g := gate.NewMemory(time.Now)
	g.Listen(t.Context(), func(models.ID) { t.Error("heard") })
	if err := g.Announce(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

// What is no id is somebody else's, and no reason to stop.
func TestOnlyIDsAreHeard(t *testing.T) {
	t.Parallel()
	server := enginetest.Redis(t)
	g := newRedis(t, nil, server.Addr())
	e := listenOn(t, g)
	announced(t, g, 1, e)
	for _, odd := range []string{"", "x", "-1", strings.Repeat("9", 40)} {
		do(t, control(t, server.Addr()), "publish", "scrip:changes", odd)
	}
	announced(t, g, 2, e)
	if got := e.all(); slices.ContainsFunc(got, func(id models.ID) bool { return id != 1 && id != 2 }) {
		t.Errorf("heard %v", got)
	}
}

func TestListeningGoesOn(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(server *enginetest.Server, line *enginetest.Proxy){
		"after a cut":     func(_ *enginetest.Server, line *enginetest.Proxy) { line.Cut() },
		"after a restart": func(server *enginetest.Server, _ *enginetest.Proxy) { server.Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := enginetest.Redis(t)
			line := enginetest.NewProxy(t, server.Addr())
			near := newRedis(t, nil, server.Addr())
			e := listenOn(t, newRedis(t, nil, line.Addr()))
			announced(t, near, 1, e)
			harm(server, line)
			announced(t, near, 2, e)
		})
	}
}

// A line that stays open, and through which nothing comes any more, is given up.
func TestADeadLineIsNoticed(t *testing.T) {
	t.Parallel()
	server := enginetest.Redis(t)
	line := enginetest.NewProxy(t, server.Addr())
	near := newRedis(t, nil, server.Addr())
	e := listenOn(t, newRedisWith(t, gate.RedisOptions{Addrs: []string{line.Addr()}, Timeout: brief}, slog.DiscardHandler))
	announced(t, near, 1, e)

	var others atomic.Int64
	line.Censor(func(request []byte) enginetest.Fate {
		if !bytes.Contains(request, []byte("ping")) {
			others.Add(1)
		}
		return enginetest.Pass
	})
	line.Judge(func(_, _ []byte) enginetest.Fate { return enginetest.Swallow })
	enginetest.Eventually(t, "another line is tried", func() bool { return others.Load() > 0 })
	line.Judge(nil)
	announced(t, near, 2, e)
}

// A Redis that keeps the channel from its user is not away: claims go on with it.
func TestAForbiddenChannelIsNotAFault(t *testing.T) {
	t.Parallel()
	server := enginetest.Redis(t)
	do(t, control(t, server.Addr()), "acl", "setuser", "mute", "on", ">secret", "~*", "+@all", "resetchannels")
	log := &syncBuffer{}
	g := newRedisWith(t, gate.RedisOptions{
		Addrs: []string{server.Addr()}, Username: "mute", Password: "secret", Timeout: patience,
	}, slog.NewTextHandler(log, nil))
	listenOn(t, g)
	for range 5 {
		err := g.Announce(t.Context(), 1)
		var refused redis.Error
		if !errors.Is(err, gate.ErrAway) || !errors.As(err, &refused) {
			t.Errorf("got %v", err)
		}
	}
	if g.Away() {
		t.Error("the gate gave up on Redis")
	}
	enginetest.Eventually(t, "the log says so", func() bool { return strings.Contains(log.String(), "does not let us listen") })
}
