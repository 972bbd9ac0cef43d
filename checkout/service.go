// Package checkout is the way of an order through its coupons: what they would
// give (qualify, quote), holding them (lock), using or freeing them (confirm,
// cancel) and paying back (refund). The sums are package discount's, the
// deciding is the store's; here the two are joined.
package checkout

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"scrip/discount"
	"scrip/groupcommit"
	"scrip/models"
)

// store is where wallets are read and locks are decided.
type store interface {
	Now() time.Time
	NextID() (models.ID, error)
	Wallet(ctx context.Context, userID string, ids []models.ID, codes []string, now time.Time) ([]models.WalletCoupon, error)
	WalletOf(ctx context.Context, userID string, limit int, now time.Time) ([]models.WalletCoupon, error)
	CommitTries(
		ctx context.Context, batch []models.Try,
		decide func(try *models.Try, coupons []models.WalletCoupon) (*models.Frozen, *models.Error),
	) ([]models.LockVerdict, error)
	CommitEnds(ctx context.Context, batch []models.LockEnd) ([]models.LockVerdict, error)
	Refund(
		ctx context.Context, req models.RefundRequest,
		compute func(*models.Frozen, models.Refunded) (models.Refund, error), dry bool,
	) (models.Refund, error)
	LockByXID(ctx context.Context, xid string) (models.Lock, error)
}

// Config bounds a Service.
type Config struct {
	MaxBatch    int // locks, or confirms and cancels, in one transaction
	WaitingRoom int // of each of the two, waiting for one

	// Lanes is how many transactions run at once that lock, and as many that
	// confirm and cancel. One is best while the orders of the day share a
	// budget: its row lets one transaction in at a time anyway, and the longer
	// the queue for the only lane, the more orders share the next visit. More
	// help where budgets are many or none; what is decided is the same.
	Lanes int

	// Timeout is how long one lock, confirm or cancel may take, its wait and
	// its transaction each, within its request's own deadline.
	Timeout time.Duration

	// Grace is how long past that a call waits for the commit that it is in.
	Grace time.Duration
}

// Service qualifies, quotes and locks. It is safe for concurrent use.
//
// Refusals are *models.Error. An error that wraps models.ErrUnknown says that
// the change may have been made; the same call again tells.
type Service struct {
	cfg    Config
	store  store
	engine *discount.Engine
	log    *slog.Logger
	zones  zones

	// Confirms and cancels have a lane of their own: a rush of new orders must
	// not keep those from ending that are there.
	tries   *groupcommit.Committer[models.Try, models.LockVerdict]
	ends    *groupcommit.Committer[models.LockEnd, models.LockVerdict]
	closing sync.Once
}

// New starts a Service; Close ends it.
func New(cfg Config, st store, engine *discount.Engine, log *slog.Logger) *Service {
	s := &Service{cfg: cfg, store: st, engine: engine, log: log}
	bounds := groupcommit.Config{
		Lanes: cfg.Lanes, MaxBatch: cfg.MaxBatch, WaitingRoom: cfg.WaitingRoom, Timeout: cfg.Timeout, Grace: cfg.Grace,
	}
	s.tries = groupcommit.New(bounds, func(ctx context.Context, batch []models.Try) ([]models.LockVerdict, error) {
		return st.CommitTries(ctx, batch, s.decide)
	})
	s.ends = groupcommit.New(bounds, st.CommitEnds)
	return s
}

// Close refuses new locks and ends, and commits those under way.
func (s *Service) Close() {
	s.closing.Do(func() {
		s.tries.Close()
		s.ends.Close()
	})
}

// Lock holds the coupons that try names, and their budgets, for its order: all
// or none. The cart must have been checked; ID and At are filled in, and
// DefaultLockTTL where TTL is zero. A Try that was made before gets the lock as
// it is now, with Made false.
func (s *Service) Lock(ctx context.Context, try models.Try) (models.LockVerdict, error) {
	chosen, err := choose(try.CouponIDs, try.Codes)
	if err != nil {
		return models.LockVerdict{}, err
	}
	try.Codes = chosen.stored
	if try.ID, err = s.nextID(); err != nil {
		return models.LockVerdict{}, err
	}
	try.At = s.store.Now()
	if try.TTL == 0 {
		try.TTL = models.DefaultLockTTL
	}
	return submit(ctx, s, s.tries, try.XID, try)
}

// Confirm uses up what the lock holds; whatever happened since the lock was
// made, it works until the lock's end.
func (s *Service) Confirm(ctx context.Context, xid, actor string) (models.Lock, error) {
	return s.end(ctx, xid, models.LockConfirmed, actor)
}

// Cancel frees what the lock holds. Of an xid that there is no lock of it is
// remembered, so that a Try that comes late is refused.
func (s *Service) Cancel(ctx context.Context, xid, actor string) (models.Lock, error) {
	return s.end(ctx, xid, models.LockCancelled, actor)
}

func (s *Service) end(ctx context.Context, xid string, to models.LockState, actor string) (models.Lock, error) {
	end, err := s.newEnd(xid, to, actor)
	if err != nil {
		return models.Lock{}, err
	}
	verdict, err := submit(ctx, s, s.ends, xid, end)
	if err != nil {
		return models.Lock{}, err
	}
	return *verdict.Lock, nil
}

func (s *Service) newEnd(xid string, to models.LockState, actor string) (models.LockEnd, error) {
	id, err := s.nextID()
	return models.LockEnd{XID: xid, To: to, NewID: id, At: s.store.Now(), Actor: actor}, err
}

// ConfirmAll confirms the locks in one transaction, each for itself: the
// verdicts are in the order of xids. An error holds for all of them.
func (s *Service) ConfirmAll(ctx context.Context, xids []string, actor string) ([]models.LockVerdict, error) {
	return s.endAll(ctx, xids, models.LockConfirmed, actor)
}

// CancelAll cancels the locks in one transaction, each for itself: the verdicts
// are in the order of xids. An error holds for all of them.
func (s *Service) CancelAll(ctx context.Context, xids []string, actor string) ([]models.LockVerdict, error) {
	return s.endAll(ctx, xids, models.LockCancelled, actor)
}

// endAll goes past the lane: it is a batch already.
func (s *Service) endAll(ctx context.Context, xids []string, to models.LockState, actor string) ([]models.LockVerdict, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	batch := make([]models.LockEnd, len(xids))
	for i, xid := range xids {
		var err error
		if batch[i], err = s.newEnd(xid, to, actor); err != nil {
			return nil, err
		}
	}
	if len(batch) == 0 {
		return []models.LockVerdict{}, nil
	}
	return s.store.CommitEnds(ctx, batch)
}

// Refund pays for units of a confirmed lock from its frozen quote, and gives
// back what then comes back; dry only says what that would be.
func (s *Service) Refund(ctx context.Context, req models.RefundRequest, dry bool) (models.Refund, error) {
	req.At = s.store.Now()
	compute := func(frozen *models.Frozen, before models.Refunded) (models.Refund, error) {
		return discount.Refund(frozen, before, req.Lines)
	}
	return s.store.Refund(ctx, req, compute, dry)
}

// Get returns the lock as it is now.
func (s *Service) Get(ctx context.Context, xid string) (models.Lock, error) {
	return s.store.LockByXID(ctx, xid)
}

func (s *Service) nextID() (models.ID, error) {
	id, err := s.store.NextID()
	if err != nil {
		return 0, models.Busy("this instance cannot make ids right now")
	}
	return id, nil
}

// submit hands one request to a lane and turns its answer into one of a call.
// All steps of an xid go through the same lane.
func submit[Q any](
	ctx context.Context, s *Service, lane *groupcommit.Committer[Q, models.LockVerdict], xid string, request Q,
) (models.LockVerdict, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	verdict, err := lane.Submit(ctx, laneKey(xid), request)
	switch {
	case err != nil:
		return models.LockVerdict{}, explain(err)
	case verdict.Replay != nil:
		return models.LockVerdict{}, verdict.Replay
	case verdict.Refused != nil:
		return models.LockVerdict{}, verdict.Refused
	}
	return verdict, nil
}

func laneKey(xid string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(xid)) // never fails
	return int64(h.Sum64())     //nolint:gosec // any number names a lane
}

// explain turns a committer's error into what the caller may be told.
func explain(err error) error {
	switch {
	case errors.Is(err, groupcommit.ErrBusy), errors.Is(err, groupcommit.ErrClosed):
		return models.Busy("too many orders are waiting")
	case errors.Is(err, groupcommit.ErrAbandoned):
		return fmt.Errorf("%w: %w", models.ErrUnknown, err)
	}
	return err
}
