package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sony/gobreaker/v2"

	"scrip/models"
)

const (
	defaultTimeout = 100 * time.Millisecond

	// slowFactor times the timeout is what the steps of a rebuild and the
	// lists may take, which carry more than a handful of requests.
	slowFactor = 10

	// failuresToTrip in a row open the breaker, so that one lost reply does not.
	failuresToTrip = 3

	// probeEvery is how often one request is let through to see whether Redis
	// is back.
	probeEvery = 500 * time.Millisecond

	// touchedFor is how long a touch is remembered.
	touchedFor = 24 * time.Hour
)

// RedisOptions says where Redis is and how long to wait for it.
type RedisOptions struct {
	Addrs    []string // host:port; one is a server of its own, several belong to a cluster
	Username string
	Password string
	DB       int           // a cluster has only 0
	TLS      *tls.Config   // nil: none
	PoolSize int           // connections at most, per node; 0: ten per CPU
	Timeout  time.Duration // for Reserve, Finish and the like; 0: 100 ms. Rebuilds and lists get ten times as long
	Now      models.Clock  // nil: time.Now
}

// Redis is the gate for several instances of this program. It needs Redis 6.2
// or newer. It is safe for concurrent use.
//
// No call is ever sent twice by the driver: its reply may have been lost after
// the script ran. After three failures in a row calls fail at once, but for one
// each half a second that finds out whether Redis is back. All errors wrap
// ErrAway.
type Redis struct {
	client  redis.UniversalClient
	nodes   func(ctx context.Context, visit func(context.Context, *redis.Client) error) error
	scripts scripts
	breaker *gobreaker.CircuitBreaker[struct{}]
	fault   latest // the newest that counted against Redis
	touches touches
	timeout time.Duration
	slow    time.Duration
	now     models.Clock
	log     *slog.Logger
}

// NewRedis makes the gate. It does not connect: Redis may come later. The log
// hears when Redis goes away and comes back, and at debug level what the driver
// says, which is set for the whole process.
func NewRedis(opts RedisOptions, log *slog.Logger) (*Redis, error) {
	if len(opts.Addrs) == 0 {
		return nil, errors.New("gate: no address of a Redis server is given")
	}
	if len(opts.Addrs) > 1 && opts.DB != 0 {
		return nil, fmt.Errorf("gate: a Redis cluster has no database %d, only 0", opts.DB)
	}
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	r := &Redis{
		scripts: newScripts(),
		timeout: opts.Timeout,
		slow:    slowFactor * opts.Timeout,
		now:     opts.Now,
		log:     log,
	}
	r.breaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:       probeEvery,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failuresToTrip },
		IsExcluded:    func(err error) bool { return errors.Is(err, errCallerGone) },
		OnStateChange: r.report,
	})
	redis.SetLogger(driverLog{log})
	r.connect(opts)
	return r, nil
}

func (r *Redis) connect(opts RedisOptions) {
	common := redis.UniversalOptions{
		Addrs:     opts.Addrs,
		Username:  opts.Username,
		Password:  opts.Password,
		DB:        opts.DB,
		TLSConfig: opts.TLS,
		PoolSize:  opts.PoolSize,

		// One reply lost and one retry: two units gone, one coupon made.
		MaxRetries: -1,

		// The context bounds every call; these only what has none, such as a
		// connection that is still being made when its caller has given up.
		ContextTimeoutEnabled: true,
		DialTimeout:           r.slow,
		ReadTimeout:           r.slow,
		WriteTimeout:          r.slow,
		PoolTimeout:           r.slow,
		DialerRetries:         1,

		// Every call is a pipeline; a second pool for them would be a waste.
		PipelinePoolSize: -1,

		// RESP3 is of use only for pushed notifications, which we do without.
		Protocol:                 2,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if len(opts.Addrs) == 1 {
		client := redis.NewClient(common.Simple())
		r.client = client
		r.nodes = func(ctx context.Context, visit func(context.Context, *redis.Client) error) error {
			return visit(ctx, client)
		}
		return
	}
	cluster := common.Cluster()
	cluster.ClusterStateReloadInterval = time.Second // a minute by default: as long would a dead primary go unnoticed
	client := redis.NewClusterClient(cluster)
	r.client, r.nodes = client, client.ForEachMaster
}

// Close ends all connections. Calls after it fail.
func (r *Redis) Close() error { return r.client.Close() }

// Ping asks every primary whether it is there, whatever the breaker believes.
func (r *Redis) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	err := r.nodes(ctx, func(ctx context.Context, node *redis.Client) error { return node.Ping(ctx).Err() })
	return away("ping", err)
}

// Away reports whether the gate gave up on Redis for now.
func (r *Redis) Away() bool { return r.breaker.State() != gobreaker.StateClosed }

// Check reports what makes a server unfit, in an error without ErrAway: that it
// evicts keys, or does not tell which data it has. A server that keeps its
// settings to itself is believed, and the log says so.
func (r *Redis) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.slow)
	defer cancel()
	return r.nodes(ctx, r.checkNode)
}

func (r *Redis) checkNode(ctx context.Context, node *redis.Client) error {
	const policy, want = "maxmemory-policy", "noeviction"
	addr := node.Options().Addr
	if err := node.Ping(ctx).Err(); err != nil {
		return away("check "+addr, err)
	}
	settings, err := node.ConfigGet(ctx, policy).Result()
	switch {
	case err != nil:
		r.log.WarnContext(ctx, "Redis does not tell its maxmemory-policy, which must be noeviction", "addr", addr, "error", err)
	case settings[policy] != want:
		return fmt.Errorf("gate: Redis at %s has %s %q: only %q keeps the counters whole", addr, policy, settings[policy], want)
	}
	id, err := node.Eval(ctx, newScript(checkLua).text, nil).Text()
	var refused redis.Error
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("gate: Redis at %s does not run our scripts: %w", addr, err)
	case err == nil && id == "":
		return fmt.Errorf("gate: Redis at %s has no master_replid in INFO replication: a failover would go unnoticed", addr)
	}
	return away("check "+addr, err)
}

// over reports whether the caller's own time is up. The connection's deadline,
// taken from the context, may pass a moment before the context knows.
func over(ctx context.Context) bool {
	deadline, set := ctx.Deadline()
	return ctx.Err() != nil || set && !time.Now().Before(deadline)
}

// errCallerGone marks a failure that says nothing about Redis.
var errCallerGone = errors.New("the caller did not wait")

// within runs act, which talks to Redis, unless the breaker is open.
func (r *Redis) within(ctx context.Context, limit time.Duration, act func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := r.breaker.Execute(func() (struct{}, error) {
		bounded, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		err := act(bounded)
		switch {
		case err == nil:
		case over(ctx):
			err = fmt.Errorf("%w: %w", errCallerGone, err)
		default:
			r.fault.Store(err)
		}
		return struct{}{}, err
	})
	return err
}

// latest keeps an error. It is safe for concurrent use.
type latest struct{ err atomic.Pointer[error] }

func (l *latest) Store(err error) { l.err.Store(&err) }

func (l *latest) Load() error {
	if err := l.err.Load(); err != nil {
		return *err
	}
	return nil
}

// report logs the two changes that matter; an open breaker that probes and
// fails goes to and fro twice a second.
func (r *Redis) report(_ string, from, to gobreaker.State) {
	switch {
	case from == gobreaker.StateClosed:
		r.log.Warn("Redis is away: claims go on without it", "error", r.fault.Load())
	case to == gobreaker.StateClosed:
		r.log.Info("Redis is back")
	}
}

// run makes the calls, and whatever else is given, in one round trip; those
// whose script the server does not know, in a second one. It returns the first
// error; each command has its own.
func (r *Redis) run(ctx context.Context, calls []*call, others ...redis.Cmder) error {
	pipe := r.client.Pipeline()
	for _, other := range others {
		_ = pipe.Process(ctx, other) // only queues it
	}
	for _, c := range calls {
		_ = pipe.Process(ctx, c)
	}
	if _, err := pipe.Exec(ctx); err == nil {
		return nil
	}
	for _, c := range calls {
		if redis.HasErrorPrefix(c.Err(), "NOSCRIPT") {
			c.inFull(ctx)
			_ = pipe.Process(ctx, c)
		}
	}
	_, _ = pipe.Exec(ctx) // of nothing, usually; every command keeps its own error
	for _, c := range calls {
		others = append(others, c)
	}
	return firstError(others)
}

func firstError(cmds []redis.Cmder) error {
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			return err
		}
	}
	return nil
}

// one makes a single call within the limit.
func (r *Redis) one(ctx context.Context, limit time.Duration, s *script, args []any) (*call, error) {
	c := s.call(ctx, args)
	err := r.within(ctx, limit, func(ctx context.Context) error { return r.run(ctx, []*call{c}) })
	return c, err
}

// yes makes a single call that answers 1 or 0.
func (r *Redis) yes(ctx context.Context, limit time.Duration, s *script, args []any) (bool, error) {
	c, err := r.one(ctx, limit, s, args)
	if err != nil {
		return false, err
	}
	return c.Bool()
}

// away wraps an error, if there is one, for the caller.
func away(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("gate: %s: %w: %w", what, ErrAway, err)
}

// driverLog takes what the driver would print to standard error.
type driverLog struct{ log *slog.Logger }

// Printf logs a line.
func (d driverLog) Printf(ctx context.Context, format string, args ...any) {
	if d.log.Enabled(ctx, slog.LevelDebug) {
		d.log.DebugContext(ctx, fmt.Sprintf(format, args...))
	}
}
