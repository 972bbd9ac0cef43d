package ways

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"scrip/models"
)

// common is what one writes first.
type common struct{ db *gorm.DB }

// The tables have Scrip's columns and indexes, with times as most have them.
const (
	couponsTable = `CREATE TABLE coupons (
		id           BIGINT      NOT NULL PRIMARY KEY AUTO_INCREMENT,
		code         VARCHAR(32) NOT NULL,
		template_id  BIGINT      NOT NULL,
		rule_version INT         NOT NULL,
		user_id      VARCHAR(64) NOT NULL,
		user_seq     BIGINT      NOT NULL,
		issue_no     BIGINT      NOT NULL,
		status       VARCHAR(10) NOT NULL,
		valid_from   DATETIME(3) NOT NULL,
		expires_at   DATETIME(3) NOT NULL,
		claimed_at   DATETIME(3) NOT NULL,
		lock_id      BIGINT      NULL,
		order_id     VARCHAR(64) NULL,
		used_at      DATETIME(3) NULL,
		UNIQUE KEY coupons_of_user (user_id, template_id, user_seq),
		UNIQUE KEY coupons_in_order (template_id, issue_no))`
	templatesTable = `CREATE TABLE templates (
		id        BIGINT NOT NULL PRIMARY KEY,
		budget_id BIGINT NOT NULL,
		stock     BIGINT NOT NULL,
		claimed   BIGINT NOT NULL)`
	budgetsTable = `CREATE TABLE budgets (
		id    BIGINT NOT NULL PRIMARY KEY,
		total BIGINT NOT NULL,
		used  BIGINT NOT NULL,
		held  BIGINT NOT NULL)`
	locksTable = `CREATE TABLE locks (
		id         BIGINT       NOT NULL PRIMARY KEY AUTO_INCREMENT,
		xid        VARCHAR(191) NOT NULL UNIQUE,
		order_id   VARCHAR(64)  NOT NULL,
		coupon_id  BIGINT       NOT NULL,
		budget_id  BIGINT       NOT NULL,
		amount     BIGINT       NOT NULL,
		state      VARCHAR(10)  NOT NULL,
		quote      LONGTEXT     NOT NULL,
		expires_at DATETIME(3)  NOT NULL)`
)

type template struct {
	ID       models.ID
	BudgetID models.ID
	Stock    int64
	Claimed  int64
}

type budget struct {
	ID                models.ID
	Total, Used, Held int64
}

type lock struct {
	ID        models.ID
	XID       string `gorm:"column:xid"`
	OrderID   string
	CouponID  models.ID
	BudgetID  models.ID
	Amount    int64
	State     models.LockState
	Quote     string
	ExpiresAt time.Time
}

func newCommon(ctx context.Context, o Options) (*common, error) {
	db, err := openGorm(o, "", &gorm.Config{TranslateError: true})
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{couponsTable, templatesTable, budgetsTable, locksTable} {
		if err := db.WithContext(ctx).Exec(statement).Error; err != nil {
			return nil, err
		}
	}
	return &common{db}, nil
}

// openGorm opens as gorm's documentation has it, with as many connections as
// Scrip has, all of them kept, and what extra adds.
func openGorm(o Options, extra string, cfg *gorm.Config) (*gorm.DB, error) {
	cfg.Logger = logger.Discard
	db, err := gorm.Open(mysql.Open(o.DSN+"?charset=utf8mb4&parseTime=True&loc=UTC"+extra), cfg)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(o.Conns)
	pool.SetMaxIdleConns(o.Conns)
	return db, nil
}

func (w *common) routes(r gin.IRouter) {
	r.POST("/templates", bound(w.create))
	r.POST("/claims", bound(w.claim))
	r.GET("/coupons", w.coupons)
	r.POST("/locks", bound(w.lock))
	r.POST("/locks/:xid/confirm", w.confirm)
}

// create makes a template and, under the same id, a budget of its own.
func (w *common) create(c *gin.Context, body *templateBody) error {
	db := w.db.WithContext(c)
	err := db.Create(&template{ID: body.ID, BudgetID: body.ID, Stock: body.Stock}).Error
	if err != nil {
		return err
	}
	if err := db.Create(&budget{ID: body.ID, Total: models.MaxAmount}).Error; err != nil {
		return err
	}
	c.Status(http.StatusCreated)
	return nil
}

var (
	errSoldOut = errors.New("sold out")
	errState   = errors.New("the state forbids it")
)

func forUpdate() clause.Locking { return clause.Locking{Strength: "UPDATE"} }

// inTx runs at READ COMMITTED: with the next-key locks of the default, confirm
// and lock deadlock over the index of xid.
func (w *common) inTx(c *gin.Context, do func(tx *gorm.DB) error) error {
	return w.db.WithContext(c).Transaction(do, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
}

func (w *common) claim(c *gin.Context, claim *claimBody) error {
	var coupon models.Coupon
	err := w.inTx(c, func(tx *gorm.DB) error {
		var t template
		if err := tx.Clauses(forUpdate()).Take(&t, claim.TemplateID).Error; err != nil {
			return err
		}
		if t.Claimed >= t.Stock {
			return errSoldOut
		}
		coupon = newCoupon(claim, t.Claimed+1)
		if err := tx.Create(&coupon).Error; err != nil {
			return err
		}
		return tx.Model(&t).Update("claimed", gorm.Expr("claimed + 1")).Error
	})
	switch {
	case errors.Is(err, errSoldOut):
		soldOut(c)
	case errors.Is(err, gorm.ErrDuplicatedKey):
		alreadyClaimed(c)
	case err != nil:
		return err
	default:
		c.JSON(http.StatusCreated, coupon)
	}
	return nil
}

type pageQuery struct {
	UserID string `form:"user_id"`
	Limit  int    `form:"limit"`
}

func (w *common) coupons(c *gin.Context) {
	var query pageQuery
	list := []models.Coupon{}
	err := c.ShouldBindQuery(&query)
	if err == nil {
		err = w.db.WithContext(c).Where("user_id = ?", query.UserID).Order("id DESC").Limit(query.Limit).Find(&list).Error
	}
	if err != nil {
		c.String(http.StatusInternalServerError, "%v", err)
		return
	}
	c.JSON(http.StatusOK, page{Data: list})
}

// lock holds one coupon, and its discount of the template's budget.
func (w *common) lock(c *gin.Context, body *lockBody) error {
	made := lock{
		XID: body.XID, OrderID: body.OrderID, CouponID: body.CouponIDs[0], Amount: discount,
		State: models.LockLocked, ExpiresAt: models.Instant(time.Now()).Add(models.DefaultLockTTL),
	}
	q := quote(&body.Cart, body.CouponIDs[:1])
	text, err := json.Marshal(q)
	if err != nil {
		return err
	}
	made.Quote = string(text)
	err = w.inTx(c, func(tx *gorm.DB) error { return made.hold(tx, body.Cart.UserID) })
	if err != nil {
		return err
	}
	c.JSON(http.StatusCreated, made.view(q))
	return nil
}

func (l *lock) view(q models.Quote) lockView {
	return lockView{ID: l.ID, XID: l.XID, OrderID: l.OrderID, State: l.State, Quote: q, ExpiresAt: l.ExpiresAt}
}

func (l *lock) hold(tx *gorm.DB, userID string) error {
	var coupon models.Coupon
	if err := tx.Where("user_id = ?", userID).Take(&coupon, l.CouponID).Error; err != nil {
		return err
	}
	var t template
	if err := tx.Take(&t, coupon.TemplateID).Error; err != nil {
		return err
	}
	l.BudgetID = t.BudgetID
	var b budget
	if err := tx.Clauses(forUpdate()).Take(&b, l.BudgetID).Error; err != nil {
		return err
	}
	if err := tx.Clauses(forUpdate()).Take(&coupon, l.CouponID).Error; err != nil {
		return err
	}
	if b.Used+b.Held+l.Amount > b.Total || coupon.Status != models.CouponAvailable {
		return errState
	}
	if err := tx.Create(l).Error; err != nil {
		return err
	}
	locked := map[string]any{"status": models.CouponLocked, "lock_id": l.ID, "order_id": l.OrderID}
	if err := tx.Model(&coupon).Updates(locked).Error; err != nil {
		return err
	}
	return tx.Model(&b).Update("held", gorm.Expr("held + ?", l.Amount)).Error
}

func (w *common) confirm(c *gin.Context) {
	var confirmed lock
	var q models.Quote
	err := w.inTx(c, func(tx *gorm.DB) error { return confirmed.use(tx, c.Param("xid")) })
	if err == nil {
		err = json.Unmarshal([]byte(confirmed.Quote), &q)
	}
	if err != nil {
		c.String(http.StatusInternalServerError, "%v", err)
		return
	}
	c.JSON(http.StatusOK, confirmed.view(q))
}

func (l *lock) use(tx *gorm.DB, xid string) error {
	if err := tx.Clauses(forUpdate()).Where("xid = ?", xid).Take(l).Error; err != nil {
		return err
	}
	var b budget
	if err := tx.Clauses(forUpdate()).Take(&b, l.BudgetID).Error; err != nil {
		return err
	}
	if l.State != models.LockLocked || b.Held < l.Amount {
		return errState
	}
	if err := tx.Model(l).Update("state", models.LockConfirmed).Error; err != nil {
		return err
	}
	used := map[string]any{"status": models.CouponUsed, "used_at": models.Instant(time.Now())}
	if err := tx.Model(&models.Coupon{ID: l.CouponID}).Updates(used).Error; err != nil {
		return err
	}
	moved := map[string]any{"held": gorm.Expr("held - ?", l.Amount), "used": gorm.Expr("used + ?", l.Amount)}
	return tx.Model(&b).Updates(moved).Error
}
