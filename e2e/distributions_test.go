package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver of sql.Open

	"scrip/enginetest"
	"scrip/failpoint"
)

// finished waits until a distribution is over, and returns it.
func (s *site) finished(t *testing.T, id, as string) answer {
	t.Helper()
	for deadline := time.After(3 * time.Minute); ; {
		got := s.want(t, http.StatusOK, "", get("/distributions/"+id, as).on(len(s.servers)-1))
		switch got.field("state") {
		case "done", "failed", "cancelled":
			return got
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-deadline:
			t.Fatalf("it is not over: %s", got.text)
		}
	}
}

// users is a file of n users.
func users(n int) file {
	var csv strings.Builder
	csv.WriteString("user_id\n")
	for i := range n {
		fmt.Fprintf(&csv, "user%06d\n", i)
	}
	return file(csv.String())
}

func TestADistributionServesItsAudience(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		last := len(s.servers) - 1
		shop := s.want(t, http.StatusCreated, "", post("/api_keys", platformKey, object{"role": "merchant", "merchant_id": "shop"})).field("key")
		s.want(t, http.StatusOK, "", post("/users/import", shop, users(3000)))
		s.want(t, http.StatusOK, "", put("user000007", shop, object{"tags": []string{"vip"}}))

		all := s.sale(t, shop, object{"issue": "distribution", "stock": 2999})
		s.want(t, http.StatusConflict, "not_eligible", post("/claims", shop, claim(all, "user000001")))
		everybody := object{"template_id": all, "audience": object{"kind": "all"}}
		made := s.want(t, http.StatusAccepted, "", post("/distributions", shop, everybody).with("Idempotency-Key", "k"))
		again := s.want(t, http.StatusAccepted, "", post("/distributions", shop, everybody).with("Idempotency-Key", "k").on(last))
		if again.text != made.text || made.field("kind") != "distribution" {
			t.Errorf("got %s, and again %s", made.text, again.text)
		}
		over := s.finished(t, made.field("id"), shop)
		if over.field("state") != "done" || over.field("done") != "3000" || over.field("total") != "3000" || over.field("failed") != "1" {
			t.Errorf("got %s", over.text)
		}
		failures := s.want(t, http.StatusOK, "", get("/distributions/"+made.field("id")+"/failures.csv", shop))
		if strings.Count(failures.text, "\n") != 2 || !strings.Contains(failures.text, ",sold_out,") {
			t.Errorf("got %s", failures.text)
		}
		s.want(t, http.StatusOK, "", get("/jobs/"+made.field("id"), shop))
		s.packToATag(t, shop)
		s.settled(t)
	})
}

// packToATag distributes a pack of a template that one of its users has already.
func (s *site) packToATag(t *testing.T, shop string) {
	t.Helper()
	last := len(s.servers) - 1
	a, b := s.sale(t, shop, nil), s.sale(t, shop, nil)
	s.want(t, http.StatusOK, "", put("user000008", shop, object{"tags": []string{"vip"}}))
	s.want(t, http.StatusCreated, "", post("/claims", shop, claim(b, "user000008")))
	pack := s.want(t, http.StatusAccepted, "", post("/distributions", shop,
		object{"pack_id": s.pack(t, shop, a, b), "audience": object{"kind": "tags", "tags": []string{"vip", "none"}}})).field("id")
	if over := s.finished(t, pack, shop); over.field("done") != "2" || over.field("failed") != "1" {
		t.Errorf("got %s", over.text)
	}
	s.want(t, http.StatusConflict, "already_claimed", post("/claims", shop, claim(a, "user000007")).on(last))
	s.want(t, http.StatusCreated, "", post("/claims", shop, claim(a, "user000008")).on(last))
	other := s.want(t, http.StatusCreated, "", post("/api_keys", platformKey, object{"role": "merchant", "merchant_id": "other"})).field("key")
	s.want(t, http.StatusNotFound, "", get("/distributions/"+pack, other))
	s.want(t, http.StatusNotFound, "", get("/distributions/"+pack+"/failures.csv", other))
}

func TestAPausedDistributionGivesNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		id := s.sale(t, platformKey, nil)
		made := s.want(t, http.StatusAccepted, "", post("/distributions/import?rate=200&template_id="+id, platformKey, users(2000))).field("id")
		claimed := func() string {
			return s.want(t, http.StatusOK, "", get("/templates/"+id, platformKey)).field("claimed")
		}
		until := func(moved func() bool) {
			for deadline := time.Now().Add(time.Minute); !moved(); {
				if wait(t.Context(), 50*time.Millisecond); time.Now().After(deadline) {
					t.Fatal("nothing is given")
				}
			}
		}
		still := func(since string) {
			before := claimed()
			wait(t.Context(), 1500*time.Millisecond)
			if after := claimed(); after != before || after == "2000" {
				t.Errorf("claimed were %s, and %s a while after %s", before, after, since)
			}
		}
		until(func() bool { return claimed() != "0" })
		s.want(t, http.StatusOK, "", post("/distributions/"+made+"/pause", platformKey, nil))
		still("the pause")
		before := claimed()
		s.want(t, http.StatusOK, "", post("/distributions/"+made+"/resume", platformKey, nil))
		until(func() bool { return claimed() != before })
		s.want(t, http.StatusOK, "", post("/distributions/"+made+"/cancel", platformKey, nil))
		still("the end")
		s.want(t, http.StatusConflict, "wrong_state", post("/distributions/"+made+"/resume", platformKey, nil))
		s.settled(t)
	})
}

// armed is scrip with failpoints, built once.
var armed = sync.OnceValues(func() (string, error) {
	program := filepath.Join(filepath.Dir(binary), "scrip-armed")
	out, err := exec.CommandContext(context.Background(), "go", "build", "-tags", "failpoint", "-o", program, "scrip").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return program, err
})

const poisonedUser = "user004321"

// poison has the database refuse one user's coupons.
func (s *site) poison(t *testing.T) {
	t.Helper()
	var driver, source, statement string
	for _, pair := range s.env {
		name, value, _ := strings.Cut(pair, "=")
		switch name {
		case "SCRIP_DATA_DIR":
			driver, source = "sqlite", "file:"+filepath.Join(value, "scrip.db")+"?_pragma=busy_timeout(10000)"
			statement = "CREATE TRIGGER poison BEFORE INSERT ON coupons WHEN NEW.user_id = '" + poisonedUser +
				"' BEGIN SELECT RAISE(ABORT, 'poison'); END"
		case "SCRIP_MYSQL_DSN":
			driver, source = "mysql", value
			statement = "CREATE TRIGGER poison BEFORE INSERT ON coupons FOR EACH ROW BEGIN IF NEW.user_id = '" + poisonedUser +
				"' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'poison'; END IF; END"
		}
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// TestAPoisonedDistributionLosesNothing: 10,000 users, of whom one cannot be
// stored, and a server that dies at each step of a task.
func TestAPoisonedDistributionLosesNothing(t *testing.T) {
	t.Parallel()
	for name, stores := range map[string]func(t *testing.T) []string{
		"embedded": func(t *testing.T) []string { t.Helper(); return []string{"SCRIP_DATA_DIR=" + t.TempDir()} },
		"engines": func(t *testing.T) []string {
			t.Helper()
			return []string{"SCRIP_MYSQL_DSN=" + enginetest.MySQLDSN(t), "SCRIP_REDIS_ADDRS=" + enginetest.Redis(t).Addr()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program, err := armed()
			if err != nil {
				t.Fatal(err)
			}
			poisonedDistribution(t, program, stores(t))
		})
	}
}

func poisonedDistribution(t *testing.T, program string, stores []string) {
	t.Helper()
	var plan []string
	for _, step := range []failpoint.Step{failpoint.TaskLeased, failpoint.TaskWritten, failpoint.TaskCommitted, failpoint.TaskTold} {
		plan = append(plan, string(step)+":2")
	}
	deaths := filepath.Join(t.TempDir(), "deaths")
	s := newSiteOf(t, program, 1, append(stores, "FAILPOINT="+strings.Join(plan, ","), "FAILPOINT_FIRED="+deaths)...)
	s.poison(t)
	id := s.sale(t, platformKey, nil)
	made := s.want(t, http.StatusAccepted, "", post("/distributions/import?template_id="+id, platformKey, users(10_000))).field("id")
	for deadline, died := time.Now().Add(2*time.Minute), 0; died < len(plan); {
		if syscall.Kill(s.servers[0].Pid(), 0) != nil {
			s.servers[0].Restart()
			died++
		}
		if wait(t.Context(), 20*time.Millisecond); time.Now().After(deadline) {
			t.Fatalf("only %d of %d died", died, len(plan))
		}
	}
	over := s.finished(t, made, platformKey)
	if over.field("state") != "done" || over.field("done") != "10000" || over.field("failed") != "1" {
		t.Errorf("got %s", over.text)
	}
	if got := s.want(t, http.StatusOK, "", get("/templates/"+id, platformKey)).field("claimed"); got != "9999" {
		t.Errorf("claimed are %s", got)
	}
	failures := s.want(t, http.StatusOK, "", get("/distributions/"+made+"/failures.csv", platformKey))
	if !strings.HasPrefix(failures.text, "user_id,code,detail\n"+poisonedUser+",internal,") || strings.Count(failures.text, "\n") != 2 {
		t.Errorf("got %s", failures.text)
	}
	if text, err := os.ReadFile(deaths); err != nil || strings.Count(string(text), "task.") != len(plan) {
		t.Errorf("they died of %q, %v", text, err)
	}
	s.settled(t)
}
