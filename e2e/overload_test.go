package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"scrip/bench/wire"
	"scrip/enginetest"
)

// These are the fault table's row "pools exhausted, retry storm, slow clients,
// 1 MiB of nested JSON". They assert what holds however slow the machine is: which
// answers are given, that nothing is lost, that the server serves on. How fast
// that was they only print, for the load shares the machine with the server.
var overloadFor = flag.Duration("overload", time.Second, "how long each overload lasts; 10s gives numbers worth reading")

// caller sends ready-made requests over one connection and counts the answers.
type caller struct {
	ctx  context.Context // the test's: what has been sent is waited for
	conn *wire.Conn
}

const callTimeout = 20 * time.Second

func (s *site) caller(t *testing.T) *caller {
	t.Helper()
	target, err := wire.NewTarget(s.servers[0].DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	return &caller{ctx: t.Context(), conn: wire.NewConn(target, callTimeout)}
}

// whole is a whole request.
func whole(method, path, body string) []byte {
	return []byte(method + " /v1" + path + " HTTP/1.1\r\nHost: scrip\r\nAuthorization: Bearer " + platformKey +
		"\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// call returns status and code as in "503 busy".
func (c *caller) call(request []byte) (string, wire.Answer, error) {
	got, err := c.conn.Do(c.ctx, request)
	if err != nil {
		return "", got, err
	}
	told := strconv.Itoa(got.Status)
	if got.Status >= http.StatusBadRequest {
		var problem struct {
			Code string `json:"code"`
		}
		if err := json.Unmarshal(got.Body, &problem); err != nil {
			return "", got, fmt.Errorf("%s: %w", got.Body, err)
		}
		told += " " + problem.Code
		if got.Status == http.StatusServiceUnavailable && got.Header.Get("Retry-After") == "" {
			return "", got, errors.New("a 503 without Retry-After")
		}
	}
	return told, got, nil
}

// told counts answers. It is safe for concurrent use.
type told struct {
	mu    sync.Mutex
	count map[string]int
}

func (n *told) add(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.count == nil {
		n.count = map[string]int{}
	}
	n.count[what]++
}

// only fails the test for any answer that is not among those allowed.
func (n *told) only(t *testing.T, allowed ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	known := " " + strings.Join(allowed, ", ") + ", "
	for what, times := range n.count {
		if !strings.Contains(known, " "+what+", ") {
			t.Errorf("%d times %s", times, what)
		}
	}
}

// others are callers who have nothing to do with the overload, and go on in
// their own time: claims of another template, wallets, quotes.
type others struct {
	told
	began  time.Time
	stop   chan struct{}
	done   sync.WaitGroup
	phases []*hdrhistogram.Histogram // one for each second, in microseconds
}

const (
	otherCallers = 8
	otherPause   = 40 * time.Millisecond // of each: 200 requests a second
)

func (s *site) others(t *testing.T) *others {
	t.Helper()
	o := &others{began: time.Now(), stop: make(chan struct{})}
	template := s.sale(t, platformKey, nil)
	for i := range otherCallers {
		c := s.caller(t)
		o.done.Go(func() {
			defer c.conn.Close()
			o.live(c, template, i)
		})
	}
	return o
}

func (o *others) live(c *caller, template string, who int) {
	const cart = `{"cart":{"user_id":"other","currency":"USD","lines":[{"line_id":"1","sku":"a","quantity":2,"unit_price":2000}]}}`
	tick := time.NewTicker(otherPause)
	defer tick.Stop()
	for n := 0; ; n++ {
		var intended time.Time
		select {
		case intended = <-tick.C:
		case <-o.stop:
			return
		}
		method, path, body := http.MethodPost, "/checkout/quote", cart
		switch n % 3 {
		case 0:
			path, body = "/claims", fmt.Sprintf(`{"template_id":%q,"user_id":"other%d-%d"}`, template, who, n)
		case 1:
			method, path, body = http.MethodGet, "/coupons?user_id=other0-0", ""
		}
		what, _, err := c.call(whole(method, path, body))
		if err != nil {
			what = err.Error()
		}
		o.add(what)
		o.took(intended)
	}
}

func (o *others) took(intended time.Time) {
	second := int(intended.Sub(o.began) / time.Second)
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.phases) <= second {
		o.phases = append(o.phases, hdrhistogram.New(1, (2*callTimeout).Microseconds(), 3))
	}
	_ = o.phases[second].RecordValue(time.Since(intended).Microseconds())
}

// p99 is over the seconds from…until since the others began.
func (o *others) p99(from, until time.Duration) time.Duration {
	until = max(until, from+time.Second)
	o.mu.Lock()
	defer o.mu.Unlock()
	all := hdrhistogram.New(1, (2 * callTimeout).Microseconds(), 3)
	for i := int(from / time.Second); i < min(len(o.phases), int((until+time.Second-1)/time.Second)); i++ {
		all.Merge(o.phases[i])
	}
	return time.Duration(all.ValueAtQuantile(99)) * time.Microsecond
}

// during runs do amid the others, prints how they fared, and demands that none
// of them was told anything but what an overload may tell.
func (s *site) during(t *testing.T, do func(ctx context.Context)) {
	t.Helper()
	o := s.others(t)
	quiet := min(*overloadFor, 6*time.Second)
	wait(t.Context(), quiet)
	began := time.Since(o.began)
	ctx, cancel := context.WithTimeout(t.Context(), *overloadFor)
	defer cancel()
	do(ctx)
	ended := time.Since(o.began)
	wait(t.Context(), quiet)
	close(o.stop)
	o.done.Wait()
	before, end := began.Truncate(time.Second), ended.Truncate(time.Second)
	var after []time.Duration
	for at := end + time.Second; at < ended+quiet; at += time.Second {
		after = append(after, o.p99(at, at+time.Second))
	}
	t.Logf("p99 of the others: before %v, during %v, after, by the second, %v", o.p99(0, before), o.p99(before+time.Second, end), after)
	t.Log("the others were told", o.count)
	o.only(t, "200", "201", "503 busy", "503 outcome_unknown")
	s.servesOn(t)
}

// crowd has so many callers do one thing after the other until ctx ends.
func (s *site) crowd(t *testing.T, ctx context.Context, callers int, do func(c *caller, who, n int)) { //nolint:revive // t comes first in a test's helpers
	t.Helper()
	var all sync.WaitGroup
	for who := range callers {
		c := s.caller(t)
		all.Go(func() {
			defer c.conn.Close()
			for n := 0; ctx.Err() == nil; n++ {
				do(c, who, n)
			}
		})
	}
	all.Wait()
}

// servesOn demands that the server lives and grants a claim, and that all it
// has granted is as it should be.
func (s *site) servesOn(t *testing.T) {
	t.Helper()
	alive, err := s.http.Get(s.servers[0].DSN("") + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = alive.Body.Close() }()
	if alive.StatusCode != http.StatusOK {
		t.Errorf("healthz says %s", alive.Status)
	}
	s.granted(t, s.sale(t, platformKey, nil), "afterwards")
	s.settled(t)
}

// granted claims a coupon, again while the server is busy: half a second is not
// long for a machine that has better to do.
func (s *site) granted(t *testing.T, template, user string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; wait(t.Context(), 100*time.Millisecond) {
		got := s.do(t, post("/claims", platformKey, claim(template, user)).with("Idempotency-Key", template+user))
		if got.status == http.StatusCreated {
			return
		}
		if got.status != http.StatusServiceUnavailable || time.Now().After(deadline) {
			t.Fatalf("a claim: %d %s", got.status, got.text)
		}
	}
}

// withDefaults is a server whose deadlines are those of every other.
func withDefaults(t *testing.T, env ...string) *site {
	t.Helper()
	return newSite(t, 1, append(env, "SCRIP_CLAIMS_TIMEOUT=500ms", "SCRIP_HTTP_READ_HEADER_TIMEOUT=5s")...)
}

func onBothWithDefaults(t *testing.T, test func(t *testing.T, s *site)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		test(t, withDefaults(t, "SCRIP_DATA_DIR="+t.TempDir()))
	})
	t.Run("engines", func(t *testing.T) {
		test(t, withDefaults(t, "SCRIP_MYSQL_DSN="+enginetest.MySQLDSN(t), "SCRIP_REDIS_ADDRS="+enginetest.Redis(t).Addr()))
	})
}

// TestARetryStormLosesNothing is ten times the callers that the server is used
// to, who neither think nor wait: whoever is sent away is back at once.
func TestARetryStormLosesNothing(t *testing.T) { //nolint:paralleltest // it takes the whole machine
	onBothWithDefaults(t, func(t *testing.T, s *site) {
		template := s.sale(t, platformKey, nil)
		var storm told
		var granted atomic.Int64
		s.during(t, func(ctx context.Context) {
			s.crowd(t, ctx, 640, func(c *caller, who, n int) {
				body := fmt.Sprintf(`{"template_id":%q,"user_id":"storm%d-%d"}`, template, who, n)
				for status := http.StatusServiceUnavailable; status == http.StatusServiceUnavailable && ctx.Err() == nil; {
					what, got, err := c.call(whole(http.MethodPost, "/claims", body))
					if err != nil {
						what = err.Error()
					}
					storm.add(what)
					if status = got.Status; status == http.StatusCreated {
						granted.Add(1)
					}
				}
			})
		})
		t.Log("the storm was told", storm.count)
		storm.only(t, "201", "503 busy", "503 outcome_unknown", "409 already_claimed")
		stats := s.want(t, http.StatusOK, "", get("/templates/"+template+"/stats", platformKey))
		claimed, err := strconv.ParseInt(stats.field("claimed"), 10, 64)
		maybe := int64(storm.count["503 outcome_unknown"])
		if err != nil || claimed < granted.Load() || claimed > granted.Load()+maybe {
			t.Errorf("%d claims were granted and %d may be, %s are there (%v)", granted.Load(), maybe, stats.field("claimed"), err)
		}
	})
}

func TestReadersWhoTakeAllConnectionsKeepNobodyFromClaiming(t *testing.T) { //nolint:paralleltest // it takes the whole machine
	onBothWithDefaults(t, func(t *testing.T, s *site) {
		template := s.sale(t, platformKey, nil)
		for i := range 300 {
			s.granted(t, template, fmt.Sprint("user", i))
		}
		paths := []string{"/templates/" + template + "/stats", "/templates/" + template + "/coupons?limit=200"}
		var readers told
		s.during(t, func(ctx context.Context) {
			s.crowd(t, ctx, 640, func(c *caller, who, _ int) {
				what, _, err := c.call(whole(http.MethodGet, paths[who%len(paths)], ""))
				if err != nil {
					what = err.Error()
				}
				readers.add(what)
			})
		})
		t.Log("the readers were told", readers.count)
		readers.only(t, "200", "503 busy")
	})
}

// nested is a body of so many bytes, all of it brackets.
func nested(size int) string {
	open := strings.Repeat("[", (size-len(`{"a":}`))/2)
	return `{"a":` + open + strings.Repeat("]", len(open)) + "}"
}

func TestGiantAndNestedBodiesHarmNobody(t *testing.T) { //nolint:paralleltest // it takes the whole machine
	s := withDefaults(t, "SCRIP_DATA_DIR="+t.TempDir())
	const limit = 1 << 20
	bodies := []string{nested(limit), nested(limit + 2), `{"a":"` + strings.Repeat("x", 8*limit) + `"}`}
	var requests [][]byte
	for _, path := range []string{"/rules", "/claims", "/checkout/quote", "/locks"} {
		for _, body := range bodies {
			requests = append(requests, whole(http.MethodPost, path, body))
		}
	}
	var senders told
	s.during(t, func(ctx context.Context) {
		s.crowd(t, ctx, 64, func(c *caller, who, _ int) {
			what, _, err := c.call(requests[who%len(requests)])
			if err != nil {
				what = "cut off" // a server need not read what it has refused
			}
			senders.add(what)
		})
	})
	t.Log("the senders were told", senders.count)
	senders.only(t, "400 bad_json", "413 too_large", "422 unknown_field", "503 busy", "cut off")
}

func TestSlowClientsHarmNobody(t *testing.T) { //nolint:paralleltest // it takes the whole machine
	s := withDefaults(t, "SCRIP_DATA_DIR="+t.TempDir())
	heads := []string{
		"POST /v1/claims HTTP/1.1\r\nHost: scrip\r\nX-Slow: ", // never ends its headers
		"POST /v1/claims HTTP/1.1\r\nHost: scrip\r\nAuthorization: Bearer " + platformKey +
			"\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{", // nor its body
	}
	s.during(t, func(ctx context.Context) {
		var callers sync.WaitGroup
		for i := range 500 {
			callers.Go(func() {
				if err := drip(ctx, s.servers[0].Addr(), heads[i%len(heads)]); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
	})
}

// drip sends a byte every now and then, until the server or the test has had
// enough.
func drip(ctx context.Context, addr, head string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, broken := io.WriteString(conn, head)
	for broken == nil && ctx.Err() == nil {
		wait(ctx, 100*time.Millisecond)
		_, broken = io.WriteString(conn, " ")
	}
	return nil
}

// settled waits until scrip check is content: what is unknown is settled within
// ten seconds.
func (s *site) settled(t *testing.T) {
	t.Helper()
	var out string
	var code int
	for range 6 {
		if out, code = s.command(t, "check"); code == 0 {
			return
		}
		wait(t.Context(), 3*time.Second)
	}
	t.Errorf("scrip check ended with %d:\n%s", code, out)
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
