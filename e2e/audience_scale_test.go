package e2e

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// distributed is how many users the distribution goes to that is killed in the
// middle: few enough for every day, unless make benchmarks says otherwise.
var (
	distributed = flag.Int("distributed", 20_000, "users of a distribution")
	kills       = flag.Int("kills", 2, "how often a server is killed meanwhile; 0 shows what claims beside a distribution take")
)

// TestADistributionKilledTwiceEndsExactly: a distribution to all, whose server is
// killed twice, while claims go on.
func TestADistributionKilledTwiceEndsExactly(t *testing.T) {
	t.Parallel()
	n := *distributed
	onBoth(t, func(t *testing.T, s *site) {
		got := s.want(t, http.StatusOK, "", post("/users/import", platformKey, users(n)))
		if !strings.Contains(got.text, `"imported":`+strconv.Itoa(n)+`,"failed":0,`) {
			t.Fatalf("got %.500s", got.text)
		}
		gift, sale := s.sale(t, platformKey, nil), s.sale(t, platformKey, nil)
		last := len(s.servers) - 1
		alone := s.claims(t, sale, "before", last, func(stop func()) {
			wait(t.Context(), 3*time.Second)
			stop()
		})
		began := time.Now()
		id := s.want(t, http.StatusAccepted, "", post("/distributions", platformKey,
			object{"template_id": gift, "audience": object{"kind": "all"}})).field("id")
		var memory int
		beside := s.claims(t, sale, "beside", last, func(stop func()) {
			for kill := range *kills {
				s.reached(t, gift, (kill+1)*n/(*kills+1))
				memory = max(memory, s.peak(t, 0))
				s.servers[0].Kill()
				s.servers[0].Restart()
			}
			s.finished(t, id, platformKey)
			stop()
		})
		took := time.Since(began)
		for i := range s.servers {
			memory = max(memory, s.peak(t, i))
		}
		over := s.finished(t, id, platformKey)
		if over.field("state") != "done" || over.field("failed") != "0" || claimedOf(t, s, gift) != n {
			t.Errorf("claimed are %d of %d: %s", claimedOf(t, s, gift), n, over.text)
		}
		t.Logf("%d users in %.1fs with %d kills; memory at most %d MiB; claims' p99 %s alone, %s beside",
			n, took.Seconds(), *kills, memory, alone, beside)
		if memory > 200 {
			t.Errorf("a server took %d MiB", memory)
		}
		s.settled(t)
	})
}

func claimedOf(t *testing.T, s *site, template string) int {
	t.Helper()
	last := len(s.servers) - 1
	text := s.want(t, http.StatusOK, "", get("/templates/"+template, platformKey).on(last)).text
	_, text, _ = strings.Cut(text, `"claimed":`)
	digits, _, _ := strings.Cut(text, ",")
	n, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// reached waits until so many of a template's coupons are given.
func (s *site) reached(t *testing.T, template string, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Minute); claimedOf(t, s, template) < n; wait(t.Context(), 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are not reached", n)
		}
	}
}

// claims has some users claim, one after the other, while do runs, and returns
// the 99th percentile of what that took. A server that is killed answers nobody.
func (s *site) claims(t *testing.T, template, name string, server int, do func(stop func())) time.Duration {
	t.Helper()
	s = s.unchecked(t)
	var stopped atomic.Bool
	var mu sync.Mutex
	var took []time.Duration
	var claimants sync.WaitGroup
	for c := range 4 {
		claimants.Go(func() {
			for i := 0; !stopped.Load(); i++ {
				start := time.Now()
				got, err := s.try(t.Context(), post("/claims", platformKey, claim(template, fmt.Sprint(name, c, "-", i))).on(server))
				if err == nil && got.status == http.StatusCreated {
					mu.Lock()
					took = append(took, time.Since(start))
					mu.Unlock()
				}
				wait(t.Context(), 10*time.Millisecond)
			}
		})
	}
	do(func() { stopped.Store(true) })
	claimants.Wait()
	if len(took) == 0 {
		t.Error("nobody could claim meanwhile")
		return 0
	}
	slices.Sort(took)
	return took[len(took)*99/100].Round(100 * time.Microsecond)
}

// peak is the most memory that a server has taken, in MiB; 0 where that cannot be
// told.
func (s *site) peak(t *testing.T, server int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.servers[server].Pid()))
	if err != nil {
		return 0
	}
	_, line, _ := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return 0
	}
	kib, err := strconv.Atoi(fields[0])
	if err != nil {
		return 0
	}
	return kib >> 10
}
