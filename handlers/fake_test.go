package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	"scrip/handlers/middleware"
	"scrip/models"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	goleak.VerifyTestMain(m)
}

// fake stands for the store and the claim service: it answers with what it was
// given, notes what it was asked, and keeps answers by idempotency key as the
// store does, in one "transaction" with the change.
type fake struct {
	mu sync.Mutex

	rule     models.Rule
	template models.Template
	coupon   models.Coupon
	budget   models.Budget
	verdict  models.LockVerdict
	job      models.Job
	user     models.User
	failures []models.DeliveryFailure
	broken   error    // that ends the failures
	rows     int      // how many rows every list has
	pieces   []string // of an answer that is streamed
	refusal  error
	bounds   []gin.HandlerFunc // beside that of the body
	enter    chan struct{}     // if set, a change says that it has begun …
	leave    chan struct{}     // … and waits to be let go

	changes   int // made, replays not counted
	announced []models.Template
	asked     models.Page
	args      map[string]any
	kept      map[[32]byte]keptAnswer
}

type keptAnswer struct {
	hash   [32]byte
	answer models.Replay
}

func newFake() *fake {
	at := time.Date(2026, 1, 2, 3, 4, 5, 67_800_000, time.UTC)
	days, stock := 7, int64(10)
	return &fake{
		rule: models.Rule{
			ID: 11, MerchantID: "m1", Version: 1, Name: "ten off", Kind: models.KindAmountOff,
			Effect: models.Effect{AmountOff: ptr(int64(1000)), Currency: "USD"},
			Scope:  models.Scope{Storewide: true}, Stacking: models.DefaultStacking(), CreatedAt: at,
		},
		template: models.Template{
			ID: 21, MerchantID: "m1", State: models.TemplateDraft, RuleVersion: 1, Version: 3, Claimed: 4,
			CreatedAt: at, UpdatedAt: at,
			TemplateSpec: models.TemplateSpec{
				Name: "spring", RuleID: 11, Currency: "USD", TimeZone: "UTC", Stock: &stock, PerUserLimit: 1,
				ClaimWindow: &models.Window{From: &at}, Validity: models.Validity{DaysAfterClaim: &days},
				Audience: models.Audience{Kind: models.AudienceTags, Tags: []string{"vip"}}, Issue: models.IssueClaim,
				ReturnPolicy: models.DefaultReturnPolicy(), Metadata: json.RawMessage(`{"a":1,"b":{"c":2}}`),
			},
		},
		coupon: models.Coupon{
			ID: 31, Code: "ABC", TemplateID: 21, RuleVersion: 1, UserID: "u1", Status: models.CouponAvailable,
			IssueNo: 5, ValidFrom: at, ExpiresAt: at.Add(48 * time.Hour), ClaimedAt: at,
		},
		budget: newBudget(at), verdict: models.LockVerdict{Lock: newLock(at), Made: true},
		job: newJob(at), user: newUser(at),
		rows: 1, args: map[string]any{}, kept: map[[32]byte]keptAnswer{},
	}
}

func ptr[T any](v T) *T { return &v }

func (f *fake) note(name string, v any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.args[name] = v
}

func (f *fake) arg(name string) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.args[name]
}

// commit is the fake's transaction.
func commit[T any](f *fake, op models.Op, do func() (T, error)) (T, error) {
	var none T
	f.note("op", op)
	if f.enter != nil {
		f.enter <- struct{}{}
		<-f.leave
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if op.Key != nil {
		if old, found := f.kept[op.Key.ID]; found && old.hash != op.Key.Hash {
			return none, models.ErrKeyReused()
		} else if found {
			return none, &old.answer
		}
	}
	f.changes++
	result, err := none, f.refusal
	if err == nil {
		result, err = do()
	}
	if op.Key != nil {
		var shown any
		if err == nil {
			shown = result
		}
		if made, keep := op.Key.Render(shown, err); keep {
			f.kept[op.Key.ID] = keptAnswer{op.Key.Hash, made}
		}
	}
	return result, err
}

// list makes as many rows as the fake has beyond page.Before, newest first.
func list[T any](f *fake, page models.Page, row func(models.ID) T) ([]T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = page
	first := models.ID(f.rows)
	if page.Before != 0 {
		first = page.Before - 1
	}
	var rows []T
	for id := first; id > 0 && len(rows) < page.Limit; id-- {
		rows = append(rows, row(id))
	}
	return rows, f.refusal
}

func (f *fake) CreateRule(_ context.Context, op models.Op, r models.Rule) (models.Rule, error) {
	return commit(f, op, func() (models.Rule, error) {
		r.ID, r.Version, r.CreatedAt = 11, 1, op.At
		f.args["rule"] = r
		return r, nil
	})
}

func (f *fake) AddRuleVersion(_ context.Context, op models.Op, id models.ID, r models.Rule) (models.Rule, error) {
	return commit(f, op, func() (models.Rule, error) {
		r.ID, r.Version, r.CreatedAt = id, 2, op.At
		return r, nil
	})
}

func (f *fake) Rule(_ context.Context, _ models.Principal, _ models.ID, version int) (models.Rule, error) {
	f.note("version", version)
	return f.rule, f.refusal
}

func (f *fake) Rules(_ context.Context, _ models.Principal, page models.Page) ([]models.Rule, error) {
	return list(f, page, func(id models.ID) models.Rule { r := f.rule; r.ID = id; return r })
}

func (f *fake) CreateTemplate(
	_ context.Context, op models.Op, merchantID string, spec models.TemplateSpec,
) (models.Template, error) {
	return commit(f, op, func() (models.Template, error) {
		f.args["spec"] = spec
		return models.Template{
			ID: 21, MerchantID: merchantID, State: models.TemplateDraft, RuleVersion: 1, Version: 1,
			CreatedAt: op.At, UpdatedAt: op.At, TemplateSpec: spec,
		}, nil
	})
}

func (f *fake) Template(context.Context, models.Principal, models.ID) (models.Template, error) {
	return f.template, f.refusal
}

func (f *fake) Templates(
	_ context.Context, _ models.Principal, filter models.TemplateFilter, page models.Page,
) ([]models.Template, error) {
	f.note("filter", filter)
	return list(f, page, func(id models.ID) models.Template { t := f.template; t.ID = id; return t })
}

func (f *fake) EditTemplate(
	_ context.Context, op models.Op, _ models.ID, ifVersion int64, edit func(*models.Template) error,
) (models.Template, error) {
	return commit(f, op, func() (models.Template, error) {
		if ifVersion != f.template.Version {
			return models.Template{}, models.Refuse(models.CodeVersion, "it is version %d by now", f.template.Version)
		}
		again := f.template
		if err := edit(&again); err != nil { // as when a deadlock makes the store start over
			return models.Template{}, err
		}
		if err := edit(&f.template); err != nil {
			return models.Template{}, err
		}
		f.template.Version++
		return f.template, nil
	})
}

func (f *fake) MoveTemplate(
	_ context.Context, op models.Op, _ models.ID, action models.TemplateAction,
) (models.Template, error) {
	return commit(f, op, func() (models.Template, error) {
		if !action.Leaves(f.template.State) {
			return models.Template{}, models.Refuse(models.CodeWrongState, "it is %s", f.template.State)
		}
		f.template.State = action.Target()
		return f.template, nil
	})
}

func (f *fake) AddStock(_ context.Context, op models.Op, _ models.ID, delta int64) (models.Template, error) {
	return commit(f, op, func() (models.Template, error) {
		f.template.Stock = ptr(*f.template.Stock + delta)
		return f.template, nil
	})
}

func (f *fake) TemplateStats(
	_ context.Context, _ models.Principal, id models.ID, _ time.Time,
) (models.TemplateStats, error) {
	return models.TemplateStats{
		TemplateID: id, Stock: ptr(int64(10)), Claimed: 4, Remaining: ptr(int64(6)), Available: 3, Revoked: 1,
	}, f.refusal
}

func (f *fake) TemplateCoupons(
	_ context.Context, _ models.Principal, _ models.ID, page models.Page,
) ([]models.Coupon, error) {
	return list(f, page, func(n models.ID) models.Coupon { c := f.coupon; c.ID, c.IssueNo = 1000-n, int64(n); return c })
}

func (f *fake) Coupon(context.Context, models.Principal, models.ID) (models.Coupon, error) {
	return f.coupon, f.refusal
}

func (f *fake) Coupons(
	_ context.Context, _ models.Principal, filter models.CouponFilter, _ time.Time, page models.Page,
) ([]models.Coupon, error) {
	f.note("filter", filter)
	return list(f, page, func(id models.ID) models.Coupon { c := f.coupon; c.ID = id; return c })
}

func (f *fake) RevokeCoupon(_ context.Context, op models.Op, _ models.ID) (models.Coupon, error) {
	return commit(f, op, func() (models.Coupon, error) {
		c := f.coupon
		c.Status = models.CouponRevoked
		return c, nil
	})
}

func (f *fake) CreateAPIKey(_ context.Context, op models.Op, key models.APIKey, hash [32]byte) (models.APIKey, error) {
	return commit(f, op, func() (models.APIKey, error) {
		key.ID, key.CreatedAt = 41, op.At
		f.args["key"], f.args["hash"] = key, hash
		return key, nil
	})
}

func (f *fake) APIKeys(_ context.Context, _ models.Principal, page models.Page) ([]models.APIKey, error) {
	return list(f, page, func(id models.ID) models.APIKey { return models.APIKey{ID: id, Role: models.RoleService} })
}

func (f *fake) DeleteAPIKey(_ context.Context, op models.Op, _ models.ID) ([32]byte, error) {
	return commit(f, op, func() ([32]byte, error) { return [32]byte{7}, nil })
}

// turner seals by turning every bit, and binds to the key by its first byte.
type turner struct{}

func (turner) SealAnswer(key [32]byte, body []byte) []byte {
	sealed := []byte{key[0]}
	for _, b := range body {
		sealed = append(sealed, ^b)
	}
	return sealed
}

func (t turner) OpenAnswer(key [32]byte, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != key[0] {
		return nil, errNotOpened
	}
	return t.SealAnswer(key, sealed[1:])[1:], nil
}

var errNotOpened = errors.New("does not open")

// hookMaker is the fake's part that makes webhooks.
type hookMaker struct{ *fake }

func (f hookMaker) Create(_ context.Context, op models.Op, w models.Webhook) (models.Webhook, error) {
	return commit(f.fake, op, func() (models.Webhook, error) {
		w.ID, w.State, w.CreatedAt = 91, models.WebhookActive, op.At
		f.args["webhook"] = w
		return w, nil
	})
}

func (f *fake) Webhooks(_ context.Context, _ models.Principal, page models.Page) ([]models.Webhook, error) {
	return list(f, page, func(id models.ID) models.Webhook {
		return models.Webhook{ID: id, Secret: models.NewWebhookSecret(), State: models.WebhookActive}
	})
}

func (f *fake) Inbox(_ context.Context, userID, locale string, page models.Page) (models.Inbox, error) {
	f.note("user", userID)
	f.note("locale", locale)
	rows, err := list(f, page, func(id models.ID) models.Message { m := newMessage(); m.ID = id; return m })
	return models.Inbox{Messages: rows, Unread: 3}, err
}

func (f *fake) ReadMessage(_ context.Context, op models.Op, userID string, id models.ID) (models.Message, error) {
	return commit(f, op, func() (models.Message, error) {
		f.args["user"] = userID
		m := newMessage()
		m.ID, m.ReadAt = id, &op.At
		return m, nil
	})
}

func newMessage() models.Message {
	return models.Message{
		ID: 101, UserID: "u1", Kind: models.ContentReminder, Text: models.Text{Title: "soon", Body: "over"}, Locale: "en",
		About: map[string]models.ID{"template_id": 21}, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 67_800_000, time.UTC),
	}
}

func (f *fake) DeleteWebhook(_ context.Context, op models.Op, _ models.ID) error {
	_, err := commit(f, op, func() (struct{}, error) { return struct{}{}, nil })
	return err
}

func (f *fake) Audit(
	_ context.Context, _ models.Principal, filter models.AuditFilter, page models.Page,
) ([]models.AuditEntry, error) {
	f.note("filter", filter)
	return list(f, page, func(id models.ID) models.AuditEntry { return models.AuditEntry{ID: id, Action: "publish"} })
}

func (f *fake) Claim(
	_ context.Context, op models.Op, templateID models.ID, userID string, tags []string,
) (models.Coupon, error) {
	return commit(f, op, func() (models.Coupon, error) {
		f.args["tags"] = tags
		c := f.coupon
		c.TemplateID, c.UserID = templateID, userID
		return c, nil
	})
}

func (f *fake) Claimable(
	_ context.Context, _ models.Principal, userID string, tags []string, page models.Page,
) ([]models.Template, error) {
	f.note("user", userID)
	f.note("tags", tags)
	return list(f, page, func(id models.ID) models.Template { t := f.template; t.ID = id; return t })
}

func (f *fake) TemplateChanged(ctx context.Context, t models.Template) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() == nil {
		f.announced = append(f.announced, t)
	}
}

var errNoCompile = errors.New("unexpected end of expression")

const testMaxBody, testMaxUpload = 64 << 10, 128 << 10

// oneCaller takes every API key for the same caller's.
type oneCaller models.Principal

func (p oneCaller) KeyByHash(context.Context, [32]byte) (models.Principal, error) {
	return models.Principal(p), nil
}

// serve builds the real router around a fake, for one caller.
func serve(tb testing.TB, f *fake, actor models.Principal) http.Handler {
	tb.Helper()
	text := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
	}
	quiet := slog.New(slog.DiscardHandler)
	auth, err := middleware.NewAuthenticator(tb.Context(), middleware.AuthOptions{
		Keys: oneCaller(actor), KeyTTL: time.Hour, Failures: middleware.Rate{}, Now: time.Now, Log: quiet,
	})
	if err != nil {
		tb.Fatal(err)
	}
	router, err := Routes(Deps{
		Store:    f,
		Claims:   f,
		Codes:    codeMaker{f},
		Checkout: f,
		Audience: f,
		Channels: []models.Channel{models.ChannelInbox},
		CompileExpression: func(s string) error {
			if strings.HasSuffix(s, "(") {
				return errNoCompile
			}
			return nil
		},
		ForgetKey:    func(hash [32]byte) { f.note("forgotten", hash) },
		Now:          func() time.Time { return time.Date(2026, 1, 3, 0, 0, 0, 999_999, time.UTC) },
		Probes:       map[string]Probe{"mysql": func(context.Context) error { return nil }},
		Metrics:      text("metrics"),
		OpenAPI:      []byte("openapi: 3.1.0"),
		Docs:         text("docs"),
		Around:       []gin.HandlerFunc{middleware.Begin(quiet), middleware.Recover()},
		Auth:         middleware.Auth(auth),
		Bounds:       append([]gin.HandlerFunc{middleware.BodyLimit(testMaxBody, 1<<30)}, f.bounds...),
		UploadBounds: []gin.HandlerFunc{middleware.BodyLimit(testMaxUpload, 1<<30)}, UploadTimeout: time.Minute,
		Webhooks:     hookMaker{f},
		Sealer:       turner{},
		WebhookRules: WebhookRules{Public: func(host string) bool { return !strings.HasPrefix(host, "10.") }},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return router
}

// request is one call; Body "" sends none.
type request struct {
	method, path, body string
	header             map[string]string
}

func call(h http.Handler, r request) *httptest.ResponseRecorder {
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req := httptest.NewRequest(r.method, r.path, body)
	switch {
	case strings.HasPrefix(r.body, "user_id"):
		req.Header.Set("Content-Type", "text/csv")
	case r.body != "":
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer sk_test")
	for name, value := range r.header {
		req.Header[http.CanonicalHeaderKey(name)] = []string{value}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// problem is what the tests look at in a refusal.
type problem struct {
	Status int
	Code   models.Code
	Detail string
	Errors []models.FieldError
}

func problemOf(tb testing.TB, w *httptest.ResponseRecorder) problem {
	tb.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		tb.Fatalf("Content-Type %q of %d %s", got, w.Code, w.Body)
	}
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		tb.Fatalf("problem: %v in %s", err, w.Body)
	}
	if p.Status != w.Code {
		tb.Errorf("the problem says %d, the answer is %d", p.Status, w.Code)
	}
	return p
}

// fields lists the fields that a refusal names.
func (p problem) fields() []string {
	var names []string
	for _, e := range p.Errors {
		names = append(names, e.Field)
	}
	return names
}

func platform() models.Principal {
	return models.Principal{Role: models.RolePlatform, Credential: "key:1"}
}

func merchant() models.Principal {
	return models.Principal{Role: models.RoleMerchant, MerchantID: "m1", Credential: "key:2"}
}

func service() models.Principal {
	return models.Principal{Role: models.RoleService, Credential: "key:3"}
}

func user() models.Principal {
	return models.Principal{Role: models.RoleUser, UserID: "u1", Tags: []string{"vip"}, Credential: "user:u1"}
}
