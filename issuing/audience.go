// Package issuing is how coupons reach users otherwise than by one claim: the
// audience, and what is given to all of it.
package issuing

import (
	"context"
	"errors"
	"io"

	"scrip/models"
)

type audienceStore interface {
	ImportUsers(ctx context.Context, op models.Op, merchantID string, users []models.User) error
}

// Audience takes users in.
type Audience struct{ Store audienceStore }

// importBatch is how many users one transaction stores.
const importBatch = 1000

// ImportUsers stores the users that an upload has a line each for, in place of
// what was known of them; of lines of the same user the last one holds. Lines
// that are wrong are reported and passed over. Memory is bounded, whatever is
// sent. After an error the lines before it may be stored: the same upload again
// is safe.
func (a *Audience) ImportUsers(ctx context.Context, op models.Op, merchantID string, format Format, upload io.Reader) (models.LineReport, error) {
	var report models.LineReport
	lines, err := format.users(upload)
	if err != nil {
		return report, err
	}
	batch := newUserBatch()
	for {
		line, user, err := lines.next()
		var bad *lineError
		switch {
		case err == nil:
			batch.add(user)
			report.Imported++
		case errors.As(err, &bad):
			report.Refuse(line, bad.faults...)
		case !errors.Is(err, io.EOF):
			return report, err
		}
		if len(batch.users) == importBatch || errors.Is(err, io.EOF) && len(batch.users) > 0 {
			if err := a.Store.ImportUsers(ctx, op, merchantID, batch.users); err != nil {
				return report, err
			}
			batch = newUserBatch()
		}
		if errors.Is(err, io.EOF) {
			return report, nil
		}
	}
}

// userBatch holds each user once.
type userBatch struct {
	users []models.User
	at    map[string]int
}

func newUserBatch() *userBatch {
	return &userBatch{users: make([]models.User, 0, importBatch), at: make(map[string]int, importBatch)}
}

func (b *userBatch) add(u models.User) {
	if i, again := b.at[u.UserID]; again {
		b.users[i] = u
		return
	}
	b.at[u.UserID] = len(b.users)
	b.users = append(b.users, u)
}
