package jobs

import (
	"context"
	"time"

	"scrip/models"
)

type reminderStore interface {
	// SendReminders goes through at most limit rows that are due, and says how many
	// messages that made.
	SendReminders(ctx context.Context, now time.Time, limit int) (sent int, more bool, err error)
}

// Remind sends users the reminders of coupons that are about to expire.
type Remind struct {
	Store reminderStore
	Now   models.Clock
}

// remindChunk is how many coupons one step looks at. Their users wait for the
// step's end if they claim, use or give one up meanwhile.
const remindChunk = 200

// Step sends what one chunk of coupons comes to.
func (j Remind) Step(ctx context.Context) (changed int, more bool, err error) {
	return j.Store.SendReminders(ctx, j.Now(), remindChunk)
}
