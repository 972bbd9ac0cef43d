package ways

import (
	"context"
	"database/sql"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"gorm.io/gorm"

	"scrip/groupcommit"
	"scrip/models"
)

// least is the least that a durable row can cost with the parts that Scrip is
// made of: all that wait go into one INSERT, which commits by itself. Nobody is
// refused, nothing is counted and nothing proved, so no claim can be cheaper.
type least struct {
	db      *sql.DB
	batches *groupcommit.Committer[models.Coupon, struct{}]
	issued  atomic.Int64
}

func newLeast(ctx context.Context, o Options) (*least, error) {
	db, err := openGorm(o, "&interpolateParams=true", &gorm.Config{})
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	// Times as Scrip has them, which are cheaper to write and to read.
	if _, err := pool.ExecContext(ctx, strings.ReplaceAll(couponsTable, "DATETIME(3)", "BIGINT")); err != nil {
		return nil, err
	}
	w := &least{db: pool}
	w.batches = groupcommit.New(groupcommit.Config{
		Lanes: 1, MaxBatch: o.Conns * 8, WaitingRoom: 1 << 16, Timeout: time.Minute,
	}, w.insert)
	return w, nil
}

func (w *least) routes(r gin.IRouter) {
	r.POST("/templates", bound(func(c *gin.Context, _ *templateBody) error {
		c.Status(http.StatusCreated)
		return nil
	}))
	r.POST("/claims", bound(w.claim))
}

func (w *least) claim(c *gin.Context, claim *claimBody) error {
	coupon := newCoupon(claim, w.issued.Add(1))
	coupon.ID = models.ID(coupon.IssueNo)
	if _, err := w.batches.Submit(c, 0, coupon); err != nil {
		return err
	}
	c.JSON(http.StatusCreated, coupon)
	return nil
}

func (w *least) insert(ctx context.Context, batch []models.Coupon) ([]struct{}, error) {
	const head = `INSERT INTO coupons (id, template_id, rule_version, user_seq, issue_no,
		valid_from, expires_at, claimed_at, code, user_id, status) VALUES `
	text := append(make([]byte, 0, len(head)+150*len(batch)), head...)
	args := make([]any, 0, 2*len(batch))
	for i := range batch {
		c := &batch[i]
		sign := byte(',')
		if i == 0 {
			sign = ' '
		}
		text = append(text, sign, '(')
		for _, n := range []int64{
			int64(c.ID), int64(c.TemplateID), int64(c.RuleVersion), c.UserSeq, c.IssueNo,
			c.ValidFrom.UnixMilli(), c.ExpiresAt.UnixMilli(), c.ClaimedAt.UnixMilli(),
		} {
			text = append(strconv.AppendInt(text, n, 10), ',')
		}
		text = append(text, "?,?,'available')"...)
		args = append(args, c.Code, c.UserID)
	}
	_, err := w.db.ExecContext(ctx, string(text), args...)
	return make([]struct{}, len(batch)), err
}
