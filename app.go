package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"scrip/checkout"
	"scrip/claims"
	"scrip/config"
	"scrip/courier"
	"scrip/discount"
	"scrip/gate"
	"scrip/handlers"
	"scrip/handlers/middleware"
	"scrip/issuing"
	"scrip/jobs"
	"scrip/models"
	"scrip/store"
	"scrip/web"
)

// app is a running Scrip: the only place where the parts are joined. What is
// opened last is closed first.
type app struct {
	cfg      config.Config
	log      *slog.Logger
	store    *store.Store
	gate     filter
	codeKeys *issuing.CodeKeys
	claims   *claims.Service
	checkout *checkout.Service
	auth     *middleware.Authenticator
	deliver  *jobs.Deliver
	jobs     *jobs.Runner
	metrics  *prometheus.Registry
	server   *http.Server
	ended    []func() error // what stop calls, last first
}

// filter is a gate of either kind.
type filter interface {
	Reserve(ctx context.Context, asks []models.Reservation) []models.GateAnswer
	Finish(ctx context.Context, outcomes []models.GateOutcome) error
	Begin(ctx context.Context, load models.GateLoad) (bool, error)
	Load(ctx context.Context, template models.ID, epoch, limit int64, holders []models.Holder) (bool, error)
	Open(ctx context.Context, load models.GateLoad) (bool, error)
	SetStock(ctx context.Context, template models.ID, epoch, edit, stock int64) error
	State(ctx context.Context, template models.ID) (models.GateState, error)
	States(ctx context.Context, templates []models.ID) ([]models.GateState, error)
	Touched(ctx context.Context, since time.Time, most int) ([]models.ID, error)
	Pending(ctx context.Context, template models.ID, olderThan time.Time, most int) ([]models.PendingClaim, error)
	Guess(ctx context.Context, asks []models.Guess) ([]time.Duration, error)
	Announce(ctx context.Context, template models.ID) error
	Listen(ctx context.Context, heard func(template models.ID))
	Ping(ctx context.Context) error
	Close() error
}

// newApp opens the stores and builds everything upon them. It serves nothing
// yet. On an error what was opened is closed again.
func newApp(ctx context.Context, cfg config.Config, log *slog.Logger) (_ *app, err error) {
	a := &app{cfg: cfg, log: log, metrics: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.stop())
		}
	}()
	for _, step := range []func(context.Context) error{
		a.openStore, a.openGate, a.openCodeKeys, a.startClaims, a.startCheckout, a.startAuth, a.buildDeliver, a.startJobs, a.buildServer,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// stop closes what is open, the last first.
func (a *app) stop() error {
	var faults []error
	for i := len(a.ended) - 1; i >= 0; i-- {
		faults = append(faults, a.ended[i]())
	}
	return errors.Join(faults...)
}

func (a *app) onStop(end func() error) { a.ended = append(a.ended, end) }

func storeOptions(cfg config.Config, log *slog.Logger) store.Options {
	return store.Options{
		DSN: string(cfg.MySQL.DSN), DataDir: cfg.DataDir, MaxOpenConns: cfg.MySQL.MaxOpenConns,
		AllowUnsafe: cfg.MySQL.AllowUnsafe, Log: log,
		Channels: addressed(cfg), ActiveFor: time.Duration(cfg.Messages.ActiveDays) * 24 * time.Hour,
	}
}

// closeTimeout is how long giving back leases may take at the end.
const closeTimeout = 3 * time.Second

func (a *app) openStore(ctx context.Context) error {
	st, err := store.Open(ctx, storeOptions(a.cfg, a.log))
	if err != nil {
		return err
	}
	a.store = st
	a.onStop(func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return st.Close(ctx)
	})
	return nil
}

func (a *app) openGate(ctx context.Context) error {
	g, err := newGate(ctx, a.cfg, a.store.Now, a.log)
	if err != nil {
		return err
	}
	a.gate = g
	a.onStop(g.Close)
	return nil
}

func (a *app) openCodeKeys(ctx context.Context) (err error) {
	if a.cfg.MySQL.DSN != "" && a.cfg.Codes.Key == "" {
		a.log.WarnContext(ctx, "codes.key is not set: the key of claim codes and of webhooks' secrets lies in the database beside them")
	}
	a.codeKeys, err = openCodeKeys(ctx, a.cfg, a.store)
	return err
}

func newGate(ctx context.Context, cfg config.Config, now models.Clock, log *slog.Logger) (filter, error) {
	if len(cfg.Redis.Addrs) == 0 {
		return gate.NewMemory(now), nil
	}
	g, err := gate.NewRedis(gate.RedisOptions{
		Addrs: cfg.Redis.Addrs, Username: cfg.Redis.Username, Password: string(cfg.Redis.Password),
		DB: cfg.Redis.DB, PoolSize: cfg.Redis.PoolSize, Timeout: cfg.Redis.Timeout, Now: now,
	}, log)
	if err != nil {
		return nil, err
	}
	// A Redis that is away may come; one that would lose keys may not be used.
	if err := g.Check(ctx); errors.Is(err, gate.ErrAway) {
		log.WarnContext(ctx, "Redis does not answer; claims pass it by until it does", "error", err)
	} else if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// commitGrace is how long past its deadline a claim or lock waits for the commit
// that it is in: better a late answer than an unknown outcome.
const commitGrace = 500 * time.Millisecond

func (a *app) startClaims(context.Context) error {
	c := a.cfg.Claims
	service, err := claims.New(claims.Config{ //nolint:contextcheck // it listens for edits until Close, after the last request
		MaxBatch: c.MaxBatch, WaitingRoom: c.WaitingRoom, Lanes: c.Lanes, Direct: c.Direct,
		CommitTimeout: a.cfg.Jobs.SettleAfter / 2, Grace: commitGrace, DefinitionTTL: c.DefinitionTTL,
		Codes: claims.Codes{Hash: a.codeKeys.Hash, Guesses: a.guesses()},
	}, a.store, a.gate, a.log)
	if err != nil {
		return err
	}
	a.claims = service
	a.onStop(func() error { service.Close(); return nil })
	return nil
}

// guesses bounds how often a wrong code may be tried.
func (a *app) guesses() claims.Guesses {
	g := claims.Guesses{Shared: a.gate, Local: gate.NewMemory(a.store.Now)}
	if l := a.cfg.Limits; l.Enabled {
		spread := func(n int64) claims.GuessLimit {
			return claims.GuessLimit{Burst: n, Every: time.Minute / time.Duration(n)}
		}
		g.User = claims.GuessLimit{Burst: l.WrongCodesPerUser, Every: time.Minute}
		g.Address, g.All = spread(l.WrongCodesPerAddress), spread(l.WrongCodesInAll)
	}
	return g
}

// programs is how many compiled rule expressions are kept.
const programs = 1000

func (a *app) startCheckout(context.Context) error {
	c := a.cfg.Checkout
	service := checkout.New(checkout.Config{
		MaxBatch: c.MaxBatch, WaitingRoom: c.WaitingRoom, Lanes: c.Lanes, Timeout: c.Timeout, Grace: commitGrace,
	}, a.store, discount.New(programs), a.log)
	a.checkout = service
	a.onStop(func() error { service.Close(); return nil })
	return nil
}

func (a *app) startAuth(ctx context.Context) error {
	secret, err := jwtSecret(a.cfg)
	if err != nil {
		return err
	}
	if secret != "" && len(secret) < secretBytes {
		a.log.WarnContext(ctx, "auth.jwt_secret is shorter than HS256 asks for: it could be guessed", "bytes", len(secret), "want", secretBytes)
	}
	l := a.cfg.Limits
	failures := middleware.Rate{PerSecond: l.FailedAuthPerSecond, Burst: l.FailedAuthBurst}
	if !l.Enabled {
		failures = middleware.Rate{}
	}
	a.auth, err = middleware.NewAuthenticator(ctx, middleware.AuthOptions{
		Keys: a.store, KeyTTL: a.cfg.Auth.KeyCacheTTL,
		Secret: secret, JWKS: a.cfg.Auth.JWKSURL, Issuer: a.cfg.Auth.JWTIssuer, Audience: a.cfg.Auth.JWTAudience,
		Failures: failures, Now: a.store.Now, Log: a.log,
	})
	if err != nil {
		return err
	}
	refresh, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.auth.Run(refresh)
	}()
	a.onStop(func() error {
		cancel(context.Canceled)
		<-done
		return nil
	})
	return nil
}

func (a *app) startJobs(context.Context) error {
	const keepTombstones = 24 * time.Hour
	j, st := a.cfg.Jobs, a.store
	settle := &jobs.Settle{Gate: a.gate, Store: st, Now: st.Now, After: j.SettleAfter}
	reconcile := &jobs.Reconcile{Gate: a.gate, Store: st, Rebuild: a.claims, Now: st.Now}
	expire := &jobs.Expire{Store: st, Now: st.Now, Grace: a.cfg.Checkout.Timeout + commitGrace/2}
	coupons := &jobs.ExpireCoupons{Store: st, Now: st.Now}
	remind := jobs.Remind{Store: st, Now: st.Now}
	keys := jobs.Purge{Drop: st.PurgeIdempotencyKeys, Now: st.Now, Keep: j.KeepIdempotencyKeys}
	worker := &jobs.Worker{Store: st, Owner: uuid.NewString(), Kinds: a.kinds()}
	tombstones := jobs.Purge{Drop: st.PurgeTombstones, Now: st.Now, Keep: keepTombstones}
	// A gate in this process is nobody else's to look after.
	shared := len(a.cfg.Redis.Addrs) > 0
	list := []jobs.Job{
		{Name: "settle", Every: j.Interval, Alone: shared, Step: settle.Step},
		{Name: "reconcile", Every: j.Interval, Alone: shared, Step: reconcile.Step},
		// Every instance does it: one that died must not keep the others from it
		// until its lease has run out.
		{Name: "expire-locks", Every: min(j.Interval, time.Second), Step: expire.Step},
		{Name: "expire-coupons", Every: j.Interval, Alone: true, Step: coupons.Step},
		{Name: "remind", Every: j.Interval, Alone: true, Step: remind.Step},
		{Name: "purge-keys", Every: time.Minute, Alone: true, Step: keys.Step},
		{Name: "purge-tombstones", Every: time.Hour, Alone: true, Step: tombstones.Step},
	}
	for range j.Workers {
		list = append(list, jobs.Job{Name: "work", Every: min(j.Interval, time.Second), Step: worker.Step})
	}
	list = append(list, a.messageJobs()...)
	runner := jobs.Start(st, uuid.NewString(), a.log, list...) //nolint:contextcheck // jobs end by Stop, after the last request
	a.jobs = runner
	a.onStop(func() error { runner.Stop(); return nil })
	return nil
}

// kinds is how each kind of job is done.
func (a *app) kinds() jobs.Kinds {
	distributions := &issuing.Distributions{Store: a.store, Gate: a.gate, Log: a.log}
	codes := issuing.NewCodes(a.store, a.codeKeys)
	return jobs.Kinds{models.JobDistribution: distributions.Do, models.JobCodes: codes.Make}
}

func (a *app) buildServer(context.Context) error {
	gin.SetMode(gin.ReleaseMode)
	a.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.metrics.MustRegister(a.claims.Collectors()...)
	measure, err := middleware.NewMetrics(a.metrics) //nolint:contextcheck // each request brings its own
	if err != nil {
		return err
	}
	routes, err := handlers.Routes(a.deps(measure)) //nolint:contextcheck // each request brings its own
	if err != nil {
		return err
	}
	if err := unknownRoutes(routes, deadlines(a.cfg)); err != nil {
		return err
	}
	h := a.cfg.HTTP
	a.server = &http.Server{
		Handler: middleware.Head(routes), ReadHeaderTimeout: h.ReadHeaderTimeout, ReadTimeout: h.ReadTimeout,
		WriteTimeout: h.WriteTimeout, IdleTimeout: h.IdleTimeout,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	return nil
}

// unknownRoutes says which of the routes that were given a deadline do not exist:
// a misspelt one would go without.
func unknownRoutes(routes *gin.Engine, deadlines map[string]time.Duration) error {
	known := map[string]bool{}
	for _, route := range routes.Routes() {
		known[route.Path] = true
	}
	var faults []error
	for _, path := range slices.Sorted(maps.Keys(deadlines)) {
		if !known[path] {
			faults = append(faults, fmt.Errorf("http.route_timeouts: there is no route %s", path))
		}
	}
	return errors.Join(faults...)
}

// deadlines is how long the work on a request may take, by its route; all others
// have http.request_timeout.
func deadlines(cfg config.Config) map[string]time.Duration {
	all := commitDeadlines(cfg)
	for _, route := range []string{"/v1/users/import", "/v1/distributions/import", "/v1/distributions/:id/failures.csv"} {
		all[route] = cfg.HTTP.UploadTimeout
	}
	for _, route := range []string{"/v1/locks/:xid/refund", "/v1/locks/batch/confirm", "/v1/locks/batch/cancel"} {
		all[route] = cfg.Checkout.Timeout
	}
	// Five million codes to a slow client; what it may take for a piece of them is
	// bounded where they are sent.
	all["/v1/templates/:id/codes.csv"] = time.Hour
	maps.Copy(all, cfg.HTTP.TimeoutsByRoute())
	return all
}

// commitDeadlines are those of the routes whose requests wait for a batch.
func commitDeadlines(cfg config.Config) map[string]time.Duration {
	lock := cfg.Checkout.Timeout
	return map[string]time.Duration{
		"/v1/claims": cfg.Claims.Timeout,
		"/v1/locks":  lock, "/v1/locks/:xid/confirm": lock, "/v1/locks/:xid/cancel": lock,
		"/v1/dtm/locks/try": lock, "/v1/dtm/locks/confirm": lock, "/v1/dtm/locks/cancel": lock,
	}
}

// uploadsAtOnce bounds what uploads take of the disk, and of the database's time.
const uploadsAtOnce = 4

func (a *app) deps(measure gin.HandlerFunc) handlers.Deps {
	storeName, gateName := a.store.Name(), "gate"
	if len(a.cfg.Redis.Addrs) > 0 {
		gateName = "redis"
	}
	h := a.cfg.HTTP
	bounds := []gin.HandlerFunc{
		middleware.InFlight(h.MaxInFlight, h.MaxInFlightPerRoute, slices.Collect(maps.Keys(commitDeadlines(a.cfg)))...),
		middleware.BodyLimit(h.MaxBodyBytes, h.MaxBodiesBytes),
	}
	uploads := []gin.HandlerFunc{
		middleware.InFlight(uploadsAtOnce, uploadsAtOnce), middleware.BodyLimit(h.MaxUploadBytes, uploadsAtOnce*h.MaxUploadBytes),
	}
	if l := a.cfg.Limits; l.Enabled {
		limits := middleware.Limits(
			middleware.Rate{PerSecond: l.UserPerSecond, Burst: l.UserBurst},
			middleware.Rate{PerSecond: l.KeyPerSecond, Burst: l.KeyBurst}, a.store.Now)
		bounds, uploads = append(bounds, limits), append(uploads, limits)
	}
	return handlers.Deps{
		Store: a.store, Claims: a.claims, Checkout: a.checkout, Audience: &issuing.Audience{Store: a.store}, ForgetKey: a.auth.Forget,
		Codes:             issuing.NewCodes(a.store, a.codeKeys),
		CompileExpression: discount.CompileExpression,
		Channels:          append([]models.Channel{models.ChannelInbox}, addressed(a.cfg)...),
		Webhooks:          issuing.NewWebhooks(a.store, a.codeKeys),
		Sealer:            a.codeKeys,
		WebhookRules:      handlers.WebhookRules{Private: a.cfg.Webhooks.AllowPrivate, Public: courier.PublicHost},
		Now:               a.store.Now,
		Probes:            map[string]handlers.Probe{storeName: a.store.Ping, gateName: a.gate.Ping},
		Metrics:           promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{}),
		OpenAPI:           openapi, Docs: web.Docs(),
		TrustedProxies: h.TrustedProxies,
		Around: []gin.HandlerFunc{
			middleware.Begin(a.log), middleware.Access(middleware.AccessMode(a.cfg.Log.Access)), measure,
			middleware.Recover(), middleware.Timeout(h.RequestTimeout, deadlines(a.cfg)),
		},
		Auth: middleware.Auth(a.auth), Bounds: bounds, UploadBounds: uploads, UploadTimeout: h.UploadTimeout,
	}
}

// serve runs until ctx ends, then drains: no new request, those in flight
// answered, batches committed.
func (a *app) serve(ctx context.Context, listener net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- a.server.Serve(newDoor(a.server, listener, a.cfg.HTTP.MaxConnections)) }()
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("serve: %w", err), a.stop())
	case <-ctx.Done():
	}
	a.log.InfoContext(ctx, "stopping: answering what is under way")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.HTTP.ShutdownTimeout)
	defer cancel()
	err := a.server.Shutdown(drain)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), a.server.Close())
	}
	return errors.Join(err, a.stop())
}

func newLogger(cfg config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToUpper(cfg.Level))); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
