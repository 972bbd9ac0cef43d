package gate_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"scrip/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 10 * time.Second       // with a server that is there, however slow the machine
	brief    = 100 * time.Millisecond // with one that is not
)

// gates is what both gates can do.
type gates interface {
	Reserve(ctx context.Context, asks []models.Reservation) []models.GateAnswer
	Finish(ctx context.Context, outcomes []models.GateOutcome) error
	Begin(ctx context.Context, load models.GateLoad) (bool, error)
	Load(ctx context.Context, template models.ID, epoch, limit int64, holders []models.Holder) (bool, error)
	Open(ctx context.Context, load models.GateLoad) (bool, error)
	SetStock(ctx context.Context, template models.ID, epoch, edit, stock int64) error
	Pending(ctx context.Context, template models.ID, olderThan time.Time, most int) ([]models.PendingClaim, error)
	Touched(ctx context.Context, since time.Time, most int) ([]models.ID, error)
	State(ctx context.Context, template models.ID) (models.GateState, error)
	States(ctx context.Context, templates []models.ID) ([]models.GateState, error)
	Guess(ctx context.Context, asks []models.Guess) ([]time.Duration, error)
	Announce(ctx context.Context, template models.ID) error
	Listen(ctx context.Context, heard func(template models.ID))
	Ping(ctx context.Context) error
	Check(ctx context.Context) error
	Away() bool
	Close() error
}

// handClock is set by hand.
type handClock struct{ ms atomic.Int64 }

func newHandClock() *handClock {
	c := &handClock{}
	c.ms.Store(time.Date(2026, 11, 11, 0, 0, 0, 0, time.UTC).UnixMilli())
	return c
}

func (c *handClock) now() time.Time { return time.UnixMilli(c.ms.Load()).UTC() }

func (c *handClock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }
