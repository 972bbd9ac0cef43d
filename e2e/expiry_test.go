package e2e

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The long form, which make benchmarks runs, takes 100,000 over a minute.
var (
	expiring   = flag.Int("expiring", 400, "coupons that expire")
	expireOver = flag.Duration("expire-over", 4*time.Second, "how long that takes")
)

// wave is a template whose coupons all expire at one moment.
type wave struct {
	id      string
	coupons int
	end     time.Time
}

func TestCouponsExpireByTheClockWhileClaimsGoOn(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		waves := s.waves(t)
		going := s.sale(t, platformKey, nil)
		before := s.unchecked(t).claimsGoOn(t, going, "before", *expireOver/2)
		during := make(chan []time.Duration, 1)
		passed(t, waves[0].end)
		go func() { during <- s.unchecked(t).claimsGoOn(t, going, "during", *expireOver) }()
		stop := s.watchTable(t)
		for _, w := range waves {
			passed(t, w.end)
			s.allExpired(t, w)
		}
		describe(t, "claims before: ", before)
		describe(t, "claims during: ", <-during)
		s.jobCatchesUp(t)
		stop()
		s.consistent(t)
	})
}

// waves gives users coupons that expire in as many moments as there are seconds.
func (s *site) waves(t *testing.T) []wave {
	t.Helper()
	const aSecond = 1000 // claims, on a slow machine
	list := make([]wave, max(1, int(*expireOver/time.Second)))
	first := time.Now().Add(2*time.Second + *expireOver/2 + time.Duration(*expiring)*time.Second/aSecond)
	var claims []object
	for i := range list {
		w := &list[i]
		w.coupons, w.end = *expiring/len(list), first.Add(time.Duration(i)*time.Second).Truncate(time.Millisecond)
		w.id = s.sale(t, platformKey, object{"validity": object{"from": first.Add(-time.Hour), "until": w.end}})
		for n := range w.coupons {
			claims = append(claims, claim(w.id, "user"+strconv.Itoa(n)))
		}
	}
	if failed := s.unchecked(t).claimAll(t, claims, 64); failed != "" {
		t.Fatalf("not everybody got a coupon: %s", failed)
	}
	if !time.Now().Before(first) {
		t.Fatal("claiming took so long that the first have expired already")
	}
	return list
}

// unchecked is the site without a look into openapi.yaml at each answer, which
// takes longer than to make it.
func (s *site) unchecked(t *testing.T) *site {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 512}
	t.Cleanup(transport.CloseIdleConnections)
	plain := *s
	plain.http = &http.Client{Transport: transport}
	return &plain
}

// claimAll makes the claims, so many at a time, and returns what one was told
// that failed.
func (s *site) claimAll(t *testing.T, claims []object, atATime int) (failed string) {
	t.Helper()
	var mu sync.Mutex
	var callers sync.WaitGroup
	for i := range atATime {
		callers.Go(func() {
			for n := i; n < len(claims); n += atATime {
				got, err := s.try(t.Context(), post("/claims", platformKey, claims[n]).on(n%len(s.servers)))
				if err != nil || got.status != http.StatusCreated {
					mu.Lock()
					failed = fmt.Sprint(got.text, err)
					mu.Unlock()
				}
			}
		})
	}
	callers.Wait()
	return failed
}

// claimsGoOn claims at a steady pace, and returns how long each took.
func (s *site) claimsGoOn(t *testing.T, template, name string, length time.Duration) []time.Duration {
	t.Helper()
	const pace = 20 * time.Millisecond
	var mu sync.Mutex
	var took []time.Duration
	var callers sync.WaitGroup
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := range int(length / pace) {
		<-tick.C
		callers.Go(func() {
			began := time.Now()
			got, err := s.try(t.Context(), post("/claims", platformKey, claim(template, name+strconv.Itoa(n))).on(n%len(s.servers)))
			if err != nil || got.status != http.StatusCreated {
				t.Errorf("a claim was told %s %v", got.text, err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(began))
		})
	}
	callers.Wait()
	return took
}

func describe(t *testing.T, what string, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	t.Logf("%s%d, p50 %v, p99 %v, max %v", what, len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}

// passed returns when the time has come, by the server's clock too.
func passed(t *testing.T, until time.Time) {
	t.Helper()
	const skew = 20 * time.Millisecond
	select {
	case <-time.After(time.Until(until.Add(skew))):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// allExpired asks everything that knows of a wave's coupons, on every server.
func (s *site) allExpired(t *testing.T, w wave) {
	t.Helper()
	for server := range s.servers {
		stats := s.want(t, http.StatusOK, "", get("/templates/"+w.id+"/stats", platformKey).on(server))
		if stats.field("expired") != strconv.Itoa(w.coupons) || stats.field("available") != "0" {
			t.Errorf("server %d at the end of %d coupons: %s", server, w.coupons, stats.text)
		}
		for status, want := range map[string]bool{"available": false, "expired": true, "locked": false} {
			wallet := s.want(t, http.StatusOK, "",
				get("/coupons?user_id=user0&template_id="+w.id+"&status="+status, platformKey).on(server))
			if strings.Contains(wallet.text, w.id) != want {
				t.Errorf("server %d, status=%s: %s", server, status, wallet.text)
			}
		}
		list := s.want(t, http.StatusOK, "", get("/templates/"+w.id+"/coupons?limit=1", platformKey).on(server))
		if !strings.Contains(list.text, `"status":"expired"`) {
			t.Errorf("server %d: %s", server, list.text)
		}
	}
}

// jobCatchesUp waits until the servers' logs tell of every coupon.
func (s *site) jobCatchesUp(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told := regexp.MustCompile(`job=expire-coupons changed=(\d+)`)
	for {
		noted := 0
		for _, server := range s.servers {
			for _, line := range told.FindAllStringSubmatch(server.Output(), -1) {
				n, _ := strconv.Atoi(line[1]) // digits
				noted += n
			}
		}
		if noted >= *expiring-*expiring%int(*expireOver/time.Second) {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Errorf("the job has noted %d", noted)
			return
		}
	}
}

// watchTable measures how far the table is behind the time, and says so in the
// end. It looks into MariaDB only.
func (s *site) watchTable(t *testing.T) (stop func()) {
	t.Helper()
	var dsn string
	for _, v := range s.env {
		if name, value, _ := strings.Cut(v, "="); name == "SCRIP_MYSQL_DSN" {
			dsn = value
		}
	}
	if dsn == "" {
		return func() {}
	}
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	var worst time.Duration
	ctx, cancel := context.WithCancelCause(t.Context())
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for ctx.Err() == nil {
			now := time.Now()
			var oldest sql.NullInt64
			const ask = "SELECT MIN(expires_at) FROM coupons WHERE status = 'available' AND expires_at <= ?"
			if err := db.QueryRowContext(ctx, ask, now.UnixMilli()).Scan(&oldest); err == nil && oldest.Valid {
				worst = max(worst, now.Sub(time.UnixMilli(oldest.Int64)))
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	return func() {
		cancel(nil)
		watcher.Wait()
		t.Logf("the table was at most %v behind", worst)
	}
}
