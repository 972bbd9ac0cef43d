package middleware

import (
	"bytes"
	"context"
	"encoding/json"
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

	"scrip/models"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	goleak.VerifyTestMain(m)
}

// handClock is a clock that only its owner moves.
type handClock struct {
	mu sync.Mutex
	t  time.Time
}

func newHandClock() *handClock {
	return &handClock{t: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)}
}

func (c *handClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *handClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// logBook keeps what was logged, a JSON object a line.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBook) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(b, nil)) }

func (b *logBook) lines(t *testing.T) []map[string]any {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var lines []map[string]any
	for line := range strings.Lines(b.buf.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, entry)
	}
	return lines
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serve answers one request by a route /things/:id with the middlewares and
// the handler.
func serve(t *testing.T, request *http.Request, chain ...gin.HandlerFunc) *httptest.ResponseRecorder {
	t.Helper()
	return ask(router(t, chain...), request)
}

func router(tb testing.TB, chain ...gin.HandlerFunc) *gin.Engine {
	tb.Helper()
	r := gin.New()
	if err := r.SetTrustedProxies(nil); err != nil {
		tb.Fatal(err)
	}
	r.Any("/things/:id", chain...)
	return r
}

func get(t *testing.T, headers ...string) *http.Request {
	t.Helper()
	return send(t, http.MethodGet, nil, headers...)
}

func send(t *testing.T, method string, body io.Reader, headers ...string) *http.Request {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, "/things/7?q=secret", body)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	return request
}

func ok(c *gin.Context) { c.String(http.StatusOK, "ok") }

func failing(err error) gin.HandlerFunc {
	return Handle(func(*gin.Context) error { return err })
}

// problemIn reads the problem of an answer, and checks that it agrees with the
// status and the headers.
func problemIn(t *testing.T, got *httptest.ResponseRecorder) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(got.Body.Bytes(), &p); err != nil {
		t.Fatalf("%q: %v", got.Body, err)
	}
	if p.Status != got.Code || p.RequestID != got.Header().Get("X-Request-Id") || p.Type != "about:blank" ||
		p.Title != http.StatusText(got.Code) || got.Header().Get("Content-Type") != typeProblem {
		t.Errorf("%d %v with %+v", got.Code, got.Header(), p)
	}
	return p
}

func wantCode(t *testing.T, got *httptest.ResponseRecorder, want models.Code) {
	t.Helper()
	if code := problemIn(t, got).Code; code != want {
		t.Errorf("code %q, want %q: %s", code, want, got.Body)
	}
}

// lookupFunc is a keyLookup.
type lookupFunc func(ctx context.Context, hash [32]byte) (models.Principal, error)

func (f lookupFunc) KeyByHash(ctx context.Context, hash [32]byte) (models.Principal, error) {
	return f(ctx, hash)
}
