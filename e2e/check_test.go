package e2e

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"scrip/enginetest"
)

// TestCheckWaitsForASlowRedis, as it is after a campaign on a machine that is
// still busy: it is away only for claims, which cannot wait.
func TestCheckWaitsForASlowRedis(t *testing.T) {
	t.Parallel()
	s := engines(t, 1)
	template := s.sale(t, platformKey, object{"stock": 2})
	s.want(t, http.StatusCreated, "", post("/claims", platformKey, object{"template_id": template, "user_id": "ann"}))
	slow := enginetest.NewProxy(t, s.redis.Addr())
	slow.Judge(func(_, _ []byte) enginetest.Fate {
		<-time.After(300 * time.Millisecond) // thrice what the server itself waits
		return enginetest.Pass
	})
	behind := *s
	behind.env = append(slices.Clone(s.env), "SCRIP_REDIS_ADDRS="+slow.Addr())
	behind.consistent(t)
}
