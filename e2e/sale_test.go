package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver of sql.Open

	"scrip/enginetest"
)

func TestTwoServersSell100CouponsTo500(t *testing.T) {
	t.Parallel()
	s := engines(t, 2)
	id := s.sale(t, platformKey, object{"stock": 100})
	var mu sync.Mutex
	told := map[string]int{}
	numbers := map[string]bool{}
	var contenders sync.WaitGroup
	for i := range 500 {
		contenders.Go(func() {
			got, err := s.try(t.Context(), post("/claims", platformKey, claim(id, fmt.Sprint("user", i))).on(i%2))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			told[fmt.Sprint(got.status, " ", got.body["code"])]++
			if got.status == http.StatusCreated {
				numbers[got.field("issue_no")] = true
			}
		})
	}
	contenders.Wait()
	if len(numbers) != 100 || told["409 sold_out"] != 400 {
		t.Errorf("sold %d of 100: %v", len(numbers), told)
	}
	s.consistent(t)
}

func TestTermAnswersWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		id := s.sale(t, platformKey, nil)
		var mu sync.Mutex
		var granted []string
		var contenders sync.WaitGroup
		for i := range 300 {
			contenders.Go(func() {
				got, err := s.try(t.Context(), post("/claims", platformKey, claim(id, fmt.Sprint("user", i))))
				mu.Lock()
				defer mu.Unlock()
				if err == nil && got.status == http.StatusCreated {
					granted = append(granted, got.field("id"))
				}
			})
		}
		if code := s.servers[0].Term(); code != 0 {
			t.Errorf("it ended with %d:\n%s", code, s.servers[0].Output())
		}
		contenders.Wait()
		s.servers[0].Restart()
		for _, coupon := range granted {
			s.want(t, http.StatusOK, "", get("/coupons/"+coupon, platformKey))
		}
		s.consistent(t)
	})
}

func TestTheFirstStartShowsWhatToTry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := enginetest.Program(t, binary, func(addr string) []string {
		return []string{"SCRIP_HTTP_ADDR=" + addr, "SCRIP_DATA_DIR=" + dir}
	})
	var lines []string
	for _, line := range strings.Split(server.Output(), "\n") {
		if strings.Contains(line, "curl -s") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 3 {
		t.Fatalf("%d lines to try:\n%s", len(lines), server.Output())
	}
	out, err := exec.CommandContext(t.Context(), "bash", "-c", strings.Join(lines, "\n")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"status":"available"`) || !strings.Contains(string(out), `"issue_no":1`) {
		t.Errorf("%v: %s", err, out)
	}
	if strings.Count(server.Output(), "sk_") < 4 {
		t.Error("no key was shown")
	}
	server.Restart()
	if again := server.Output()[len(server.Output())-len(server.Output())/3:]; strings.Contains(again, "first platform key") {
		t.Error("the key is shown a second time")
	}
}

func TestABadConfigurationIsToldInFull(t *testing.T) {
	t.Parallel()
	s := &site{env: []string{"SCRIP_HTTP_ADDR=nowhere", "SCRIP_CLAIMS_MAX_BATCH=many", "SCRIP_LOG_LEVEL=loud", "SCRIP_MYSQL_DSN=("}}
	out, code := s.command(t, "serve")
	if code != 1 {
		t.Errorf("it ended with %d", code)
	}
	for _, key := range []string{"http.addr", "claims.max_batch", "log.level", "mysql.dsn"} {
		if !strings.Contains(out, key) {
			t.Errorf("%s is not in:\n%s", key, out)
		}
	}
}
