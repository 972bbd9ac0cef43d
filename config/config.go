// Package config reads what an operator may set: from config.yaml, and over it
// from the environment. It imports nothing of Scrip's own.
package config

import (
	"log/slog"
	"time"
)

// Config holds every setting, checked by Load. It is read once at the start
// and never changed.
type Config struct {
	HTTP       HTTP
	DataDir    string // where the embedded database lives when MySQL.DSN is empty
	MySQL      MySQL
	Redis      Redis
	Auth       Auth
	Claims     Claims
	Codes      Codes
	Checkout   Checkout
	Limits     Limits
	Jobs       Jobs
	Deliveries Deliveries
	Messages   Messages
	Mail       Mail
	SMS        SMS
	Webhooks   Webhooks
	Log        Log
}

// HTTP is how the server listens, and how long it waits for whom.
type HTTP struct {
	Addr                string
	ReadHeaderTimeout   time.Duration
	ReadTimeout         time.Duration
	WriteTimeout        time.Duration
	IdleTimeout         time.Duration
	RequestTimeout      time.Duration // the deadline of one request's work
	RouteTimeouts       []string      // the deadlines of some routes, as "/v1/checkout/quote=300ms"
	ShutdownTimeout     time.Duration
	MaxBodyBytes        int64
	MaxBodiesBytes      int64 // of all requests at once
	MaxConnections      int
	MaxInFlight         int64         // requests at once, but for claims and locks
	MaxInFlightPerRoute int64         // of those, requests for one path
	MaxUploadBytes      int64         // of an upload, which is kept on the disk
	UploadTimeout       time.Duration // the deadline of an upload's work, its arrival included
	TrustedProxies      []string      // addresses and CIDR ranges; empty: none
}

// TimeoutsByRoute is what RouteTimeouts says.
func (h HTTP) TimeoutsByRoute() map[string]time.Duration {
	all := make(map[string]time.Duration, len(h.RouteTimeouts))
	for _, one := range h.RouteTimeouts {
		if route, limit, ok := parseRouteTimeout(one); ok {
			all[route] = limit
		}
	}
	return all
}

// MySQL is the database that decides; with an empty DSN an embedded one does.
type MySQL struct {
	DSN          Secret
	MaxOpenConns int
	AllowUnsafe  bool
}

// Redis is the gate; without addresses it is kept in this process.
type Redis struct {
	Addrs    []string
	Username string
	Password Secret
	DB       int
	PoolSize int
	Timeout  time.Duration
}

// Auth says which credentials are accepted.
type Auth struct {
	BootstrapKey Secret
	JWTSecret    Secret
	JWTIssuer    string
	JWTAudience  string
	JWKSURL      string
	KeyCacheTTL  time.Duration
}

// Claims bounds the claim path.
type Claims struct {
	Timeout       time.Duration
	MaxBatch      int
	WaitingRoom   int
	Lanes         int
	Direct        int
	DefinitionTTL time.Duration
}

// Codes are the keys under which claim codes are kept.
type Codes struct {
	Key    Secret // empty: their own key lies in the database as it is
	OldKey Secret // opens what Key does not yet
}

// Checkout bounds the way of locks, confirms and cancels.
type Checkout struct {
	Timeout     time.Duration
	MaxBatch    int
	WaitingRoom int
	Lanes       int
}

// Limits bounds what one caller may ask for. The rates are per second, the
// bursts are what may come at once after a pause.
type Limits struct {
	Enabled             bool
	UserPerSecond       int
	UserBurst           int
	KeyPerSecond        int // 0: no limit
	KeyBurst            int
	FailedAuthPerSecond int // of one client address
	FailedAuthBurst     int

	WrongCodesPerUser    int64 // at once, and then one a minute
	WrongCodesPerAddress int64 // at once, and a minute
	WrongCodesInAll      int64 // at once, and a minute
}

// Jobs is how often the background work looks for something to do.
type Jobs struct {
	Interval            time.Duration
	SettleAfter         time.Duration
	KeepIdempotencyKeys time.Duration
	Workers             int // tasks of long jobs that this instance does at a time
}

// Deliveries is how events and messages are sent on their way.
type Deliveries struct {
	Timeout    time.Duration // of one try
	Parallel   int           // tries at once to one receiver
	RetryAfter time.Duration
	RetryFor   time.Duration
	Keep       time.Duration
}

// Messages is what users are told, and for how long it is kept.
type Messages struct {
	ActiveDays int // 0: users are told however long they have been away
	Keep       time.Duration
}

// Mail is the server through which mail goes out; without a host none does.
type Mail struct {
	Host     string
	Port     int
	Username string
	Password Secret
	From     string
	TLS      string // starttls, tls, none
}

// SMS is the provider of text messages; without a URL there are none.
type SMS struct {
	URL    string
	Secret Secret
}

// Webhooks says where merchants' webhooks may point.
type Webhooks struct {
	AllowPrivate bool
}

// Log says what is written to standard error, and how.
type Log struct {
	Level  string // debug, info, warn, error
	Format string // text, json
	Access string // errors, all, off
}

// Secret is text that never shows itself: whatever prints or logs a Config
// prints a placeholder instead. Convert it to string where it is used.
type Secret string

const hidden = "(hidden)"

// String gives a placeholder, or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString keeps %#v from showing the secret.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText keeps encoders from showing the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue keeps slog from showing the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
