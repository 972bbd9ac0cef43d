package claims_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"scrip/claims"
	"scrip/enginetest"
	"scrip/gate"
	"scrip/models"
	"scrip/store"
)

// machine drives claims on one template beside a model of a few lines: a
// counter, and who has how many.
type machine struct {
	t       *testing.T
	w       world
	service *claims.Service
	tpl     models.Template

	stock, claimed, limit int64
	have                  map[string]int64
	paused                bool
	kept                  map[string]string // idempotency key → user: answered 201 before
}

func TestClaimsAgainstAModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.Options{DataDir: enginetest.FilledDir(t, migrate)}, gate.NewMemory(time.Now))
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{
			t: t, w: w, service: w.service(t), have: map[string]int64{}, kept: map[string]string{},
			stock: rapid.Int64Range(0, 6).Draw(rt, "stock"), limit: rapid.Int64Range(1, 3).Draw(rt, "limit"),
		}
		m.tpl = w.template(t, &m.stock, m.limit)
		rt.Repeat(map[string]func(*rapid.T){
			"claim":     func(rt *rapid.T) { m.claim(rt, "") },
			"claim key": func(rt *rapid.T) { m.claim(rt, rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(rt, "key")) },
			"stock":     m.addStock,
			"pause":     m.move,
			"lose gate": m.loseGate,
			"":          m.check,
		})
		m.w.atRest(t, m.service, m.tpl.ID)
		m.service.Close()
	})
	w.sound(t)
}

func (m *machine) claim(rt *rapid.T, key string) {
	user := rapid.SampledFrom([]string{"ann", "bob", "cid", "dan"}).Draw(rt, "user")
	op := m.w.op()
	if key != "" {
		op.Key = m.key(key, user)
	}
	coupon, err := m.service.Claim(m.t.Context(), op, m.tpl.ID, user, nil)
	got := "granted"
	var replay *models.Replay
	var refusal *models.Error
	switch {
	case errors.As(err, &replay):
		got = "replayed " + string(replay.Body)
	case errors.As(err, &refusal):
		got = string(refusal.Code)
	case err != nil:
		rt.Fatal(err)
	}
	if want := m.expect(key, user); got != want {
		rt.Fatalf("%s with key %q: got %s, want %s", user, key, got, want)
	}
	if got == "granted" {
		m.claimed++
		m.have[user]++
		if coupon.IssueNo != m.claimed {
			rt.Fatalf("number %d after %d", coupon.IssueNo, m.claimed-1)
		}
		if key != "" {
			m.kept[key] = user
		}
	}
}

// expect says what the model answers.
func (m *machine) expect(key, user string) string {
	holder, used := m.kept[key]
	switch {
	case used && holder == user:
		return "replayed " + user
	case used:
		return string(models.CodeKeyReused)
	case m.have[user] >= m.limit && m.limit == 1:
		return string(models.CodeAlreadyClaimed)
	case m.have[user] >= m.limit:
		return string(models.CodeLimitReached)
	case m.paused:
		return string(models.CodePaused)
	case m.claimed >= m.stock:
		return string(models.CodeSoldOut)
	}
	return "granted"
}

// key keeps grants only, so that the model need not remember refusals.
func (m *machine) key(name, user string) *models.IdempotencyKey {
	k := &models.IdempotencyKey{}
	copy(k.ID[:], fmt.Sprintf("%s %s", m.tpl.ID, name))
	copy(k.Hash[:], user)
	k.Render = func(_ any, err error) (models.Replay, bool) {
		return models.Replay{Status: 201, Body: []byte(user)}, err == nil
	}
	return k
}

func (m *machine) addStock(rt *rapid.T) {
	delta := rapid.Int64Range(-3, 3).Filter(func(n int64) bool { return n != 0 }).Draw(rt, "delta")
	edited, err := m.w.AddStock(m.t.Context(), m.w.op(), m.tpl.ID, delta)
	if m.stock+delta < m.claimed {
		if !models.IsCode(err, models.CodeStockBelow) {
			rt.Fatalf("got %v", err)
		}
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	m.stock += delta
	m.service.TemplateChanged(m.t.Context(), edited)
}

func (m *machine) move(rt *rapid.T) {
	action := models.ActionPause
	if m.paused {
		action = models.ActionResume
	}
	edited, err := m.w.MoveTemplate(m.t.Context(), m.w.op(), m.tpl.ID, action)
	if err != nil {
		rt.Fatal(err)
	}
	m.paused = !m.paused
	m.service.TemplateChanged(m.t.Context(), edited)
}

// loseGate puts an empty gate in the place of the one there is.
func (m *machine) loseGate(*rapid.T) {
	m.service.Close()
	m.w.gate = gate.NewMemory(time.Now)
	m.service = m.w.service(m.t)
}

func (m *machine) check(rt *rapid.T) {
	def, err := m.w.Definition(m.t.Context(), m.tpl.ID)
	if err != nil {
		rt.Fatal(err)
	}
	if def.Claimed != m.claimed || *def.Stock != m.stock {
		rt.Fatalf("the store has %d of %d, the model %d of %d", def.Claimed, *def.Stock, m.claimed, m.stock)
	}
}
