package checkout_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/checkout"
	"scrip/discount"
	"scrip/models"
)

func config() checkout.Config {
	return checkout.Config{MaxBatch: 64, WaitingRoom: 2000, Lanes: 1, Timeout: 20 * time.Second}
}

// TestLockRefusals: one coupon that does not apply refuses the lock, by a code
// of its own only where clients act upon it.
func TestLockRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		reason, code models.Code
		change       func(*models.WalletCoupon)
	}{
		{models.CodeCouponNotAvailable, models.CodeCouponNotAvailable, func(w *models.WalletCoupon) { w.Status = models.CouponUsed }},
		{models.CodeNotStarted, models.CodeNotApplicable, func(w *models.WalletCoupon) { w.ValidFrom = noon().Add(time.Second) }},
		{models.CodeExpired, models.CodeNotApplicable, func(w *models.WalletCoupon) { w.ExpiresAt = noon() }},
		{models.CodeCurrencyDiffer, models.CodeNotApplicable, func(w *models.WalletCoupon) { w.Currency = "EUR" }},
		{models.CodeOutOfScope, models.CodeNotApplicable, func(w *models.WalletCoupon) { w.MerchantID = "m" }},
		{models.CodeMinAmount, models.CodeNotApplicable, func(w *models.WalletCoupon) { w.Rule.Conditions.MinAmount = 10001 }},
		{models.CodeMinQuantity, models.CodeNotApplicable, func(w *models.WalletCoupon) { w.Rule.Conditions.MinQuantity = 11 }},
		{models.CodeUserTagsAny, models.CodeNotApplicable, func(w *models.WalletCoupon) { w.Rule.Conditions.UserTagsAny = []string{"gold"} }},
		{models.CodeDaysOfWeek, models.CodeNotApplicable, func(w *models.WalletCoupon) { w.Rule.Conditions.DaysOfWeek = []int{7} }},
		{models.CodeTimeOfDay, models.CodeNotApplicable, func(w *models.WalletCoupon) {
			w.TimeZone = "Asia/Shanghai" // eight in the evening
			w.Rule.Conditions.TimeOfDay = &models.TimeOfDay{From: "11:00", Until: "13:00"}
		}},
		{models.CodeExpression, models.CodeNotApplicable, func(w *models.WalletCoupon) { w.Rule.Conditions.Expression = `"gold" in user.tags` }},
		{models.CodeBudgetExhausted, models.CodeBudgetExhausted, func(w *models.WalletCoupon) {
			w.Budgets = []models.BudgetView{{ID: 1, Kind: models.BudgetAmount, Limited: true, Left: 99}}
		}},
		{models.CodeExclusive, models.CodeNotApplicable, func(w *models.WalletCoupon) { w.Rule.Stacking.ExclusiveAll = true }},
		{models.CodeMaxPerOrder, models.CodeNotApplicable, func(w *models.WalletCoupon) { w.Rule.ID = 101 }},
		{models.CodeNoEffect, models.CodeNotApplicable, func(w *models.WalletCoupon) {
			w.Rule.Effect.Every = &models.Every{Spend: 1_000_000}
		}},
	}
	for _, test := range tests {
		t.Run(string(test.reason), func(t *testing.T) {
			t.Parallel()
			second := amountOff(2, 100, test.change)
			f := &fake{now: noon(), wallet: []models.WalletCoupon{amountOff(1, 100), second}}
			s := f.service(t)
			_, err := s.Lock(t.Context(), models.Try{XID: "x", Cart: basket(), UserTags: []string{"blue"}, CouponIDs: []models.ID{1}, Codes: []string{second.Code}})
			var refusal *models.Error
			if !errors.As(err, &refusal) || refusal.Code != test.code {
				t.Fatalf("got %v, want %s", err, test.code)
			}
			if len(refusal.Fields) != 1 || refusal.Fields[0].Field != "codes[0]" || refusal.Fields[0].Code != test.reason || refusal.Fields[0].Detail == "" {
				t.Errorf("got %+v, want codes[0] with %s", refusal.Fields, test.reason)
			}
			// Quote rejects the same coupon for the same reason, and applies the other.
			quote := must(s.Quote(t.Context(), basket(), []string{"blue"}, []models.ID{1}, []string{second.Code}))(t)
			if len(quote.Rejected) != 1 || quote.Rejected[0].Code != test.reason || quote.Rejected[0].CouponCode != second.Code || quote.Rejected[0].CouponID != 0 {
				t.Errorf("quote rejects %+v", quote.Rejected)
			}
			if len(quote.Applied) != 1 || quote.Discount != 100 {
				t.Errorf("quote applies %+v", quote.Applied)
			}
		})
	}
}

// TestLockNamesEveryRefusedCoupon, the first one giving the code.
func TestLockNamesEveryRefusedCoupon(t *testing.T) {
	t.Parallel()
	f := &fake{now: noon(), wallet: []models.WalletCoupon{
		amountOff(1, 100),
		amountOff(2, 100, func(w *models.WalletCoupon) { w.Rule.Conditions.MinAmount = 99999 }),
		amountOff(3, 100, func(w *models.WalletCoupon) { w.UserID = "somebody else" }),
	}}
	_, err := f.service(t).Lock(t.Context(), models.Try{
		XID: "x", Cart: basket(), CouponIDs: []models.ID{2, 1, 3, 4}, Codes: []string{f.wallet[2].Code, "nonsense"},
	})
	var refusal *models.Error
	if !errors.As(err, &refusal) || refusal.Code != models.CodeNotApplicable {
		t.Fatalf("got %v", err)
	}
	got := map[string]models.Code{}
	for _, field := range refusal.Fields {
		got[field.Field] = field.Code
	}
	if first := refusal.Fields[0].Detail; !strings.HasPrefix(first, "coupon 2: ") {
		t.Errorf("%q does not say which coupon", first)
	}
	want := map[string]models.Code{
		"coupon_ids[0]": models.CodeMinAmount, "coupon_ids[2]": models.CodeCouponNotAvailable,
		"coupon_ids[3]": models.CodeCouponNotAvailable, "codes[0]": models.CodeCouponNotAvailable,
		"codes[1]": models.CodeCouponNotAvailable,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestQuoteRejectsInTheRequestsOrder, each as it was named and typed.
func TestQuoteRejectsInTheRequestsOrder(t *testing.T) {
	t.Parallel()
	dear := func(w *models.WalletCoupon) { w.Rule.Conditions.MinAmount = 10250 }
	f := &fake{now: noon(), wallet: []models.WalletCoupon{amountOff(1, 100), amountOff(2, 100, dear), amountOff(3, 100, dear)}}
	typed := " " + f.wallet[2].Code[:4] + "-" + f.wallet[2].Code[4:]
	quote := must(f.service(t).Quote(t.Context(), basket(), nil, []models.ID{9, 2, 1}, []string{"nonsense", typed}))(t)
	want := []models.Rejection{
		{CouponID: 9, Code: models.CodeCouponNotAvailable, Detail: "the user has no such coupon"},
		{CouponID: 2, Code: models.CodeMinAmount, Detail: "spend 2.50 USD more", Shortfall: 250},
		{CouponCode: "nonsense", Code: models.CodeCouponNotAvailable, Detail: "the user has no such coupon"},
		{CouponCode: typed, Code: models.CodeMinAmount, Detail: "spend 2.50 USD more", Shortfall: 250},
	}
	if diff := cmp.Diff(want, quote.Rejected); diff != "" {
		t.Error(diff)
	}
	if quote.Total != 9900 || len(quote.Applied) != 1 {
		t.Errorf("got %+v", quote)
	}
}

func TestQuoteWithoutCouponsAppliesNothing(t *testing.T) {
	t.Parallel()
	f := &fake{now: noon(), wallet: []models.WalletCoupon{amountOff(1, 100)}}
	quote := must(f.service(t).Quote(t.Context(), basket(), nil, nil, nil))(t)
	if quote.Total != 10000 || len(quote.Applied) != 0 || quote.Rejected == nil {
		t.Errorf("got %+v", quote)
	}
}

// TestNamedWrongly: what is no sound list of coupons is refused by quote and
// lock alike, before anything is judged.
func TestNamedWrongly(t *testing.T) {
	t.Parallel()
	f := &fake{now: noon(), wallet: []models.WalletCoupon{amountOff(1, 100), amountOff(2, 100)}}
	first, second := f.wallet[0].Code, f.wallet[1].Code
	eleven := make([]models.ID, models.MaxLockCoupons+1)
	for i := range eleven {
		eleven[i] = models.ID(i + 1)
	}
	tests := map[string]struct {
		ids   []models.ID
		codes []string
		field string
		code  models.Code
	}{
		"an id twice":            {[]models.ID{1, 2, 1}, nil, "coupon_ids", models.CodeNotUnique},
		"a code twice":           {nil, []string{first, second, first[:3] + " " + first[3:]}, "codes", models.CodeNotUnique},
		"no coupon's code twice": {nil, []string{"x", "x"}, "codes", models.CodeNotUnique},
		"by id and by code":      {[]models.ID{2, 1}, []string{first}, "codes", models.CodeNotUnique},
		"eleven ids":             {eleven, nil, "coupon_ids", models.CodeOutOfRange},
		"eleven in all":          {eleven[1:], []string{first}, "codes", models.CodeOutOfRange},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := f.service(t)
			_, quoteErr := s.Quote(t.Context(), basket(), nil, test.ids, test.codes)
			_, lockErr := s.Lock(t.Context(), models.Try{XID: "x", Cart: basket(), CouponIDs: test.ids, Codes: test.codes})
			for _, err := range []error{quoteErr, lockErr} {
				var refusal *models.Error
				if !errors.As(err, &refusal) || len(refusal.Fields) != 1 {
					t.Fatalf("got %v", err)
				}
				if got := refusal.Fields[0]; got.Field != test.field || got.Code != test.code {
					t.Errorf("got %+v, want %s %s", got, test.field, test.code)
				}
			}
		})
	}
}

// TestLockFillsIn what the caller leaves to it, and hands codes over as they
// are stored.
func TestLockFillsIn(t *testing.T) {
	t.Parallel()
	f := &fake{now: noon(), wallet: []models.WalletCoupon{amountOff(1, 100)}}
	s := f.service(t)
	code := f.wallet[0].Code
	verdict := must(s.Lock(t.Context(), models.Try{XID: "x", Cart: basket(), Codes: []string{code[:5] + " " + code[5:]}, Actor: "key:1"}))(t)
	if len(f.tries) != 1 || f.tries[0].ID == 0 || !f.tries[0].At.Equal(noon()) || f.tries[0].Codes[0] != code {
		t.Errorf("handed over %+v", f.tries)
	}
	if !verdict.Lock.ExpiresAt.Equal(noon().Add(models.DefaultLockTTL)) || verdict.Lock.Frozen.Quote.Total != 9900 {
		t.Errorf("got %+v", verdict.Lock)
	}
	must(s.Cancel(t.Context(), "y", "key:2"))(t)
	if end := f.ends[0]; end.NewID == 0 || end.XID != "y" || end.To != models.LockCancelled || end.Actor != "key:2" || !end.At.Equal(noon()) {
		t.Errorf("handed over %+v", end)
	}
}

// TestQualifyAnswersForEveryCoupon, however many there are; but one that has
// run out is not the user's any more.
func TestQualifyAnswersForEveryCoupon(t *testing.T) {
	t.Parallel()
	f := &fake{now: noon()}
	for i := range 2 * discount.MaxWallet {
		f.wallet = append(f.wallet, amountOff(models.ID(i+1), int64(i+1)))
	}
	f.wallet[0].Status = models.CouponLocked
	f.wallet[1].ExpiresAt = noon()
	f.wallet[2].Rule.Conditions.UserTagsAny = []string{"gold"}
	f.wallet[3].UserID = "somebody else"
	q := must(f.service(t).Qualify(t.Context(), basket(), []string{"gold"}))(t)
	if got := len(q.Applicable) + len(q.Inapplicable); got != len(f.wallet)-2 {
		t.Errorf("%d coupons are answered for", got)
	}
	if len(q.Inapplicable) != 1 || q.Inapplicable[0].CouponID != 1 || q.Inapplicable[0].Code != models.CodeCouponNotAvailable {
		t.Errorf("inapplicable: %+v", q.Inapplicable)
	}
	best := int64(0)
	for i := range discount.MaxApplied {
		best += int64(len(f.wallet) - i)
	}
	if q.Best.Discount != best || len(q.Best.CouponIDs) != discount.MaxApplied {
		t.Errorf("best is %+v, want %d", q.Best, best)
	}
}

func TestQualifyAnEmptyWallet(t *testing.T) {
	t.Parallel()
	q := must((&fake{now: noon()}).service(t).Qualify(t.Context(), basket(), nil))(t)
	want := models.Qualification{
		Applicable: []models.Applicable{}, Inapplicable: []models.Rejection{}, Best: models.Combination{CouponIDs: []models.ID{}},
	}
	if diff := cmp.Diff(want, q); diff != "" {
		t.Error(diff)
	}
}

// TestOneBadCouponFailsOneLock and not those that share its batch.
func TestOneBadCouponFailsOneLock(t *testing.T) {
	t.Parallel()
	f := &fake{now: noon(), hold: make(chan struct{}), wallet: []models.WalletCoupon{
		amountOff(1, 100), amountOff(2, 100, func(w *models.WalletCoupon) { w.TimeZone = "Nowhere/At_All" }),
		amountOff(3, 100, func(w *models.WalletCoupon) { w.Rule.Effect.AmountOff = nil }),
	}}
	s := f.service(t)
	failed := make(chan error, 3)
	for id := range models.ID(3) {
		go func() {
			_, err := s.Lock(t.Context(), models.Try{XID: fmt.Sprint(id), Cart: basket(), CouponIDs: []models.ID{id + 1}})
			failed <- err
		}()
	}
	close(f.hold)
	fine := 0
	for range 3 {
		if err := <-failed; err == nil {
			fine++
		} else {
			wantCode(t, err, models.CodeInternal)
		}
	}
	if fine != 1 {
		t.Errorf("%d locks were made", fine)
	}
	if _, err := s.Quote(t.Context(), basket(), nil, []models.ID{2}, nil); err == nil || models.IsCode(err, models.CodeInternal) {
		t.Errorf("a quote fails as %v, and not as a fault of ours", err)
	}
	if _, err := s.Quote(t.Context(), basket(), nil, []models.ID{3}, nil); !errors.Is(err, discount.ErrCart) {
		t.Errorf("got %v", err)
	}
}

func TestUnknownOutcomePassesThrough(t *testing.T) {
	t.Parallel()
	f := &fake{now: noon(), fault: fmt.Errorf("commit: %w", models.ErrUnknown)}
	s := f.service(t)
	_, lockErr := s.Lock(t.Context(), models.Try{XID: "x", Cart: basket()})
	_, confirmErr := s.Confirm(t.Context(), "x", "")
	_, allErr := s.CancelAll(t.Context(), []string{"x"}, "")
	for _, err := range []error{lockErr, confirmErr, allErr} {
		if !errors.Is(err, models.ErrUnknown) {
			t.Errorf("got %v", err)
		}
	}
}

// TestWhoGivesUpMayHaveLocked: past its deadline a lock under way is of unknown
// outcome, and one that never left the waiting room is not.
func TestWhoGivesUpMayHaveLocked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{now: noon(), hold: make(chan struct{})}
		s := checkout.New(checkout.Config{MaxBatch: 1, WaitingRoom: 2, Lanes: 1, Timeout: time.Second}, f,
			discount.New(1), slog.New(slog.DiscardHandler))
		defer s.Close()
		lock := func(ctx context.Context, xid string) error {
			_, err := s.Lock(ctx, models.Try{XID: xid, Cart: basket()})
			return err
		}
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		underway, waiting := make(chan error), make(chan error)
		go func() { underway <- lock(short, "a") }()
		synctest.Wait()
		go func() { waiting <- lock(short, "b") }()
		wantCode(t, <-waiting, models.CodeBusy)
		if err := <-underway; !errors.Is(err, models.ErrUnknown) {
			t.Errorf("got %v", err)
		}
		close(f.hold)
	})
}

func TestClosedServiceIsBusy(t *testing.T) {
	t.Parallel()
	s := (&fake{now: noon()}).service(t)
	s.Close()
	_, err := s.Lock(t.Context(), models.Try{XID: "x", Cart: basket()})
	wantCode(t, err, models.CodeBusy)
	_, err = s.Confirm(t.Context(), "x", "")
	wantCode(t, err, models.CodeBusy)
}

func TestNoIDsIsBusy(t *testing.T) {
	t.Parallel()
	s := (&fake{now: noon(), idle: models.ErrNoWorker}).service(t)
	_, lockErr := s.Lock(t.Context(), models.Try{XID: "x", Cart: basket()})
	_, cancelErr := s.Cancel(t.Context(), "x", "")
	_, allErr := s.ConfirmAll(t.Context(), []string{"x"}, "")
	for _, err := range []error{lockErr, cancelErr, allErr} {
		wantCode(t, err, models.CodeBusy)
	}
}

func TestEndAllKeepsTheOrder(t *testing.T) {
	t.Parallel()
	f := &fake{now: noon()}
	s := f.service(t)
	xids := []string{"b", "a", "c"}
	for i, v := range must(s.ConfirmAll(t.Context(), xids, "key:1"))(t) {
		if v.Lock.XID != xids[i] || v.Lock.State != models.LockConfirmed {
			t.Errorf("verdict %d is %+v", i, v.Lock)
		}
	}
	if verdicts := must(s.CancelAll(t.Context(), nil, "key:1"))(t); len(verdicts) != 0 || len(f.ends) != len(xids) {
		t.Errorf("nothing to cancel: %v, %v", verdicts, f.ends)
	}
}

func TestRefundIsComputedFromTheAskedLines(t *testing.T) {
	t.Parallel()
	f := &fake{now: noon()}
	_, err := f.service(t).Refund(t.Context(), models.RefundRequest{
		XID: "x", RefundID: "r", Lines: []models.RefundLine{{LineID: "9", Quantity: 1}},
	}, false)
	wantCode(t, err, models.CodeRefundExceeds)
	if !f.refund.At.Equal(noon()) {
		t.Errorf("at %v", f.refund.At)
	}
}
