package store_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"scrip/discount"
	"scrip/models"
)

func compute(asked ...models.RefundLine) func(*models.Frozen, models.Refunded) (models.Refund, error) {
	return func(f *models.Frozen, before models.Refunded) (models.Refund, error) {
		return discount.Refund(f, before, asked)
	}
}

func (s shop) refundOf(xid, id string, units int64, at time.Time) models.RefundRequest {
	return models.RefundRequest{
		XID: xid, RefundID: id, Hash: sha256.Sum256(fmt.Append(nil, id, units)), At: at, Actor: "key:1",
		Lines: []models.RefundLine{{LineID: "l1", Quantity: units}},
	}
}

// refund refunds units of the only line of an order.
func (s shop) refund(t *testing.T, req models.RefundRequest) (models.Refund, error) {
	t.Helper()
	return s.Refund(t.Context(), req, compute(req.Lines...), false)
}

// sameAnswer compares what callers are told of refunds.
func sameAnswer(t *testing.T, want, got models.Refund) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(models.Refund{}, "Last", "PerCoupon")); diff != "" {
		t.Error(diff)
	}
}

// order is ann's confirmed order of some units.
func (s shop) order(t *testing.T, xid string, price, units int64, coupons ...models.ID) models.Try {
	t.Helper()
	try := s.try(t, xid, "ann", price, coupons...)
	try.Cart = cart("ann", price, units)
	s.confirmed(t, try)
	return try
}

func TestRefundsPayTheFrozenPricesAndGiveBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		amount, count := f.budget(t, money(1000)), f.budget(t, quota(1))
		s := f.shop(t, quarterOff(), amount.ID, count.ID)
		id := s.coupons(t, "ann")[0]
		now := s.order(t, "x", 100, 3, id).At // 3 × 100 less 75: 75 each
		s.wantCounters(t, amount.ID, now, 75, 0)

		first, err := s.refund(t, s.refundOf("x", "r1", 1, now))
		want := models.Refund{
			Amount: 75, Lines: []models.RefundedLine{{LineID: "l1", Quantity: 1, Amount: 75}},
			CouponsReturned: []models.ID{}, BudgetReturned: []models.BudgetReturned{{BudgetID: amount.ID, Amount: 25}},
		}
		if err != nil {
			t.Fatal(err)
		}
		sameAnswer(t, want, first)
		s.wantCounters(t, amount.ID, now, 50, 0)
		s.wantCounters(t, count.ID, now, 1, 0)
		s.wantCoupon(t, id, models.CouponUsed)

		again, err := s.refund(t, s.refundOf("x", "r1", 1, now.Add(time.Hour)))
		if err != nil {
			t.Error(err)
		}
		sameAnswer(t, first, again)
		_, err = s.refund(t, s.refundOf("x", "r1", 2, now))
		wantCode(t, err, models.CodeRefundReused)
		_, err = s.refund(t, s.refundOf("x", "r2", 3, now))
		wantCode(t, err, models.CodeRefundExceeds)

		// A quote says what the refund will, and changes nothing.
		req := s.refundOf("x", "r3", 2, now)
		quoted := must(s.Refund(t.Context(), req, compute(req.Lines...), true))(t)
		s.wantCounters(t, amount.ID, now, 50, 0)
		rest := must(s.refund(t, req))(t)
		sameAnswer(t, quoted, rest)
		sameAnswer(t, models.Refund{
			Amount: 150, Lines: []models.RefundedLine{{LineID: "l1", Quantity: 2, Amount: 150}}, CouponsReturned: []models.ID{id},
			BudgetReturned: []models.BudgetReturned{{BudgetID: amount.ID, Amount: 50}, {BudgetID: count.ID, Amount: 1}},
		}, rest)
		s.wantCounters(t, amount.ID, now, 0, 0)
		s.wantCounters(t, count.ID, now, 0, 0)
		s.wantCoupon(t, id, models.CouponAvailable)
		s.wantSteps(t, id, "lock", "confirm", "return")

		// The coupon and the quota serve another order, refunds of which leave the
		// first alone.
		s.order(t, "again", 100, 1, id)
		s.wantCoupon(t, id, models.CouponUsed)
		f.sound(t)
	})
}

func TestOnlyAConfirmedLockCanBeRefunded(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		s := f.shop(t, quarterOff())
		now := s.Now()
		s.locked(t, s.try(t, "locked", "ann", 100))
		s.commitEnds(t, s.end(t, "cancelled", models.LockCancelled, now))
		for xid, want := range map[string]models.Code{
			"locked": models.CodeNotConfirmed, "cancelled": models.CodeNotConfirmed, "unknown": models.CodeNotFound,
		} {
			_, err := s.refund(t, s.refundOf(xid, "r", 1, now))
			wantCode(t, err, want)
		}
	})
}

func TestTheSameRefundFiftyTimesAtOncePaysOnce_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		b := f.budget(t, money(1000))
		s := f.shop(t, quarterOff(), b.ID)
		now := s.order(t, "x", 100, 4, s.coupons(t, "ann")...).At
		answers := make([]models.Refund, 50)
		var group sync.WaitGroup
		for i := range answers {
			group.Go(func() {
				var err error
				if answers[i], err = s.refund(t, s.refundOf("x", "r", 1, now)); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for _, answer := range answers {
			sameAnswer(t, answers[0], answer)
		}
		s.wantCounters(t, b.ID, now, 75, 0)

		// Of different ones only so many as there are units.
		codes := make([]models.Code, 20)
		for i := range codes {
			group.Go(func() {
				_, err := s.refund(t, s.refundOf("x", fmt.Sprint("other", i), 1, now))
				codes[i] = codeOf(err)
			})
		}
		group.Wait()
		slices.Sort(codes)
		if paid := slices.Index(codes, models.CodeRefundExceeds); paid != 3 || codes[19] != models.CodeRefundExceeds {
			t.Errorf("got %v", codes)
		}
		s.wantCounters(t, b.ID, now, 0, 0)
		f.sound(t)
	})
}

func TestRecomputedRefunds(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		for below, want := range map[models.BelowMinimum][2]int64{
			models.BelowKeep: {225, 45}, models.BelowRecompute: {220, 50},
		} {
			rule := allOff()
			rule.Effect.PercentOffBP, rule.Conditions.MinAmount = new(int64(1000)), 300
			made := must(f.CreateRule(t.Context(), f.op(platform()), rule))(t)
			b := f.budget(t, money(1000))
			template := spec(made.ID, nil, 1)
			template.BudgetIDs, template.ReturnPolicy.BelowMinimum = []models.ID{b.ID}, below
			s := f.shopOf(t, template)
			xid := string(below)
			now := s.order(t, xid, 50, 6, s.coupons(t, "ann")...).At
			five := must(s.refund(t, s.refundOf(xid, "five", 5, now)))(t)
			last := must(s.refund(t, s.refundOf(xid, "last", 1, now)))(t)
			if got := [2]int64{five.Amount, last.Amount}; got != want {
				t.Errorf("%s: refunded %v, want %v", below, got, want)
			}
			s.wantCounters(t, b.ID, now, 0, 0)
		}
		f.sound(t)
	})
}

func TestAReturnedCouponIsGoodForLongerWhereItExpired(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		rule := must(f.CreateRule(t.Context(), f.op(platform()), quarterOff()))(t)
		tokyo := must(models.LoadZone("Asia/Tokyo"))(t)
		for i, c := range []struct {
			onCancel bool
			extend   int
			late     bool
			status   models.CouponStatus
			until    func(coupon models.Coupon, at time.Time) time.Time
		}{
			{false, 3, true, models.CouponUsed, func(c models.Coupon, _ time.Time) time.Time { return c.ExpiresAt }},
			{true, 0, true, models.CouponAvailable, func(c models.Coupon, _ time.Time) time.Time { return c.ExpiresAt }},
			{true, 3, false, models.CouponAvailable, func(c models.Coupon, _ time.Time) time.Time { return c.ExpiresAt }},
			{true, 3, true, models.CouponAvailable, func(_ models.Coupon, at time.Time) time.Time {
				y, m, d := at.In(tokyo).Date()
				return time.Date(y, m, d+4, 0, 0, 0, 0, tokyo)
			}},
		} {
			template := spec(rule.ID, nil, 1)
			template.TimeZone = "Asia/Tokyo"
			template.ReturnPolicy.OnCancel, template.ReturnPolicy.ExtendExpiredDays = c.onCancel, c.extend
			s := f.shopOf(t, template)
			id := s.coupons(t, "ann")[0]
			xid := fmt.Sprint("x", i)
			s.order(t, xid, 100, 1, id)
			before := must(s.Coupon(t.Context(), platform(), id))(t)
			at := before.ExpiresAt.Add(-time.Millisecond)
			if c.late {
				at = before.ExpiresAt
			}
			must(s.refund(t, s.refundOf(xid, "all", 1, at)))(t)
			if after := s.wantCoupon(t, id, c.status); !after.ExpiresAt.Equal(c.until(before, at)) {
				t.Errorf("%d: expires at %s, refunded at %s", i, after.ExpiresAt, at)
			}
		}
		f.sound(t)
	})
}

func TestARefundIsOfThePeriodOfTheTry(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		daily := quota(1)
		daily.Period = models.PeriodDay
		b := f.budget(t, daily)
		now := f.Now()
		s := f.shopUntil(t, now.Add(9*day), b.ID)
		ids := s.coupons(t, "ann", "bob")
		s.order(t, "x", 100, 1, ids[0])
		tomorrow := s.try(t, "y", "bob", 100, ids[1])
		tomorrow.At = now.Add(day)
		s.confirmed(t, tomorrow)
		must(s.refund(t, s.refundOf("x", "r", 1, now.Add(day))))(t)
		s.wantCounters(t, b.ID, now, 0, 0)
		s.wantCounters(t, b.ID, now.Add(day), 1, 0)
		f.sound(t)
	})
}
