package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"scrip/enginetest"
	"scrip/spectest"
)

// binary is the program under test, built once by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scrip-e2e-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "scrip")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "scrip").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v\n%s", err, out))
	}
	return enginetest.Main(m).Run()
}

const (
	platformKey = "sk_e2e_platform_0123456789abcdef"
	jwtSecret   = "e2e secret, which is long enough for HS256"
)

// site is a Scrip of one or more servers over the same stores.
type site struct {
	servers []*enginetest.Server
	env     []string // without the address
	http    *http.Client
	checker *spectest.Checker
	redis   *enginetest.Server // nil on the embedded default
}

// onBoth runs a test on one server with the embedded default, and on two with
// MariaDB and Redis.
func onBoth(t *testing.T, test func(t *testing.T, s *site), env ...string) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, embedded(t, env...))
	})
	t.Run("engines", func(t *testing.T) {
		t.Parallel()
		test(t, engines(t, 2, env...))
	})
}

func embedded(t *testing.T, env ...string) *site {
	t.Helper()
	return newSite(t, 1, append(env, "SCRIP_DATA_DIR="+t.TempDir())...)
}

func engines(t *testing.T, servers int, env ...string) *site {
	t.Helper()
	redis := enginetest.Redis(t)
	s := newSite(t, servers, append(env, "SCRIP_MYSQL_DSN="+enginetest.MySQLDSN(t), "SCRIP_REDIS_ADDRS="+redis.Addr())...)
	s.redis = redis
	return s
}

func newSite(t *testing.T, servers int, env ...string) *site {
	t.Helper()
	return newSiteOf(t, binary, servers, env...)
}

// document is openapi.yaml, which takes longer to read than a server to start.
var document struct {
	once    sync.Once
	checker *spectest.Checker
}

func described(t *testing.T) *spectest.Checker {
	t.Helper()
	document.once.Do(func() { document.checker = spectest.Load(t, "../openapi.yaml") })
	if document.checker == nil {
		t.Fatal("openapi.yaml is not valid, as another test has told")
	}
	return document.checker
}

// newSiteOf starts another program than the ordinary one.
func newSiteOf(t *testing.T, program string, servers int, env ...string) *site {
	t.Helper()
	// A test is right on a machine that is slow or has better to do, too: what
	// deadlines are for is tested where it is meant.
	patient := []string{ // env may say otherwise
		"SCRIP_CLAIMS_TIMEOUT=4s", "SCRIP_LIMITS_ENABLED=false",
		// Go's client keeps connections that it has not used yet, and does not try
		// again on one that the server gave up meanwhile.
		"SCRIP_HTTP_READ_HEADER_TIMEOUT=1m",
	}
	s := &site{env: append(append(patient, env...), "SCRIP_AUTH_BOOTSTRAP_KEY="+platformKey, "SCRIP_AUTH_JWT_SECRET="+jwtSecret)}
	for range servers {
		s.servers = append(s.servers, enginetest.Program(t, program, func(addr string) []string {
			return append([]string{"SCRIP_HTTP_ADDR=" + addr}, s.env...)
		}))
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 512}
	t.Cleanup(transport.CloseIdleConnections)
	s.checker = described(t)
	s.http = &http.Client{Transport: s.checker.RoundTripper(t, transport)}
	return s
}

// command runs scrip with a command on the site's stores.
func (s *site) command(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, s.env...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// consistent fails the test unless scrip check is content.
func (s *site) consistent(t *testing.T) {
	t.Helper()
	if out, code := s.command(t, "check"); code != 0 {
		t.Errorf("scrip check ended with %d:\n%s", code, out)
	}
}

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (a answer) field(name string) string { return fmt.Sprint(a.body[name]) }

// request is one question; as is the credential.
type request struct {
	method, path, as string
	body             any
	header           map[string]string
	server           int
}

func (s *site) do(t *testing.T, r request) answer {
	t.Helper()
	got, err := s.try(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (s *site) try(ctx context.Context, r request) (answer, error) {
	var body io.Reader = http.NoBody
	if file, ok := r.body.(file); ok {
		body = strings.NewReader(string(file))
	} else if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return answer{}, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, s.servers[r.server].DSN("")+"/v1"+r.path, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+r.as)
	if _, ok := r.body.(file); ok {
		req.Header.Set("Content-Type", "text/csv")
	} else if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	got := answer{status: resp.StatusCode, header: resp.Header, text: string(text)}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		err = json.Unmarshal(text, &got.body)
	}
	return got, err
}

// want sends a request and demands the status, and of a refusal the code.
func (s *site) want(t *testing.T, status int, code string, r request) answer {
	t.Helper()
	got := s.do(t, r)
	if got.status != status || code != "" && got.field("code") != code {
		t.Fatalf("%s %s: got %d %s, want %d %s", r.method, r.path, got.status, got.text, status, code)
	}
	return got
}

// file is a body that is not JSON; CSV, unless its request says otherwise.
type file string

// metrics is what the first server tells of itself.
func (s *site) metrics(t *testing.T) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.servers[0].DSN("")+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// object is a JSON object.
type object = map[string]any

func post(path, as string, body any) request {
	return request{method: http.MethodPost, path: path, as: as, body: body}
}

func get(path, as string) request { return request{method: http.MethodGet, path: path, as: as} }

func (r request) with(name, value string) request {
	header := map[string]string{name: value}
	for k, v := range r.header {
		header[k] = v
	}
	r.header = header
	return r
}

func (r request) on(server int) request {
	r.server = server
	return r
}

// sale makes and publishes a template, and returns its id.
func (s *site) sale(t *testing.T, as string, spec object) string {
	t.Helper()
	rule := s.want(t, http.StatusCreated, "", post("/rules", as, object{
		"name": "5 off from 30", "kind": "amount_off", "effect": object{"amount_off": 500, "currency": "USD"},
		"conditions": object{"min_amount": 3000},
	}))
	template := object{
		"name": "sale", "rule_id": rule.body["id"], "currency": "USD", "stock": nil,
		"validity": object{"days_after_claim": 30},
	}
	for name, value := range spec {
		template[name] = value
	}
	id := s.want(t, http.StatusCreated, "", post("/templates", as, template)).field("id")
	s.want(t, http.StatusOK, "", post("/templates/"+id+"/publish", as, nil))
	return id
}

// user is the credential of an end user.
func (s *site) user(t *testing.T, name string, tags ...string) string {
	t.Helper()
	args := []string{"token", "--user", name}
	for _, tag := range tags {
		args = append(args, "--tag", tag)
	}
	token, code := s.command(t, args...)
	if code != 0 {
		t.Fatal(token)
	}
	return token[:len(token)-1]
}

func claim(template, user string) object { return object{"template_id": template, "user_id": user} }
