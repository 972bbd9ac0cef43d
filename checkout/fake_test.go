package checkout_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"scrip/checkout"
	"scrip/discount"
	"scrip/models"
)

// fake is a store that keeps wallets and nothing else: it asks the service to
// decide, and forgets. What a real one does with the answer is tested on real
// ones.
type fake struct {
	mu     sync.Mutex
	now    time.Time
	last   models.ID
	wallet []models.WalletCoupon
	tries  []models.Try
	ends   []models.LockEnd

	refund models.RefundRequest
	hold   chan struct{} // unless nil, a batch waits until it is closed, like a commit past its own end
	fault  error         // unless nil, what every batch fails with
	idle   error         // unless nil, why there are no ids
}

func (f *fake) Now() time.Time { return f.now }

func (f *fake) NextID() (models.ID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	return f.last, f.idle
}

func (f *fake) Wallet(_ context.Context, user string, ids []models.ID, codes []string, _ time.Time) ([]models.WalletCoupon, error) {
	var have []models.WalletCoupon
	for i := range f.wallet {
		w := &f.wallet[i]
		if w.UserID == user && (slices.Contains(ids, w.ID) || slices.Contains(codes, w.Code)) {
			have = append(have, *w)
		}
	}
	slices.Reverse(have) // the order means nothing
	return have, nil
}

func (f *fake) WalletOf(_ context.Context, user string, limit int, _ time.Time) ([]models.WalletCoupon, error) {
	var have []models.WalletCoupon
	for i := range f.wallet {
		w := &f.wallet[i]
		if w.UserID == user && (w.Status == models.CouponAvailable || w.Status == models.CouponLocked) && len(have) < limit {
			have = append(have, *w)
		}
	}
	return have, nil
}

func (f *fake) wait() error {
	if f.hold != nil {
		<-f.hold
	}
	return f.fault
}

func (f *fake) CommitTries(
	ctx context.Context, batch []models.Try, decide func(*models.Try, []models.WalletCoupon) (*models.Frozen, *models.Error),
) ([]models.LockVerdict, error) {
	if err := f.wait(); err != nil {
		return nil, err
	}
	verdicts := make([]models.LockVerdict, len(batch))
	for i := range batch {
		try := &batch[i]
		coupons, err := f.Wallet(ctx, try.Cart.UserID, try.CouponIDs, try.Codes, try.At)
		if err != nil {
			return nil, err
		}
		frozen, refusal := decide(try, coupons)
		verdicts[i] = models.LockVerdict{Refused: refusal}
		if refusal == nil {
			verdicts[i] = models.LockVerdict{Made: true, Lock: &models.Lock{
				ID: try.ID, XID: try.XID, State: models.LockLocked, Frozen: frozen, ExpiresAt: try.At.Add(try.TTL),
			}}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tries = append(f.tries, batch...)
	return verdicts, nil
}

func (f *fake) CommitEnds(_ context.Context, batch []models.LockEnd) ([]models.LockVerdict, error) {
	if err := f.wait(); err != nil {
		return nil, err
	}
	verdicts := make([]models.LockVerdict, len(batch))
	for i, end := range batch {
		verdicts[i].Lock = &models.Lock{XID: end.XID, State: end.To}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ends = append(f.ends, batch...)
	return verdicts, nil
}

func (f *fake) Refund(
	_ context.Context, req models.RefundRequest,
	compute func(*models.Frozen, models.Refunded) (models.Refund, error), _ bool,
) (models.Refund, error) {
	f.refund = req
	return compute(&models.Frozen{}, models.Refunded{})
}

func (f *fake) LockByXID(_ context.Context, xid string) (models.Lock, error) {
	return models.Lock{XID: xid}, nil
}

func (f *fake) service(tb testing.TB) *checkout.Service {
	tb.Helper()
	s := checkout.New(config(), f, discount.New(10), slog.New(slog.DiscardHandler))
	tb.Cleanup(s.Close)
	return s
}

// noon is a Monday.
func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// amountOff is a coupon of user u for so much off, which stands beside any
// other; change makes it special.
func amountOff(id models.ID, off int64, change ...func(*models.WalletCoupon)) models.WalletCoupon {
	w := models.WalletCoupon{
		Coupon: models.Coupon{
			ID: id, Code: models.NewCode(), TemplateID: 1, UserID: "u", Status: models.CouponAvailable,
			ValidFrom: noon().Add(-time.Hour), ExpiresAt: noon().Add(time.Hour),
		},
		Currency: "USD", TimeZone: "UTC", Return: models.DefaultReturnPolicy(),
		Rule: &models.Rule{
			ID: 100 + id, Version: 1, Kind: models.KindAmountOff, Stacking: models.DefaultStacking(),
			Effect: models.Effect{AmountOff: &off, Currency: "USD"},
		},
	}
	for _, c := range change {
		c(&w)
	}
	return w
}

// basket is ten units at 10.00 for user u.
func basket() models.Cart {
	return models.Cart{
		UserID: "u", Currency: "USD",
		Lines: []models.CartLine{{LineID: "1", SKU: "tea", Quantity: 10, UnitPrice: 1000}},
	}
}
