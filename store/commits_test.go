package store_test

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"

	"scrip/enginetest"
	"scrip/models"
	"scrip/store"
)

// lineFixture reaches its database through a line that loses commits.
type lineFixture struct {
	fixture

	line *enginetest.Proxy
}

func newLineFixture(t *testing.T) lineFixture {
	t.Helper()
	dsn := must(mysql.ParseDSN(enginetest.FilledDSN(t, migrate)))(t)
	line := enginetest.NewProxy(t, dsn.Addr)
	dsn.Addr = line.Addr()
	return lineFixture{newFixture(t, store.Options{DSN: dsn.FormatDSN()}), line}
}

// losing runs act with its COMMIT lost, before the database has it or, if it is to
// be done, with its answer; and returns how often a COMMIT was sent.
func (f lineFixture) losing(done bool, act func()) (commits int64) {
	var sent atomic.Int64
	fate := func(request []byte) enginetest.Fate {
		if !bytes.HasSuffix(request, []byte("\x03COMMIT")) || sent.Add(1) > 1 {
			return enginetest.Pass
		}
		return enginetest.Sever
	}
	if done {
		f.line.Judge(func(request, _ []byte) enginetest.Fate { return fate(request) })
	} else {
		f.line.Censor(fate)
	}
	act()
	f.line.Judge(nil)
	f.line.Censor(nil)
	return sent.Load()
}

// TestACommitWithoutAnAnswerIsUnknown: nobody is told yes, for it may not have
// been carried out, and nobody is told no, for it may have been. Nor is it tried
// again behind the caller's back, who would get the answer to a second request.
// The same request again tells.
func TestACommitWithoutAnAnswerIsUnknown(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(t *testing.T, f lineFixture, lose func(act func() error), done bool){
		"claim": testClaimLost, "lock": testLockLost, "change": testChangeLost,
	} {
		for outcome, done := range map[string]bool{"done": true, "not done": false} {
			t.Run(name+"/"+outcome, func(t *testing.T) {
				t.Parallel()
				f := newLineFixture(t)
				test(t, f, func(act func() error) {
					t.Helper()
					var err error
					commits := f.losing(done, func() { err = act() })
					if !errors.Is(err, models.ErrUnknown) || commits != 1 {
						t.Fatalf("after %d commits: %v", commits, err)
					}
				}, done)
				f.sound(t)
			})
		}
	}
}

func testClaimLost(t *testing.T, f lineFixture, lose func(act func() error), done bool) {
	t.Helper()
	tpl := f.template(t, new(int64(1)), 1)
	claim := f.claim(t, tpl, "ann")
	claim.New = true // as the gate says of those whom it let in
	lose(func() error {
		verdicts, err := f.CommitClaims(t.Context(), []models.Claim{claim})
		if err != nil && verdicts != nil {
			t.Errorf("verdicts beside an error: %+v", verdicts)
		}
		return err
	})
	claim.New = false
	again := f.commit(t, claim)[0]
	switch {
	case done:
		wantCode(t, again.Refused, models.CodeAlreadyClaimed)
	case again.Coupon == nil || again.Coupon.IssueNo != 1:
		t.Errorf("got %+v", again)
	}
}

func testLockLost(t *testing.T, f lineFixture, lose func(act func() error), done bool) {
	t.Helper()
	s := f.shop(t, allOff())
	try := s.try(t, "x", "ann", 100, s.coupons(t, "ann")...)
	commit := func() ([]models.LockVerdict, error) { return f.CommitTries(t.Context(), []models.Try{try}, s.decide) }
	lose(func() error { _, err := commit(); return err })
	got := must(commit())(t)[0]
	if got.Refused != nil || got.Lock.State != models.LockLocked || got.Made == done {
		t.Errorf("got %+v", got)
	}
}

func testChangeLost(t *testing.T, f lineFixture, lose func(act func() error), done bool) {
	t.Helper()
	tpl := f.template(t, new(int64(1)), 1)
	op := f.keyed(1, 1)
	lose(func() error { _, err := f.AddStock(t.Context(), op, tpl.ID, 5); return err })
	after, err := f.AddStock(t.Context(), op, tpl.ID, 5)
	if done {
		wantReplay(t, err, 201, "")
	} else if err != nil || *after.Stock != 6 {
		t.Errorf("got %+v, %v", after, err)
	}
	if now := must(f.Template(t.Context(), platform(), tpl.ID))(t); *now.Stock != 6 {
		t.Errorf("the stock is %d", *now.Stock)
	}
}
