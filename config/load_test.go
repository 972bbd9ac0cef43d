package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

const shipped = "../config.yaml"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// others has, for every key, a value that is allowed and not the default.
func others() map[string]string {
	return map[string]string{
		"http.addr":                    "0.0.0.0:80",
		"http.read_header_timeout":     "1s",
		"http.read_timeout":            "1m0s",
		"http.write_timeout":           "1m0s",
		"http.idle_timeout":            "1m0s",
		"http.request_timeout":         "1s",
		"http.route_timeouts":          "/v1/checkout/quote=300ms,/v1/locks/:xid/refund=4s",
		"http.shutdown_timeout":        "1s",
		"http.max_body_bytes":          "2048",
		"http.max_bodies_bytes":        "2000000",
		"http.max_connections":         "100",
		"http.max_in_flight":           "10",
		"http.max_in_flight_per_route": "5",
		"http.max_upload_bytes":        "4096",
		"http.upload_timeout":          "3m0s",
		"http.trusted_proxies":         "10.0.0.0/8,::1",
		"data_dir":                     "/var/lib/scrip",
		"mysql.dsn":                    "u:p@tcp(127.0.0.1:3306)/scrip",
		"mysql.max_open_conns":         "8",
		"mysql.allow_unsafe":           "true",
		"redis.addrs":                  "127.0.0.1:6379,[::1]:6380",
		"redis.username":               "app",
		"redis.password":               "007",
		"redis.db":                     "3",
		"redis.pool_size":              "9",
		"redis.timeout":                "50ms",
		"auth.bootstrap_key":           "sk_boot",
		"auth.jwt_secret":              strings.Repeat("x", 32),
		"auth.jwt_issuer":              "https://id.example",
		"auth.jwt_audience":            "scrip",
		"auth.jwks_url":                "https://id.example/jwks.json",
		"auth.key_cache_ttl":           "1s",
		"claims.timeout":               "1s",
		"claims.max_batch":             "10",
		"claims.waiting_room":          "100",
		"claims.lanes":                 "1",
		"claims.direct":                "16",
		"claims.definition_ttl":        "2s",
		"checkout.timeout":             "3s",
		"checkout.max_batch":           "20",
		"checkout.waiting_room":        "200",
		"checkout.lanes":               "4",
		"codes.key":                    strings.Repeat("k", 32), "codes.old_key": strings.Repeat("o", 40),
		"limits.enabled":                "false",
		"limits.user_per_second":        "5",
		"limits.user_burst":             "6",
		"limits.key_per_second":         "1000",
		"limits.key_burst":              "2000",
		"limits.failed_auth_per_second": "1",
		"limits.failed_auth_burst":      "2",
		"limits.wrong_codes_per_user":   "5", "limits.wrong_codes_per_address": "50", "limits.wrong_codes_in_all": "500",
		"jobs.interval":              "2s",
		"jobs.settle_after":          "9s",
		"jobs.workers":               "3",
		"jobs.keep_idempotency_keys": "24h0m0s",
		"deliveries.timeout":         "3s", "deliveries.parallel": "7", "deliveries.retry_after": "9s", "deliveries.retry_for": "12h0m0s",
		"deliveries.keep": "400h0m0s", "webhooks.allow_private": "true",
		"messages.active_days": "7", "messages.keep": "300h0m0s", "mail.host": "smtp.example", "mail.port": "465",
		"mail.username": "scrip", "mail.password": "pass", "mail.from": "Shop <shop@example.com>", "mail.tls": "tls",
		"sms.url": "http://sms:80/send", "sms.secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"log.level":  "debug",
		"log.format": "json",
		"log.access": "all",
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "any.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// loaded returns the values by key name, as they would be written in the
// environment.
func loaded(t *testing.T, path string, env ...string) map[string]string {
	t.Helper()
	c, err := Load(path, env)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, k := range keysOf(&c) {
		values[k.name] = k.show()
	}
	return values
}

func flatten(prefix string, node map[string]any, into map[string]any) {
	for name, value := range node {
		if group, ok := value.(map[string]any); ok {
			flatten(prefix+name+".", group, into)
			continue
		}
		into[prefix+name] = value
	}
}

func TestShippedFileHasEveryKeyWithItsDefault(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(content, &tree); err != nil {
		t.Fatal(err)
	}
	inFile := map[string]any{}
	flatten("", tree, inFile)
	inCode := map[string]bool{}
	for _, k := range keysOf(new(Config)) {
		inCode[k.name] = true
		if _, ok := inFile[k.name]; !ok {
			t.Errorf("%s is missing in the file", k.name)
		}
	}
	for name := range inFile {
		if !inCode[name] {
			t.Errorf("%s is in the file only", name)
		}
	}
	if diff := cmp.Diff(loaded(t, ""), loaded(t, shipped)); diff != "" {
		t.Errorf("default (-) and file (+) differ:\n%s", diff)
	}
}

func TestShippedFileExplainsEveryKey(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(content), "\n")
	for i, line := range lines {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		leaf := value != "" && !strings.HasPrefix(name, "#")
		if leaf && !strings.HasPrefix(strings.TrimSpace(lines[i-1]), "# ") {
			t.Errorf("line %d: %s has no comment above it", i+1, name)
		}
	}
}

func TestEveryKeyCanBeSetByFileAndEnvironment(t *testing.T) {
	t.Parallel()
	defaults := loaded(t, "")
	values := others()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(defaults)), slices.Sorted(maps.Keys(values))); diff != "" {
		t.Fatalf("keys (-) and this test's values (+) differ:\n%s", diff)
	}
	for _, k := range keysOf(new(Config)) {
		want := maps.Clone(defaults)
		want[k.name] = values[k.name]
		fromEnv := loaded(t, "", k.env()+"="+values[k.name])
		if diff := cmp.Diff(want, fromEnv); diff != "" {
			t.Errorf("%s (-want +got):\n%s", k.env(), diff)
		}
		quote := `"`
		if k.form == scalar {
			quote = ""
		}
		indent := strings.ReplaceAll(k.name, ".", ":\n  ")
		fromFile := loaded(t, write(t, indent+": "+quote+values[k.name]+quote+"\n"))
		if diff := cmp.Diff(want, fromFile); diff != "" {
			t.Errorf("%s in the file (-want +got):\n%s", k.name, diff)
		}
	}
}

// Every field of Config is reached by a key: with all of them set to
// something else, no field is left at its zero value.
func TestEveryFieldHasAKey(t *testing.T) {
	t.Parallel()
	values := others()
	values["limits.enabled"] = "true" // the one whose other value is the zero value
	values["redis.addrs"], values["redis.db"] = "127.0.0.1:6379", "3"
	var env []string
	for _, k := range keysOf(new(Config)) {
		env = append(env, k.env()+"="+values[k.name])
	}
	c, err := Load("", env)
	if err != nil {
		t.Fatal(err)
	}
	var visit func(path string, v reflect.Value)
	visit = func(path string, v reflect.Value) {
		for i := range v.NumField() {
			name := path + v.Type().Field(i).Name
			if v.Field(i).Kind() == reflect.Struct {
				visit(name+".", v.Field(i))
			} else if v.Field(i).IsZero() {
				t.Errorf("%s is set by no key", name)
			}
		}
	}
	visit("", reflect.ValueOf(c))
}

func TestFixedVariableNames(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, k := range keysOf(new(Config)) {
		names[k.env()] = true
	}
	for _, fixed := range []string{
		"SCRIP_HTTP_ADDR", "SCRIP_DATA_DIR", "SCRIP_MYSQL_DSN", "SCRIP_REDIS_ADDRS",
		"SCRIP_AUTH_BOOTSTRAP_KEY", "SCRIP_AUTH_JWT_SECRET", "SCRIP_AUTH_JWT_ISSUER",
		"SCRIP_AUTH_JWT_AUDIENCE", "SCRIP_AUTH_JWKS_URL", "SCRIP_LIMITS_ENABLED",
	} {
		if !names[fixed] {
			t.Errorf("%s is promised and does not exist", fixed)
		}
	}
}

func TestTypedValues(t *testing.T) {
	t.Parallel()
	c, err := Load("", []string{"SCRIP_REDIS_ADDRS= a:1, b:2 ,,", "SCRIP_HTTP_IDLE_TIMEOUT=90s"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a:1", "b:2"}, c.Redis.Addrs); diff != "" {
		t.Errorf("addrs (-want +got):\n%s", diff)
	}
	if c.HTTP.IdleTimeout != 90*time.Second || c.HTTP.MaxBodyBytes != 1<<20 || !c.Limits.Enabled {
		t.Errorf("got %+v", c)
	}
}

func TestEnvironmentWinsOverFile(t *testing.T) {
	t.Parallel()
	path := write(t, "http:\n  addr: \"a:1\"\nredis:\n  addrs: [\"r:1\", \"r:2\"]\ndata_dir: \"x\"\n")
	got := loaded(t, path, "SCRIP_HTTP_ADDR=b:2", "SCRIP_DATA_DIR=", "SCRIP_UNHEARD_OF=1", "PATH=/bin")
	for name, want := range map[string]string{"http.addr": "b:2", "redis.addrs": "r:1,r:2", "data_dir": "x"} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
}

func TestEmptyValueInFileIsTheDefault(t *testing.T) {
	t.Parallel()
	if got := loaded(t, write(t, "http:\n  addr:\n"))["http.addr"]; got != "127.0.0.1:8080" {
		t.Errorf("got %q", got)
	}
}

func TestFileInTheWorkingDirectory(t *testing.T) {
	path := write(t, "data_dir: \"elsewhere\"\n")
	t.Chdir(filepath.Dir(path))
	if got := loaded(t, "")["data_dir"]; got != "./data" {
		t.Errorf("a file of another name was read: %q", got)
	}
	if err := os.Rename(path, DefaultFile); err != nil {
		t.Fatal(err)
	}
	if got := loaded(t, "")["data_dir"]; got != "elsewhere" {
		t.Errorf("the file was not read: %q", got)
	}
	if err := os.WriteFile(DefaultFile, []byte("http: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load("", nil); err == nil {
		t.Error("a broken file was passed over")
	}
}

func TestNamedFileMustExist(t *testing.T) {
	t.Parallel()
	_, err := Load(filepath.Join(t.TempDir(), "absent.yaml"), nil)
	if err == nil || !strings.Contains(err.Error(), "absent.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestFileThatIsNotYAML(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"http: [", "http:\n  addr: \"a:1\"\n  addr: \"b:1\"\n", "just text"} {
		if _, err := Load(write(t, content), nil); err == nil {
			t.Errorf("%q was accepted", content)
		}
	}
}

func TestEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	path := write(t, `
http:
  addr: 8080
  adr: "x"
  read_timeout: soon
mysql: {dsn: "root:hunter2@nowhere"}
redis: {password: 12345678, db: 99999}
jobs: 5
auth: {jwt_secrt: hunter3}
claims: {lanes: [1]}
`)
	_, err := Load(path, []string{"SCRIP_AUTH_JWT_SECRET=hunter4", "SCRIP_LOG_LEVEL=loud"})
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		`auth.jwt_secrt: there is no such key`,
		`http.adr: there is no such key`,
		`jobs: there is no such key`,
		`http.addr = "8080": must be host:port, in quotes`,
		`http.read_timeout = "soon": must be a duration from 100ms to 1h0m0s`,
		`log.level = "loud": must be debug, info, warn, error`,
		`mysql.dsn = "(hidden)": must be empty or user:password@tcp(host:port)/database`,
		`redis.password = "(hidden)": must be text, in quotes`,
		`redis.db = "99999": must be a whole number from 0 to 1023`,
		`claims.lanes = "[1]": must be a whole number from 1 to 64`,
	}
	lines := strings.Split(err.Error(), "\n  ")
	if diff := cmp.Diff(want, lines[1:]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRefusedValues(t *testing.T) {
	t.Parallel()
	bad := map[string][]string{
		"http.addr":                  {"localhost", ":http", "a:1:2", "a:65536", "a:-1"},
		"http.read_timeout":          {"1", "-1s", "99h", "1e3"},
		"http.max_body_bytes":        {"1", "1MB", "1.5", "99999999999999999999", " 2048"},
		"http.trusted_proxies":       {"proxy", "10.0.0.0/33", "10.0.0.1,x"},
		"http.route_timeouts":        {"1s", "/v1/locks", "/v1/locks=soon", "v1/locks=1s", "/v1/locks=1ms"},
		"data_dir":                   {"  "},
		"mysql.dsn":                  {"scrip", "u:p@tcp(h:1)/", "u:p@tcp(h:1"},
		"mysql.allow_unsafe":         {"1", "yes", "TRUE"},
		"redis.addrs":                {"h", "h:1,g"},
		"auth.bootstrap_key":         {"boot", "sk_", "sk_a b", "sk_é", "sk_" + strings.Repeat("a", 201)},
		"auth.jwks_url":              {"http://h/x", "https://", "file://host/x", "file://", "ftp://x", "https://a b"},
		"auth.key_cache_ttl":         {"3001ms"},
		"claims.definition_ttl":      {"2001ms"},
		"checkout.timeout":           {"3001ms", "9ms"},
		"jobs.keep_idempotency_keys": {"23h59m59s"},
		"jobs.settle_after":          {"soon"},
		"jobs.workers":               {"-1", "65"},
		"http.write_timeout":         {"soon"},
		"log.access":                 {"some", "All"},
	}
	for _, k := range keysOf(new(Config)) {
		for _, value := range bad[k.name] {
			_, err := Load("", []string{k.env() + "=" + value})
			if err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), k.allowed) {
				t.Errorf("%s=%q gave %v", k.env(), value, err)
			}
		}
	}
}

func TestAcceptedValues(t *testing.T) {
	t.Parallel()
	for _, pair := range []string{
		"SCRIP_HTTP_ADDR=:0", "SCRIP_HTTP_ADDR=[::1]:8080", "SCRIP_AUTH_JWKS_URL=file:///etc/jwks.json",
		"SCRIP_AUTH_JWKS_URL=keys/jwks.json", "SCRIP_AUTH_KEY_CACHE_TTL=0s", "SCRIP_HTTP_TRUSTED_PROXIES=127.0.0.1",
	} {
		if _, err := Load("", []string{pair}); err != nil {
			t.Errorf("%s: %v", pair, err)
		}
	}
}

func TestValuesThatDoNotGoTogether(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		want string
		env  []string
	}{
		{"http.request_timeout", []string{"SCRIP_HTTP_REQUEST_TIMEOUT=31s"}},
		{"jobs.settle_after", []string{"SCRIP_JOBS_SETTLE_AFTER=1s", "SCRIP_CLAIMS_TIMEOUT=1s"}},
		{"jobs.settle_after", []string{"SCRIP_HTTP_ROUTE_TIMEOUTS=/v1/claims=5s"}},
		{"redis.db", []string{"SCRIP_REDIS_ADDRS=a:1,b:1", "SCRIP_REDIS_DB=1"}},
	} {
		_, err := Load("", test.env)
		if err == nil || !strings.Contains(err.Error(), "\n  "+test.want+" = ") {
			t.Errorf("%v gave %v", test.env, err)
		}
	}
}

func TestValidateSeesWhatLoadSees(t *testing.T) {
	t.Parallel()
	c, err := Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	c.Claims.Lanes, c.MySQL.DSN = 0, "hunter2"
	err = c.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 2 || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	c, err := Load("", []string{
		"SCRIP_MYSQL_DSN=u:hunter2@tcp(h:1)/d", "SCRIP_REDIS_PASSWORD=hunter2",
		"SCRIP_AUTH_BOOTSTRAP_KEY=sk_hunter2", "SCRIP_AUTH_JWT_SECRET=hunter2-hunter2-hunter2-hunter2-hunter2",
	})
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), string(encoded), c.Redis.Password.LogValue().String()} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("a secret shows: %s", shown)
		}
	}
	if string(c.Redis.Password) != "hunter2" {
		t.Errorf("the secret itself was changed")
	}
}
