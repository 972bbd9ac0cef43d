package ways

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"
	"gorm.io/gorm"

	"scrip/models"
)

// reference lets a script in Redis decide and then inserts one row. What it does
// not do is count in the database: should Redis lose something, nobody notices.
type reference struct {
	db    *gorm.DB
	redis *redis.Client
	take  *redis.Script
}

// takeScript answers with the number of the coupon, 0 if none is left, -1 if
// this user has one.
//
//	KEYS  1 left, 2 users, both of one template
//	ARGV  1 user, 2 "back" to give the unit back instead
const takeScript = `
if ARGV[2] == 'back' then
  redis.call('SREM', KEYS[2], ARGV[1])
  return redis.call('INCR', KEYS[1])
end
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then
  return -1
end
local left = tonumber(redis.call('GET', KEYS[1]) or 0)
if left <= 0 then
  return 0
end
redis.call('DECR', KEYS[1])
redis.call('SADD', KEYS[2], ARGV[1])
return left`

func newReference(ctx context.Context, o Options) (*reference, error) {
	// One round trip for the row: whoever has six shards has come that far.
	db, err := openGorm(o, "&interpolateParams=true", &gorm.Config{SkipDefaultTransaction: true, TranslateError: true})
	if err != nil {
		return nil, err
	}
	if err := db.WithContext(ctx).Exec(couponsTable).Error; err != nil {
		return nil, err
	}
	client := redis.NewClient(&redis.Options{Addr: o.Redis, PoolSize: o.Conns})
	return &reference{db: db, redis: client, take: redis.NewScript(takeScript)}, nil
}

func (w *reference) routes(r gin.IRouter) {
	r.POST("/templates", bound(w.create))
	r.POST("/claims", bound(w.claim))
}

func keys(template models.ID) []string {
	id := template.String()
	return []string{"reference:{" + id + "}:left", "reference:{" + id + "}:users"}
}

func (w *reference) create(c *gin.Context, body *templateBody) error {
	if err := w.redis.Set(c, keys(body.ID)[0], body.Stock, 0).Err(); err != nil {
		return err
	}
	c.Status(http.StatusCreated)
	return nil
}

// claim numbers the coupons downwards from the stock: the order does not matter
// here, only that no two have the same number.
func (w *reference) claim(c *gin.Context, claim *claimBody) error {
	number, err := w.take.Run(c, w.redis, keys(claim.TemplateID), claim.UserID).Int64()
	switch {
	case err != nil:
		return err
	case number == 0:
		soldOut(c)
		return nil
	case number < 0:
		alreadyClaimed(c)
		return nil
	}
	coupon := newCoupon(claim, number)
	if err := w.db.WithContext(c).Create(&coupon).Error; err != nil {
		return errors.Join(err, w.take.Run(c, w.redis, keys(claim.TemplateID), claim.UserID, "back").Err())
	}
	c.JSON(http.StatusCreated, coupon)
	return nil
}
