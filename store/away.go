package store

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"gorm.io/gorm"

	"scrip/models"
)

// explain makes a database that is away, or too busy to let us in, a refusal
// that the caller may be told: nothing happened, come back later. The cause stays
// inside, for the log. It is for the outermost: once explained, and so refused,
// nothing is tried again.
func (d dialect) explain(err error) error {
	var refusal *models.Error
	if err == nil || errors.Is(err, models.ErrUnknown) || errors.As(err, &refusal) || !d.isAway(err) {
		return err
	}
	return errors.Join(models.Busy("the database is away or too busy"), err)
}

func (d dialect) isAway(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, sql.ErrTxDone) || // its time ran out, and it was rolled back behind our back
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || d.retryable(err) || d.away(err)
}

// translating explains the errors of everything that goes through gorm.
type translating struct {
	gorm.Dialector

	kind dialect
}

// Translate is called by gorm for each error.
func (t translating) Translate(err error) error { return t.kind.explain(err) }
