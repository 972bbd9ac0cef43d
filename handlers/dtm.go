package handlers

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

// These are the branches of a TCC transaction as the coordinator dtm calls them
// over HTTP. It takes an answer apart in its own way: 200 is done, 409 is
// refused, 425 is "call again soon", anything else is "call again later"; and
// before it looks at the status, the word FAILURE or ONGOING anywhere in the
// body decides. So no answer here holds a string of a caller's or a merchant's.

// dtmTTL is how long a lock is held if the Try does not say. The coordinator
// sees to the end of a transaction itself, if need be hours later.
const dtmTTL = 24 * time.Hour

type dtmView struct {
	Result           string    `json:"dtm_result"`
	ID               models.ID `json:"id"`
	Discount         int64     `json:"discount"`
	ShippingDiscount int64     `json:"shipping_discount"`
	Total            int64     `json:"total"`
	Currency         string    `json:"currency"`
	ExpiresAt        stamp     `json:"expires_at"`
}

const dtmSuccess = "SUCCESS"

type dtmDone struct {
	Result string `json:"dtm_result"`
}

func viewDTM(l *models.Lock) dtmView {
	q := &l.Frozen.Quote
	return dtmView{dtmSuccess, l.ID, q.Discount, q.ShippingDiscount, q.Total, q.Currency, stamp(l.ExpiresAt)}
}

// dtmXID joins the xid of a branch from the query, and notes what is wrong with
// it. Branch ids are digits, so the last hyphen tells where the gid ends and no
// two branches share a name; one with a hyphen would undo that, and is refused.
func dtmXID(c *gin.Context, f models.Faults, op string) string {
	gid, branch := c.Query("gid"), c.Query("branch_id")
	f.Require(gid != "", "gid")
	switch {
	case branch == "":
		f.Require(false, "branch_id")
	case strings.Contains(branch, "-"):
		f.Add("branch_id", models.CodeInvalid, "must not have a hyphen")
	case gid != "":
		models.CheckXID(f, "gid", gid+"-"+branch)
	}
	if sent := c.Query("op"); sent != "" && sent != op {
		f.Add("op", models.CodeInvalid, "must be %s here", op)
	}
	if kind := c.Query("trans_type"); kind != "" && kind != "tcc" {
		f.Add("trans_type", models.CodeInvalid, "must be tcc")
	}
	return gid + "-" + branch
}

func (a *api) dtmTry(c *gin.Context) error {
	var body lockBody
	if _, err := bind(c, &body); err != nil {
		return err
	}
	f := models.NewFaults()
	xid := dtmXID(c, f, "try")
	try, err := body.try(f, middleware.Principal(c), xid, dtmTTL)
	if err != nil {
		return err
	}
	verdict, err := a.Checkout.Lock(c.Request.Context(), try)
	if err != nil {
		return err
	}
	if verdict.Lock.State == models.LockExpired {
		// The Try was done and has been undone. Were it called done again, the
		// coordinator would go on to a Confirm that can never succeed.
		return models.Refuse(models.CodeLockExpired, "the lock has expired")
	}
	return answer(c, http.StatusOK, viewDTM(verdict.Lock))
}

// dtmEnd makes the handler of confirm or of cancel. The coordinator sends the
// Try's body again; it is not even read.
func (a *api) dtmEnd(op string, end func(ctx context.Context, xid, actor string) (models.Lock, error)) func(*gin.Context) error {
	return func(c *gin.Context) error {
		f := models.NewFaults()
		xid := dtmXID(c, f, op)
		if err := f.Err(); err != nil {
			return err
		}
		if _, err := end(c.Request.Context(), xid, middleware.Principal(c).Credential); err != nil {
			return err
		}
		return answer(c, http.StatusOK, dtmDone{dtmSuccess})
	}
}

// retellTry says of a refusal no more than its code and the fields it is about.
func retellTry(err error) error {
	_, code := middleware.Told(err)
	return retold(err, code)
}

// retellEnd is retellTry for confirm and cancel, where every hindrance that
// passes by itself is 425: the coordinator gives up on a 409, and waits longer
// and longer after anything else.
func retellEnd(err error) error {
	status, code := middleware.Told(err)
	switch {
	case code == models.CodeInProgress, status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		code = models.CodeTooEarly
	}
	return retold(err, code)
}

// retold is a refusal in our own words. What else is known of it goes along for
// the log.
func retold(err error, code models.Code) error {
	refusal := models.Refuse(code, "%s", dtmWords(code))
	given, plain := err.(*models.Error) //nolint:errorlint // one that wraps nothing has nothing for the log
	if plain {
		refusal.RetryAfter = given.RetryAfter
		refusal.Fields = retoldFields(given.Fields)
		return refusal
	}
	return fmt.Errorf("%w: %w", refusal, err)
}

const maxDTMFields = 3

// dtmField is a path made of nothing but our own names and numbers.
var dtmField = regexp.MustCompile(`^(gid|branch_id|op|trans_type|order_id|ttl_seconds|user_tags(\[\d+\])?|coupon_ids(\[\d+\])?|codes(\[\d+\])?|` +
	`cart(\.(user_id|currency|merchant_id|shipping|payment_method|channel|first_order|lines(\[\d+\](\.(` +
	`line_id|sku|category_ids(\[\d+\])?|quantity|unit_price|merchant_id))?)?))?)$`)

// retoldFields keeps the first few faults, without what is the caller's: a name
// that we do not know was made up by it.
func retoldFields(fields []models.FieldError) []models.FieldError {
	var kept []models.FieldError
	for _, f := range fields {
		if len(kept) == maxDTMFields {
			break
		}
		if !dtmField.MatchString(f.Field) {
			f.Field = "body"
		}
		kept = append(kept, models.FieldError{Field: f.Field, Code: f.Code, Detail: dtmWords(f.Code)})
	}
	return kept
}

// dtmWords says in a few fixed words what a code means.
func dtmWords(code models.Code) string {
	switch code { //nolint:exhaustive // the others speak for themselves
	case models.CodeTooEarly:
		return "not now; call again"
	case models.CodeBusy:
		return "too much to do, or a store is away; nothing was changed"
	case models.CodeOutcomeUnknown:
		return "it may have happened; the same request again tells"
	case models.CodeInternal:
		return "something went wrong on our side"
	case models.CodeLockCancelled:
		return "the lock is cancelled"
	case models.CodeLockConfirmed:
		return "the lock is confirmed"
	case models.CodeLockExpired:
		return "the lock has expired"
	case models.CodeXIDReused:
		return "the branch was tried before with another body"
	case models.CodeNotFound:
		return "there is no such lock"
	case models.CodeNotApplicable:
		return "a coupon does not apply to the cart"
	case models.CodeInvalid:
		return "is wrong"
	case models.CodeRequired:
		return "is required"
	case models.CodeOutOfRange:
		return "is out of its bounds"
	case models.CodeUnknownField:
		return "has a field that does not exist"
	case models.CodeNotUnique:
		return "names the same thing twice"
	}
	return "the code says it"
}
