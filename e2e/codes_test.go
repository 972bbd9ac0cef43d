package e2e

import (
	"bufio"
	"encoding/csv"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var manyCodes = flag.Int("codes", 120_000, "codes that a job makes while its servers are killed; 1000000 is what it is measured by")

// exported are the template's codes, as its owner is shown them.
func (s *site) exported(t *testing.T, as, template string) []string {
	t.Helper()
	got := s.want(t, http.StatusOK, "", get("/templates/"+template+"/codes.csv", as))
	rows, err := csv.NewReader(strings.NewReader(got.text)).ReadAll()
	if err != nil || len(rows) == 0 || len(rows[0]) != 1 || rows[0][0] != "code" {
		t.Fatalf("no column of codes: %v", err)
	}
	codes := make([]string, 0, len(rows))
	for _, row := range rows[1:] {
		codes = append(codes, row[0])
	}
	return codes
}

// ended waits for the job's end, and demands that it is done.
func (s *site) ended(t *testing.T, job string) {
	t.Helper()
	for {
		got := s.want(t, http.StatusOK, "", get("/jobs/"+job, platformKey))
		switch got.field("state") {
		case "done":
			return
		case "queued", "running":
			wait(t.Context(), 100*time.Millisecond)
		default:
			t.Fatalf("the job came to nothing: %s", got.text)
		}
	}
}

func byCode(code, user string) object { return object{"code": code, "user_id": user} }

func TestFromCodeToCoupon(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		last := len(s.servers) - 1
		key := func(id string) string {
			return s.want(t, http.StatusCreated, "", post("/api_keys", platformKey, object{"role": "merchant", "merchant_id": id})).field("key")
		}
		shop, other := key("shop"), key("other")
		id := s.sale(t, shop, object{"issue": "code", "stock": 3})
		codesOf := "/templates/" + id + "/codes"

		ask := post(codesOf, shop, object{"count": 5, "prefix": "oil-"}).with("Idempotency-Key", "batch")
		job := s.want(t, http.StatusAccepted, "", ask)
		if again := s.want(t, http.StatusAccepted, "", ask.on(last)); again.text != job.text {
			t.Errorf("asked again, another job: %s", again.text)
		}
		s.ended(t, job.field("id"))
		s.want(t, http.StatusCreated, "", post(codesOf, shop, object{"code": "Black Friday", "usage_limit": 2}))
		s.want(t, http.StatusUnprocessableEntity, "duplicate", post(codesOf, shop, object{"code": "b1ack-fr1day", "usage_limit": 2}))
		s.want(t, http.StatusUnprocessableEntity, "invalid", post(codesOf, shop, object{"count": 1000, "length": 6}))
		s.want(t, http.StatusNotFound, "", get(codesOf+".csv", other))
		codes := s.exported(t, shop, id)
		if len(codes) != 6 || codes[5] != "Black Friday" || !strings.HasPrefix(codes[0], "oil-") {
			t.Fatalf("exported: %q", codes)
		}

		ann := s.user(t, "ann")
		typed := strings.ToLower(strings.NewReplacer("0", "O", "1", "l", "-", " - ").Replace(codes[0]))
		first := s.want(t, http.StatusCreated, "", post("/claims", ann, object{"code": typed}))
		for range 2 {
			again := s.want(t, http.StatusConflict, "already_claimed", post("/claims", ann, object{"code": codes[0]}).on(last))
			if !strings.Contains(again.text, `"coupon_ids":["`+first.field("id")+`"]`) {
				t.Errorf("got %s", again.text)
			}
		}
		s.want(t, http.StatusConflict, "code_invalid", post("/claims", platformKey, byCode(codes[0], "bob")).on(last))
		s.want(t, http.StatusConflict, "code_invalid", post("/claims", other, byCode(codes[1], "bob")))
		s.want(t, http.StatusConflict, "not_eligible", post("/claims", platformKey, claim(id, "bob")))
		s.want(t, http.StatusCreated, "", post("/claims", shop, byCode(codes[1], "bob")))
		s.want(t, http.StatusCreated, "", post("/claims", shop, byCode("BLACKFRIDAY", "cid")).on(last))
		s.want(t, http.StatusConflict, "sold_out", post("/claims", shop, byCode("black friday", "dan")))
		s.want(t, http.StatusOK, "", post("/templates/"+id+"/pause", shop, nil))
		s.want(t, http.StatusConflict, "paused", post("/claims", shop, byCode(codes[2], "dan")))
		s.want(t, http.StatusOK, "", post("/templates/"+id+"/end", shop, nil))
		s.want(t, http.StatusConflict, "code_invalid", post("/claims", shop, byCode(codes[2], "dan")))
		s.want(t, http.StatusConflict, "already_claimed", post("/claims", ann, object{"code": codes[0]}))
		list := s.want(t, http.StatusOK, "", get(codesOf, shop))
		if !strings.Contains(list.text, `"used":1`) || !strings.Contains(list.text, `"used":2`) || strings.Contains(list.text, "Friday") {
			t.Errorf("got %s", list.text)
		}
		s.want(t, http.StatusConflict, "wrong_state", post(codesOf, shop, object{"count": 5}))
		s.want(t, http.StatusConflict, "wrong_state", post("/templates/"+s.sale(t, shop, nil)+"/codes", shop, object{"count": 5}))
		s.consistent(t)
	})
}

func TestTenWrongCodesAMinute(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		last := len(s.servers) - 1
		id := s.sale(t, platformKey, object{"issue": "code"})
		s.want(t, http.StatusCreated, "", post("/templates/"+id+"/codes", platformKey, object{"code": "WORD", "usage_limit": 100}))
		mal := s.user(t, "mal")
		for i := range 10 {
			s.want(t, http.StatusConflict, "code_invalid", post("/claims", mal, object{"code": fmt.Sprint("guess", i)}).on(i%(last+1)))
		}
		for _, code := range []string{"guess", "WORD"} {
			got := s.want(t, http.StatusTooManyRequests, "rate_limited", post("/claims", mal, object{"code": code}).on(last))
			if seconds, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 60 {
				t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
			}
		}
		s.want(t, http.StatusTooManyRequests, "rate_limited", post("/claims", platformKey, byCode("WORD", "mal")))
		for i := range 12 { // right ones are not counted
			s.want(t, http.StatusCreated, "", post("/claims", platformKey, byCode("WORD", fmt.Sprint("user", i))))
		}
		if text := s.metrics(t); !strings.Contains(text, `scrip_wrong_codes_total{reason="unknown"}`) {
			t.Error("wrong codes are not counted in a metric")
		}
	}, "SCRIP_LIMITS_ENABLED=true")
}

func TestEachCodeServesOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		const codes, each = 40, 5
		id := s.sale(t, platformKey, object{"issue": "code"})
		s.ended(t, s.want(t, http.StatusAccepted, "", post("/templates/"+id+"/codes", platformKey, object{"count": codes})).field("id"))
		var mu sync.Mutex
		told := map[string]int{}
		var contenders sync.WaitGroup
		for i, code := range s.exported(t, platformKey, id) {
			for j := range each {
				contenders.Go(func() {
					got, err := s.try(t.Context(), post("/claims", platformKey, byCode(code, fmt.Sprintf("user%d-%d", i, j))).on(j%len(s.servers)))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					told[fmt.Sprint(got.status, " ", got.body["code"])[:len("409 code")]]++
				})
			}
		}
		contenders.Wait()
		if told["409 code"] != codes*(each-1) {
			t.Errorf("told %v", told)
		}
		if stats := s.want(t, http.StatusOK, "", get("/templates/"+id+"/stats", platformKey)); stats.field("claimed") != strconv.Itoa(codes) {
			t.Errorf("got %s", stats.text)
		}
		s.consistent(t)
	})
}

// TestCodesKilledTwiceLoseNothing kills a server with -9 in the middle of a job,
// and then another one: no code is left out and none is there twice.
func TestCodesKilledTwiceLoseNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		id := s.sale(t, platformKey, object{"issue": "code"})
		began := time.Now()
		job := s.want(t, http.StatusAccepted, "", post("/templates/"+id+"/codes", platformKey, object{"count": *manyCodes})).field("id")
		kills, most := 0, 0
		for i := range 2 {
			server := i % len(s.servers)
			for {
				got := s.want(t, http.StatusOK, "", get("/jobs/"+job, platformKey).on(server))
				done, err := strconv.Atoi(got.field("done"))
				if err != nil {
					t.Fatal(err)
				}
				if done >= *manyCodes {
					break
				}
				if done >= (i+1)**manyCodes/4 {
					most = max(most, peak(t, s.servers[server].Pid()))
					s.servers[server].Kill()
					s.servers[server].Restart()
					kills++
					break
				}
			}
		}
		if kills != 2 {
			t.Errorf("the job was through before %d of 2 kills", 2-kills)
		}
		s.ended(t, job)
		took := time.Since(began)
		codes := s.exported(t, platformKey, id)
		slices.Sort(codes)
		if n := len(slices.Compact(codes)); n != *manyCodes || len(codes) != n {
			t.Errorf("exported %d codes, %d different, of %d", len(codes), n, *manyCodes)
		}
		for _, server := range s.servers {
			most = max(most, peak(t, server.Pid()))
		}
		if most > 200<<10 {
			t.Errorf("a server used %d MiB", most>>10)
		}
		t.Logf("%d codes in %v, two kills among it, %d MiB at most", *manyCodes, took, most>>10)
		s.consistent(t)
	})
}

// peak is the most memory that a process has had, in KiB.
func peak(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("this system does not tell a process's memory")
	}
	defer func() { _ = status.Close() }()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return kib
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

func TestAWrongKeyOfTheCodesStopsEverything(t *testing.T) {
	t.Parallel()
	s := engines(t, 1) // without a key, as it is first tried out
	id := s.sale(t, platformKey, object{"issue": "code"})
	s.want(t, http.StatusCreated, "", post("/templates/"+id+"/codes", platformKey, object{"code": "WORD", "usage_limit": 100}))
	s.want(t, http.StatusCreated, "", post("/webhooks", platformKey, object{"url": "https://shop.example", "events": []string{"coupon.used"}}))
	plain := s.env
	const first, second = "SCRIP_CODES_KEY=the first key, of 32 characters or more", "SCRIP_CODES_KEY=the second key, of 32 characters or more"
	for _, start := range []struct {
		env  []string
		code int
	}{
		{nil, 0},
		{[]string{first}, 0},
		{nil, 1},
		{[]string{second}, 1},
		{[]string{second, strings.Replace(first, "KEY", "OLD_KEY", 1)}, 0},
		{[]string{first}, 1},
		{[]string{second}, 0},
	} {
		s.env = slices.Concat(plain, start.env)
		out, code := s.command(t, "check")
		if code != start.code || code != 0 && !strings.Contains(out, "codes.key: ") ||
			code == 0 && !strings.Contains(out, "ok      the secret of every webhook can be opened") {
			t.Errorf("with %v scrip check ended with %d:\n%s", start.env, code, out)
		}
	}
	s.want(t, http.StatusCreated, "", post("/claims", platformKey, byCode("word", "ann"))) // who has started goes on
}
