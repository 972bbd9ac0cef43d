package config

import (
	"encoding/base64"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// key ties one name to one field of a Config.
type key struct {
	name    string
	def     string // the default, as it would be written in the environment
	allowed string // completes "must be …"
	form    form
	secret  bool

	read  func(text string) bool // sets the field; false: not of its type
	valid func() bool            // whether the field's value is allowed
	show  func() string
}

// form says which kinds of YAML value a key takes in the file.
type form uint8

const (
	scalar form = iota // a number, a bool, or text
	quoted             // text only: a number would have lost its leading zeros by now
	listed             // a list of texts, or one text with commas
)

// env is the variable that overrides the key.
func (k *key) env() string {
	return "SCRIP_" + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// keysOf lists every key there is, bound to the fields of c.
func keysOf(c *Config) []key {
	return slices.Concat(serverKeys(c), storeKeys(c), authKeys(c), workKeys(c), messageKeys(c))
}

func serverKeys(c *Config) []key {
	return []key{
		text("http.addr", &c.HTTP.Addr, "127.0.0.1:8080", "host:port", isHostPort),
		span("http.read_header_timeout", &c.HTTP.ReadHeaderTimeout, "5s", 100*time.Millisecond, time.Minute),
		span("http.read_timeout", &c.HTTP.ReadTimeout, "30s", 100*time.Millisecond, time.Hour),
		span("http.write_timeout", &c.HTTP.WriteTimeout, "30s", 100*time.Millisecond, time.Hour),
		span("http.idle_timeout", &c.HTTP.IdleTimeout, "2m", time.Second, time.Hour),
		span("http.request_timeout", &c.HTTP.RequestTimeout, "5s", 10*time.Millisecond, time.Hour),
		list("http.route_timeouts", &c.HTTP.RouteTimeouts, "path=duration such as /v1/checkout/quote=300ms, 10ms to 1h", isRouteTimeout),
		span("http.shutdown_timeout", &c.HTTP.ShutdownTimeout, "15s", time.Second, time.Hour),
		number("http.max_body_bytes", &c.HTTP.MaxBodyBytes, "1048576", 1<<10, 1<<30),
		number("http.max_bodies_bytes", &c.HTTP.MaxBodiesBytes, "67108864", 1<<20, 1<<40),
		number("http.max_connections", &c.HTTP.MaxConnections, "10000", 10, 1_000_000),
		number("http.max_in_flight", &c.HTTP.MaxInFlight, "512", 1, 1_000_000),
		number("http.max_in_flight_per_route", &c.HTTP.MaxInFlightPerRoute, "128", 1, 1_000_000),
		number("http.max_upload_bytes", &c.HTTP.MaxUploadBytes, "268435456", 1<<10, 1<<40),
		span("http.upload_timeout", &c.HTTP.UploadTimeout, "10m", time.Second, 24*time.Hour),
		list("http.trusted_proxies", &c.HTTP.TrustedProxies, "addresses or CIDR ranges such as 10.0.0.0/8", isProxy),
		choice("log.level", &c.Log.Level, "info", "debug", "info", "warn", "error"),
		choice("log.format", &c.Log.Format, "text", "text", "json"),
		choice("log.access", &c.Log.Access, "errors", "errors", "all", "off"),
	}
}

func storeKeys(c *Config) []key {
	return []key{
		text("data_dir", &c.DataDir, "./data", "the path of a folder", isSet),
		hide(text("mysql.dsn", &c.MySQL.DSN, "", "empty or user:password@tcp(host:port)/database", isDSN)),
		number("mysql.max_open_conns", &c.MySQL.MaxOpenConns, "32", 2, 10_000),
		flag("mysql.allow_unsafe", &c.MySQL.AllowUnsafe, "false"),
		list("redis.addrs", &c.Redis.Addrs, "a list of host:port", isHostPort),
		text("redis.username", &c.Redis.Username, "", "text", anything),
		hide(text("redis.password", &c.Redis.Password, "", "text", anything)),
		number("redis.db", &c.Redis.DB, "0", 0, 1023),
		number("redis.pool_size", &c.Redis.PoolSize, "64", 1, 10_000),
		span("redis.timeout", &c.Redis.Timeout, "100ms", time.Millisecond, 10*time.Second),
	}
}

func authKeys(c *Config) []key {
	return []key{
		hide(text("auth.bootstrap_key", &c.Auth.BootstrapKey, "",
			"empty or sk_ and up to 200 printable characters without a space", isAPIKey)),
		hide(text("auth.jwt_secret", &c.Auth.JWTSecret, "", "text", anything)),
		text("auth.jwt_issuer", &c.Auth.JWTIssuer, "", "text", anything),
		text("auth.jwt_audience", &c.Auth.JWTAudience, "", "text", anything),
		text("auth.jwks_url", &c.Auth.JWKSURL, "", "empty, https://…, file:///… or a path", isJWKSURL),
		// A deleted key must be dead everywhere within 3 s.
		span("auth.key_cache_ttl", &c.Auth.KeyCacheTTL, "2s", 0, 3*time.Second),
		flag("limits.enabled", &c.Limits.Enabled, "true"),
		number("limits.user_per_second", &c.Limits.UserPerSecond, "100", 1, 1_000_000),
		number("limits.user_burst", &c.Limits.UserBurst, "200", 1, 1_000_000),
		number("limits.key_per_second", &c.Limits.KeyPerSecond, "0", 0, 1_000_000),
		number("limits.key_burst", &c.Limits.KeyBurst, "100", 1, 1_000_000),
		number("limits.failed_auth_per_second", &c.Limits.FailedAuthPerSecond, "20", 1, 1_000_000),
		number("limits.failed_auth_burst", &c.Limits.FailedAuthBurst, "200", 1, 1_000_000),
		// More than ten a minute no user is allowed.
		number("limits.wrong_codes_per_user", &c.Limits.WrongCodesPerUser, "10", 1, 10),
		number("limits.wrong_codes_per_address", &c.Limits.WrongCodesPerAddress, "600", 1, 60_000),
		number("limits.wrong_codes_in_all", &c.Limits.WrongCodesInAll, "6000", 1, 60_000),
	}
}

func workKeys(c *Config) []key {
	return []key{
		span("claims.timeout", &c.Claims.Timeout, "500ms", 10*time.Millisecond, time.Minute),
		number("claims.max_batch", &c.Claims.MaxBatch, "512", 1, 10_000),
		number("claims.waiting_room", &c.Claims.WaitingRoom, "8192", 1, 1_000_000),
		number("claims.lanes", &c.Claims.Lanes, "2", 1, 64),
		number("claims.direct", &c.Claims.Direct, "256", 1, 100_000),
		// An edit that loosens a template is seen everywhere within 2 s.
		span("claims.definition_ttl", &c.Claims.DefinitionTTL, "1s", 0, 2*time.Second),
		hide(text("codes.key", &c.Codes.Key, "", "empty or at least 32 characters", isLongSecret)),
		hide(text("codes.old_key", &c.Codes.OldKey, "", "empty or at least 32 characters", isLongSecret)),
		// What is held past its end is free within 5 s: so long a confirm that came
		// in time may wait, and then a job has to come by.
		span("checkout.timeout", &c.Checkout.Timeout, "2s", 10*time.Millisecond, 3*time.Second),
		number("checkout.max_batch", &c.Checkout.MaxBatch, "256", 1, 10_000),
		number("checkout.waiting_room", &c.Checkout.WaitingRoom, "8192", 1, 1_000_000),
		number("checkout.lanes", &c.Checkout.Lanes, "1", 1, 64),
		span("jobs.interval", &c.Jobs.Interval, "1s", 10*time.Millisecond, time.Minute),
		number("jobs.workers", &c.Jobs.Workers, "1", 0, 64),
		span("jobs.settle_after", &c.Jobs.SettleAfter, "5s", time.Second, time.Hour),
		// Callers are promised a day.
		span("jobs.keep_idempotency_keys", &c.Jobs.KeepIdempotencyKeys, "48h", 24*time.Hour, 8760*time.Hour),
	}
}

func messageKeys(c *Config) []key {
	return []key{
		span("deliveries.timeout", &c.Deliveries.Timeout, "10s", 100*time.Millisecond, time.Minute),
		number("deliveries.parallel", &c.Deliveries.Parallel, "4", 1, 100),
		span("deliveries.retry_after", &c.Deliveries.RetryAfter, "5s", 10*time.Millisecond, time.Hour),
		span("deliveries.retry_for", &c.Deliveries.RetryFor, "24h", time.Second, 168*time.Hour),
		span("deliveries.keep", &c.Deliveries.Keep, "336h", 192*time.Hour, 87600*time.Hour),
		flag("webhooks.allow_private", &c.Webhooks.AllowPrivate, "false"),
		number("messages.active_days", &c.Messages.ActiveDays, "90", 0, 3650),
		span("messages.keep", &c.Messages.Keep, "2160h", 192*time.Hour, 87600*time.Hour),
		text("mail.host", &c.Mail.Host, "", "text", anything),
		number("mail.port", &c.Mail.Port, "587", 1, 65535),
		text("mail.username", &c.Mail.Username, "", "text", anything),
		hide(text("mail.password", &c.Mail.Password, "", "text", anything)),
		text("mail.from", &c.Mail.From, "Scrip <scrip@localhost>", "an address such as Shop <no-reply@shop.example>", isMailbox),
		choice("mail.tls", &c.Mail.TLS, "starttls", "starttls", "tls", "none"),
		hide(text("sms.url", &c.SMS.URL, "", "empty, https://… or http://…", isHTTP)),
		hide(text("sms.secret", &c.SMS.Secret, "", "empty or whsec_ and 24 to 64 bytes in base64", isWebhookSecret)),
	}
}

func text[S ~string](name string, field *S, def, allowed string, ok func(string) bool) key {
	return key{
		name: name, def: def, allowed: allowed, form: quoted,
		read:  func(s string) bool { *field = S(s); return true },
		valid: func() bool { return ok(string(*field)) },
		show:  func() string { return string(*field) },
	}
}

// hide keeps the key's value out of every message.
func hide(k key) key {
	k.secret = true
	return k
}

func choice(name string, field *string, def string, options ...string) key {
	return text(name, field, def, strings.Join(options, ", "),
		func(s string) bool { return slices.Contains(options, s) })
}

func span(name string, field *time.Duration, def string, lo, hi time.Duration) key {
	return key{
		name: name, def: def, allowed: "a duration from " + lo.String() + " to " + hi.String(),
		read: func(s string) (ok bool) {
			d, err := time.ParseDuration(s)
			*field = d
			return err == nil
		},
		valid: func() bool { return lo <= *field && *field <= hi },
		show:  field.String,
	}
}

func number[N int | int64](name string, field *N, def string, lo, hi N) key {
	format := func(n N) string { return strconv.FormatInt(int64(n), 10) }
	return key{
		name: name, def: def, allowed: "a whole number from " + format(lo) + " to " + format(hi),
		read: func(s string) bool {
			n, err := strconv.ParseInt(s, 10, 64)
			*field = N(n)
			return err == nil && int64(*field) == n
		},
		valid: func() bool { return lo <= *field && *field <= hi },
		show:  func() string { return format(*field) },
	}
}

func flag(name string, field *bool, def string) key {
	return key{
		name: name, def: def, allowed: "true or false",
		read: func(s string) bool {
			*field = s == "true"
			return *field || s == "false"
		},
		valid: func() bool { return true },
		show:  func() string { return strconv.FormatBool(*field) },
	}
}

// list is a comma-separated list without empty elements; it may be empty.
func list(name string, field *[]string, allowed string, ok func(string) bool) key {
	return key{
		name: name, allowed: "empty or " + allowed, form: listed,
		read: func(s string) bool {
			*field = nil
			for part := range strings.SplitSeq(s, ",") {
				if part = strings.TrimSpace(part); part != "" {
					*field = append(*field, part)
				}
			}
			return true
		},
		valid: func() bool {
			return !slices.ContainsFunc(*field, func(part string) bool { return !ok(part) })
		},
		show: func() string { return strings.Join(*field, ",") },
	}
}

func anything(string) bool { return true }

// isLongSecret takes what can be a key: 32 characters, such as of openssl rand.
func isLongSecret(s string) bool {
	const least = 32
	return s == "" || len(s) >= least
}

func isSet(s string) bool { return strings.TrimSpace(s) != "" }

func isHostPort(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func parseRouteTimeout(s string) (route string, limit time.Duration, ok bool) {
	route, text, found := strings.Cut(s, "=")
	limit, err := time.ParseDuration(text)
	return route, limit, found && strings.HasPrefix(route, "/") && err == nil && 10*time.Millisecond <= limit && limit <= time.Hour
}

func isRouteTimeout(s string) bool {
	_, _, ok := parseRouteTimeout(s)
	return ok
}

func isProxy(s string) bool {
	_, addrErr := netip.ParseAddr(s)
	_, rangeErr := netip.ParsePrefix(s)
	return addrErr == nil || rangeErr == nil
}

func isDSN(s string) bool {
	if s == "" {
		return true
	}
	dsn, err := mysql.ParseDSN(s)
	return err == nil && dsn.DBName != ""
}

func isAPIKey(s string) bool {
	const prefix, most = "sk_", 200
	if s == "" {
		return true
	}
	printable := strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
	return printable && strings.HasPrefix(s, prefix) && s != prefix && len(s) <= len(prefix)+most
}

func isMailbox(s string) bool {
	_, err := mail.ParseAddress(s)
	return err == nil
}

func isHTTP(s string) bool {
	u, err := url.Parse(s)
	return s == "" || err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

func isWebhookSecret(s string) bool {
	const fewest, most = 24, 64 // as Standard Webhooks has it
	encoded, found := strings.CutPrefix(s, "whsec_")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	return s == "" || found && err == nil && len(raw) >= fewest && len(raw) <= most
}

func isJWKSURL(s string) bool {
	scheme, _, found := strings.Cut(s, "://")
	if !found {
		return true // a path, or nothing
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return false
	case scheme == "https":
		return u.Host != ""
	}
	return scheme == "file" && u.Host == "" && u.Path != ""
}
