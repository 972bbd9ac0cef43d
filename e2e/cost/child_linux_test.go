package cost

import (
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"scrip/enginetest"
	"scrip/models"
)

// floorEnv makes this test binary serve the floor at the address it names.
const floorEnv = "SCRIP_COST_FLOOR"

// serveFloor answers every claim with a coupon out of thin air: what binding
// and answering cost with nothing in between.
func serveFloor(addr string) error {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	now := models.Instant(time.Now())
	router.GET("/readyz", func(c *gin.Context) { c.Status(http.StatusOK) })
	router.POST("/v1/claims", func(c *gin.Context) {
		var claim struct {
			TemplateID models.ID `json:"template_id"`
			UserID     string    `json:"user_id"`
		}
		if err := c.ShouldBindJSON(&claim); err != nil {
			c.Status(http.StatusUnprocessableEntity)
			return
		}
		c.JSON(http.StatusCreated, models.Coupon{
			ID: claim.TemplateID + 1, Code: "0123456789ABC", TemplateID: claim.TemplateID, RuleVersion: 1,
			UserID: claim.UserID, Status: models.CouponAvailable, IssueNo: 123_456,
			ValidFrom: now, ExpiresAt: now.AddDate(0, 0, 31), ClaimedAt: now,
		})
	})
	server := &http.Server{Addr: addr, Handler: router, ReadHeaderTimeout: time.Minute}
	return server.ListenAndServe()
}

func startFloor(b *testing.B) *enginetest.Server {
	b.Helper()
	return enginetest.Program(b, os.Args[0], func(addr string) []string { return []string{floorEnv + "=" + addr} })
}

func startServer(b *testing.B, dsn, redis string) *enginetest.Server {
	b.Helper()
	dir := b.TempDir()
	return enginetest.Program(b, build(b), func(addr string) []string {
		return []string{
			"SCRIP_HTTP_ADDR=" + addr, "SCRIP_MYSQL_DSN=" + dsn, "SCRIP_REDIS_ADDRS=" + redis,
			"SCRIP_AUTH_BOOTSTRAP_KEY=" + apiKey, "SCRIP_LIMITS_ENABLED=false", "SCRIP_DATA_DIR=" + dir,
		}
	})
}

func runToEnd(b *testing.B, program string, args ...string) {
	b.Helper()
	if out, err := exec.CommandContext(b.Context(), program, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
}
