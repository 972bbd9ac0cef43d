package claims_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"scrip/claims"
	"scrip/enginetest"
	"scrip/gate"
	"scrip/models"
	"scrip/store"
)

// untold is longer than any test: what is seen sooner was heard of.
const untold = time.Hour

// twoServers share a database and a Redis, have a gate each, and listen.
func twoServers(t *testing.T) (w world, here, elsewhere *claims.Service) {
	t.Helper()
	addr := enginetest.Redis(t).Addr()
	newGate := func() filter {
		return must(gate.NewRedis(gate.RedisOptions{Addrs: []string{addr}, Timeout: 10 * time.Second}, slog.New(slog.DiscardHandler)))(t)
	}
	w = newWorld(t, store.Options{DSN: enginetest.FilledDSN(t, migrate)}, newGate())
	there := w
	there.gate = newGate()
	t.Cleanup(func() { _ = there.gate.Close() })
	cfg := config()
	cfg.DefinitionTTL = untold
	here, elsewhere = w.serviceOf(t, cfg), there.serviceOf(t, cfg)

	client := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2})
	defer func() { _ = client.Close() }()
	enginetest.Eventually(t, "both listen", func() bool {
		return client.PubSubNumSub(t.Context(), "scrip:changes").Val()["scrip:changes"] == 2
	})
	return w, here, elsewhere
}

// TestALooseningEditIsHeardOfElsewhere: of a tightening one versions tell, but a
// server that refuses by what it remembers asks nobody about versions.
func TestALooseningEditIsHeardOfElsewhere(t *testing.T) {
	t.Parallel()
	w, here, elsewhere := twoServers(t)
	ctx := t.Context()
	move := func(id models.ID, action models.TemplateAction) {
		t.Helper()
		here.TemplateChanged(ctx, must(w.MoveTemplate(ctx, w.op(), id, action))(t))
	}
	add := func(id models.ID, units int64) {
		t.Helper()
		here.TemplateChanged(ctx, must(w.AddStock(ctx, w.op(), id, units))(t))
	}
	for name, edit := range map[string]struct {
		refused         models.Code
		tighten, loosen func(id models.ID)
	}{
		"resumed": {
			models.CodePaused,
			func(id models.ID) { move(id, models.ActionPause) },
			func(id models.ID) { move(id, models.ActionResume) },
		},
		"more stock": {
			models.CodeSoldOut,
			func(id models.ID) { add(id, -1) },
			func(id models.ID) { add(id, 1) },
		},
	} {
		tpl := w.template(t, new(int64(2)), 1)
		must(elsewhere.Claim(ctx, w.op(), tpl.ID, "ann", nil))(t)
		edit.tighten(tpl.ID)
		claim := func() error { _, err := elsewhere.Claim(ctx, w.op(), tpl.ID, "bob", nil); return err }
		for range 3 { // until it is remembered
			wantCode(t, claim(), edit.refused)
		}
		edit.loosen(tpl.ID)
		enginetest.Eventually(t, name, func() bool { return claim() == nil })
		w.settled(t, here, tpl.ID)
	}
}
