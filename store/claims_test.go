package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
	"scrip/store"
)

func (f fixture) commit(t *testing.T, batch ...models.Claim) []models.Verdict {
	t.Helper()
	return must(f.CommitClaims(t.Context(), batch))(t)
}

func TestABatchIsDecidedInTheOrderOfArrival(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, new(int64(2)), 1)
		batch := []models.Claim{
			f.claim(t, tpl, "ann"), f.claim(t, tpl, "ann"), f.claim(t, tpl, "bob"), f.claim(t, tpl, "cid"),
		}
		got := f.commit(t, batch...)
		if got[0].Coupon == nil || got[0].Coupon.IssueNo != 1 || got[2].Coupon == nil || got[2].Coupon.IssueNo != 2 {
			t.Fatalf("ann and bob must have numbers 1 and 2: %+v", got)
		}
		wantCode(t, got[1].Refused, models.CodeAlreadyClaimed)
		if diff := cmp.Diff([]models.ID{batch[0].ID}, got[1].Refused.CouponIDs); diff != "" {
			t.Error(diff)
		}
		wantCode(t, got[3].Refused, models.CodeSoldOut)

		stored := must(f.Coupon(t.Context(), platform(), batch[0].ID))(t)
		if diff := cmp.Diff(*got[0].Coupon, stored); diff != "" {
			t.Errorf("what was answered is not what is stored: %s", diff)
		}
		f.sound(t)
	})
}

func TestALimitOfSeveralPerUser(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, nil, 3)
		first := f.commit(t, f.claim(t, tpl, "ann"), f.claim(t, tpl, "ann"))
		second := f.commit(t, f.claim(t, tpl, "ann"), f.claim(t, tpl, "ann"))
		if second[0].Coupon == nil || second[0].Coupon.UserSeq != 3 {
			t.Fatalf("the third is allowed: %+v", second[0])
		}
		wantCode(t, second[1].Refused, models.CodeLimitReached)
		want := []models.ID{first[0].Coupon.ID, first[1].Coupon.ID, second[0].Coupon.ID}
		have := must(f.Holdings(t.Context(), tpl.ID, "ann"))(t)
		if diff := cmp.Diff(want, have); diff != "" {
			t.Error(diff)
		}
		f.sound(t)
	})
}

func TestAnEditedTemplateSendsClaimsBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, nil, 1)
		must(f.MoveTemplate(t.Context(), f.op(platform()), tpl.ID, models.ActionPause))(t)
		if got := f.commit(t, f.claim(t, tpl, "ann")); !got[0].Stale {
			t.Errorf("a claim judged before the pause was let through: %+v", got[0])
		}
	})
}

// keyed gives a claim an idempotency key whose answer is the coupon's number.
func keyed(c models.Claim, name, request string) models.Claim {
	key := &models.IdempotencyKey{}
	copy(key.ID[:], name)
	copy(key.Hash[:], request)
	key.Render = func(result any, err error) (models.Replay, bool) {
		if coupon, ok := result.(models.Coupon); ok {
			return models.Replay{Status: 201, Body: fmt.Appendf(nil, "number %d", coupon.IssueNo)}, true
		}
		return models.Replay{Status: 409, Body: []byte(err.Error())}, true
	}
	c.Key = key
	return c
}

func TestTheSameKeyGetsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, new(int64(1)), 5)
		got := f.commit(t,
			keyed(f.claim(t, tpl, "ann"), "k1", "r"), keyed(f.claim(t, tpl, "ann"), "k1", "r"),
			keyed(f.claim(t, tpl, "ann"), "k1", "other"), keyed(f.claim(t, tpl, "bob"), "k2", "r"))
		if got[0].Coupon == nil {
			t.Fatalf("not granted: %+v", got[0])
		}
		for i, verdict := range append(got[1:2:2], f.commit(t, keyed(f.claim(t, tpl, "ann"), "k1", "r"))...) {
			var replay *models.Replay
			if !errors.As(verdict.Replay, &replay) || string(replay.Body) != "number 1" || replay.Status != 201 {
				t.Errorf("retry %d: got %+v", i, verdict)
			}
		}
		wantCode(t, got[2].Replay, models.CodeKeyReused)

		// A refusal is kept too, though there is stock again by now.
		wantCode(t, got[3].Refused, models.CodeSoldOut)
		edited := must(f.AddStock(t.Context(), f.op(platform()), tpl.ID, 1))(t)
		again := f.commit(t, keyed(f.claim(t, &edited, "bob"), "k2", "r"))
		var replay *models.Replay
		if !errors.As(again[0].Replay, &replay) || replay.Status != 409 {
			t.Errorf("got %+v", again[0])
		}
		f.sound(t)
	})
}

// TestAReplayTellsOfTheCouponAsItWasGranted: what is kept is a reference, and the
// coupon has changed since.
func TestAReplayTellsOfTheCouponAsItWasGranted(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, nil, 1)
		claim := keyed(f.claim(t, tpl, "ann"), "k", "r")
		claim.Key.Render = func(result any, err error) (models.Replay, bool) {
			text, fault := json.Marshal(result)
			return models.Replay{Status: 201, Body: text}, errors.Join(err, fault) == nil
		}
		first, _ := claim.Key.Render(*f.commit(t, claim)[0].Coupon, nil)
		err := f.Exec(t.Context(), `UPDATE coupons SET status = 'used', lock_id = 7, order_id = 'o', used_at = 8,
			expires_at = expires_at + 1`)
		if err != nil {
			t.Fatal(err)
		}
		wantReplay(t, f.commit(t, claim)[0].Replay, 201, string(first.Body))
		wantReplay(t, f.AnsweredBefore(t.Context(), claim.Key, nil), 201, string(first.Body))
	})
}

func TestARefusalGivenElsewhereIsKept(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, nil, 1)
		refused := keyed(f.claim(t, tpl, "ann"), "k", "r")
		refused.Refused = models.ErrSoldOut()
		wantCode(t, f.commit(t, refused)[0].Refused, models.CodeSoldOut)
		if got := f.commit(t, keyed(f.claim(t, tpl, "ann"), "k", "r")); got[0].Replay == nil {
			t.Errorf("got %+v", got[0])
		}
	})
}

func TestAClaimSettledAsLostNeverComes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, nil, 1)
		there, lost := f.claim(t, tpl, "ann"), f.claim(t, tpl, "bob")
		f.commit(t, there)
		granted := must(f.SettleClaims(t.Context(), tpl.ID, []models.ID{there.ID, lost.ID}))(t)
		if diff := cmp.Diff(map[models.ID]bool{there.ID: true}, granted); diff != "" {
			t.Error(diff)
		}
		if got := f.commit(t, lost); !got[0].Void {
			t.Errorf("a buried claim came: %+v", got[0])
		}
		if got := f.commit(t, f.claim(t, tpl, "bob")); got[0].Coupon == nil {
			t.Errorf("bob may try anew: %+v", got[0])
		}
		again := must(f.SettleClaims(t.Context(), tpl.ID, []models.ID{there.ID, lost.ID}))(t)
		if diff := cmp.Diff(granted, again); diff != "" {
			t.Errorf("settling twice differs: %s", diff)
		}
		f.sound(t)
	})
}

func TestAClaimAndItsSettlementRace_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, nil, 1)
		for i := range 30 {
			claim := f.claim(t, tpl, fmt.Sprint("user", i))
			var verdicts []models.Verdict
			var granted map[models.ID]bool
			var group sync.WaitGroup
			group.Go(func() { verdicts = f.commit(t, claim) })
			group.Go(func() { granted = must(f.SettleClaims(t.Context(), tpl.ID, []models.ID{claim.ID}))(t) })
			group.Wait()
			if (verdicts[0].Coupon != nil) != granted[claim.ID] {
				t.Fatalf("the claim was told %+v, its settlement %v", verdicts[0], granted)
			}
		}
		f.sound(t)
	})
}

func TestTwoServersNeverOversell_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		const stock, contenders = 40, 120
		tpl := f.template(t, new(int64(stock)), 1)
		servers := []*store.Store{f.Store, f.another(t)}
		var sold, refused atomic.Int64
		var group sync.WaitGroup
		for i := range contenders {
			claim := f.claim(t, tpl, fmt.Sprint("user", i%(contenders/2))) // everybody twice
			group.Go(func() {
				got, err := servers[i%len(servers)].CommitClaims(t.Context(), []models.Claim{claim})
				switch {
				case err != nil:
					t.Error(err)
				case got[0].Coupon != nil:
					sold.Add(1)
				case got[0].Refused != nil:
					refused.Add(1)
				}
			})
		}
		group.Wait()
		if sold.Load() != stock || refused.Load() != contenders-stock {
			t.Errorf("sold %d, refused %d", sold.Load(), refused.Load())
		}
		f.sound(t)
	})
}

func TestBatchesOverSeveralTemplatesDoNotDeadlock_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		a, b := f.template(t, nil, 1000), f.template(t, nil, 1000)
		var group sync.WaitGroup
		for i := range 20 {
			batch := []models.Claim{f.claim(t, a, strconv.Itoa(i)), f.claim(t, b, strconv.Itoa(i))}
			if i%2 == 0 {
				batch[0], batch[1] = batch[1], batch[0]
			}
			group.Go(func() {
				if _, err := f.CommitClaims(t.Context(), batch); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		f.sound(t)
	})
}

func TestAnEpochBelongsToOneRebuild(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, new(int64(5)), 2)
		f.commit(t, f.claim(t, tpl, "ann"), f.claim(t, tpl, "bob"), f.claim(t, tpl, "ann"))
		var won atomic.Int64
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				load, claimed, ok, err := f.NextEpoch(t.Context(), tpl.ID, tpl.Epoch)
				if err != nil {
					t.Error(err)
				}
				if !ok {
					return
				}
				won.Add(1)
				want := models.GateLoad{TemplateID: tpl.ID, Epoch: tpl.Epoch + 1, Limit: 2, Stock: 5, Left: 2}
				if diff := cmp.Diff(want, load); diff != "" || claimed != 3 {
					t.Errorf("claimed %d, load %s", claimed, diff)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Errorf("%d rebuilds won", won.Load())
		}
		if got := f.commit(t, f.claim(t, tpl, "cid")); got[0].Epoch != tpl.Epoch+1 {
			t.Errorf("a later claim reports epoch %d", got[0].Epoch)
		}
	})
}

func TestHoldersComeInPages(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, nil, 10)
		for _, user := range []string{"ann", "ann", "bob", "ann", "cid"} {
			f.commit(t, f.claim(t, tpl, user))
		}
		total := map[string]int64{}
		for after := int64(0); after < 4; {
			holders, last, err := f.Holders(t.Context(), tpl.ID, after, 4, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range holders {
				total[h.UserID] += h.Count
			}
			after = last
		}
		if diff := cmp.Diff(map[string]int64{"ann": 3, "bob": 1}, total); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAGateThatWasWrongAboutAUserCostsNobodyACoupon(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.template(t, nil, 1)
		first := f.commit(t, f.claim(t, tpl, "ann"))[0].Coupon
		letIn := func(user string) models.Claim {
			claim := f.claim(t, tpl, user)
			claim.New = true
			return claim
		}
		got := f.commit(t, letIn("bob"), letIn("ann"), letIn("bob"), letIn("cid"))
		if got[0].Coupon == nil || got[0].Coupon.IssueNo != 2 || got[3].Coupon == nil || got[3].Coupon.IssueNo != 3 {
			t.Errorf("bob and cid must have numbers 2 and 3: %+v", got)
		}
		for i, want := range map[int]models.ID{1: first.ID, 2: got[0].Coupon.ID} {
			wantCode(t, got[i].Refused, models.CodeAlreadyClaimed)
			if diff := cmp.Diff([]models.ID{want}, got[i].Refused.CouponIDs); diff != "" {
				t.Error(diff)
			}
		}
		f.sound(t)
	})
}
