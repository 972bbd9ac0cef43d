package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"scrip/models"
)

func TestHandleAnswersErrors(t *testing.T) {
	t.Parallel()
	wantCode(t, serve(t, get(t), Begin(quiet()), failing(models.ErrSoldOut())), models.CodeSoldOut)
	got := serve(t, get(t), Begin(quiet()), Handle(func(c *gin.Context) error {
		c.String(http.StatusCreated, "made")
		return nil
	}))
	if got.Code != http.StatusCreated || got.Body.String() != "made" {
		t.Errorf("got %d %q", got.Code, got.Body)
	}
}

func TestHandleLogsWhatTheCallerIsNotTold(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk is full")
	for name, test := range map[string]struct {
		err  error
		want string // level of the one line; empty: no line
	}{
		"fault":              {cause, "ERROR"},
		"fault with a code":  {models.Refuse(models.CodeInternal, "x"), "ERROR"},
		"refusal":            {models.ErrSoldOut(), ""},
		"busy":               {models.Busy("full"), ""},
		"busy with a cause":  {errors.Join(models.Busy("away"), cause), "WARN"},
		"busy for no time":   {errors.Join(models.Busy("away"), context.DeadlineExceeded), ""},
		"no time":            {context.DeadlineExceeded, ""},
		"unknown outcome":    {fmt.Errorf("%w: %w", models.ErrUnknown, cause), "WARN"},
		"replay":             {&models.Replay{Status: 409, Body: []byte("{}")}, ""},
		"replay of an error": {&models.Replay{Status: 500, Body: []byte("{}")}, ""},
	} {
		var book logBook
		request := get(t, "X-Request-Id", "r1", "Traceparent", goodTrace)
		serve(t, request, Begin(book.logger()), Access(AccessOff), failing(test.err))
		lines := book.lines(t)
		switch {
		case test.want == "" && len(lines) == 0:
		case len(lines) != 1 || test.want == "":
			t.Errorf("%s: logged %v", name, lines)
		case lines[0]["level"] != test.want || lines[0]["request_id"] != "r1" || lines[0]["route"] != "/things/:id" ||
			lines[0]["trace_id"] != "4bf92f3577b34da6a3ce929d0e0e4736" || lines[0]["error"] != test.err.Error():
			t.Errorf("%s: logged %v", name, lines[0])
		}
	}
}

func TestFirstErrorIsTheAnswer(t *testing.T) {
	t.Parallel()
	var book logBook
	got := serve(t, get(t), Begin(book.logger()), Handle(func(c *gin.Context) error {
		fail(c, errors.New("first"))
		return errors.New("second")
	}))
	wantCode(t, got, models.CodeInternal)
	if lines := book.lines(t); len(lines) != 1 || lines[0]["error"] != "first" {
		t.Errorf("logged %v", lines)
	}
}

// TestErrorAfterTheAnswerBegan has the connection cut, for which the server wants
// a panic.
func TestErrorAfterTheAnswerBegan(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err   error
		lines int
	}{{models.NotFound("row"), 1}, {errors.New("cut"), 1}, {fmt.Errorf("client: %w", context.Canceled), 0}} {
		var book logBook
		var cut any
		got := serve(t, get(t), Begin(book.logger()), func(c *gin.Context) {
			defer func() { cut = recover() }()
			Handle(func(c *gin.Context) error {
				c.String(http.StatusOK, "half")
				return test.err
			})(c)
		})
		if err, _ := cut.(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("%v: the connection was left as it is", test.err)
		}
		if got.Code != http.StatusOK || got.Body.String() != "half" {
			t.Errorf("%v: answered %d %q", test.err, got.Code, got.Body)
		}
		if lines := book.lines(t); len(lines) != test.lines {
			t.Errorf("%v: logged %v", test.err, lines)
		}
	}
}

func TestProblemTakesBackTheHeadersOfABody(t *testing.T) {
	t.Parallel()
	got := serve(t, get(t), Begin(quiet()), Handle(func(c *gin.Context) error {
		c.Header("Content-Type", "text/csv")
		c.Header("Content-Length", "3")
		c.Header("Content-Disposition", "attachment")
		c.Header("ETag", `"3"`)
		c.Header("RateLimit", `"user";r=0;t=1`)
		return models.NotFound("file")
	}))
	wantCode(t, got, models.CodeNotFound)
	for _, name := range []string{"Content-Length", "Content-Disposition", "ETag"} {
		if value := got.Header().Get(name); value != "" {
			t.Errorf("%s: %s", name, value)
		}
	}
	if got.Header().Get("RateLimit") == "" {
		t.Error("a header that is not the body's is gone")
	}
}

func TestRecover(t *testing.T) {
	t.Parallel()
	var book logBook
	got := serve(t, get(t, "X-Request-Id", "r1"), Begin(book.logger()), Recover(), func(*gin.Context) { panic("hunter2") })
	p := problemIn(t, got)
	if p.Code != models.CodeInternal || p.RequestID != "r1" || strings.Contains(got.Body.String(), "hunter2") {
		t.Errorf("answered %s", got.Body)
	}
	lines := book.lines(t)
	if len(lines) != 1 || lines[0]["panic"] != "hunter2" || lines[0]["request_id"] != "r1" ||
		!strings.Contains(fmt.Sprint(lines[0]["stack"]), "TestRecover") {
		t.Errorf("logged %v", lines)
	}
}

func TestRecoverStopsTheChain(t *testing.T) {
	t.Parallel()
	r := gin.New()
	reached := false
	r.Use(Begin(quiet()), func(c *gin.Context) { c.Next(); c.Next() }, Recover())
	r.GET("/things/:id", func(*gin.Context) { panic(errors.New("x")) }, func(*gin.Context) { reached = true })
	recorder := httptest.NewRecorder()
	r.ServeHTTP(recorder, get(t))
	if wantCode(t, recorder, models.CodeInternal); reached {
		t.Error("a later handler ran")
	}
}

// A client must not take the first half of an answer for all of it.
func TestRecoverCutsABegunAnswer(t *testing.T) {
	t.Parallel()
	for _, cause := range []any{"late", http.ErrAbortHandler} {
		server := httptest.NewServer(router(t, Begin(quiet()), Access(AccessAll), Recover(), func(c *gin.Context) {
			c.String(http.StatusOK, "half")
			c.Writer.Flush()
			panic(cause)
		}))
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/things/1", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err == nil || string(body) != "half" {
			t.Errorf("%v: the answer %q seemed whole: %v", cause, body, err)
		}
		_ = response.Body.Close()
		server.Close()
	}
}

func TestRecoverLetsAbortPass(t *testing.T) {
	t.Parallel()
	var book logBook
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler { //nolint:errorlint // the very value is meant
			t.Errorf("recovered %v", cause)
		}
		if lines := book.lines(t); len(lines) != 0 {
			t.Errorf("logged %v", lines)
		}
	}()
	serve(t, get(t), Begin(book.logger()), Recover(), func(*gin.Context) { panic(http.ErrAbortHandler) })
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	read := Handle(func(c *gin.Context) error {
		body, err := io.ReadAll(c.Request.Body)
		var over *http.MaxBytesError
		if errors.As(err, &over) {
			return models.Refuse(models.CodeTooLarge, "while reading")
		}
		c.String(http.StatusOK, "%s", body)
		return err
	})
	for _, test := range []struct {
		body      string
		announced bool
		want      string
	}{
		{"12345678", true, "12345678"},
		{"12345678", false, "12345678"},
		{"123456789", true, "the body must be at most 8 bytes"},
		{"123456789", false, "while reading"},
	} {
		request := send(t, http.MethodPost, strings.NewReader(test.body))
		if !test.announced {
			request.ContentLength = -1
		}
		got := serve(t, request, Begin(quiet()), BodyLimit(8, 1<<20), read)
		text := got.Body.String()
		if got.Code != http.StatusOK {
			text = problemIn(t, got).Detail
		}
		if text != test.want {
			t.Errorf("%q, announced %v: %d %q", test.body, test.announced, got.Code, text)
		}
	}
}

func TestAllBodiesTogetherAreBounded(t *testing.T) {
	t.Parallel()
	limit := BodyLimit(100, 150)
	var held, inside io.Reader
	read := Handle(func(c *gin.Context) error {
		_, err := io.ReadAll(c.Request.Body)
		if err == nil && held != nil {
			inside, held = held, nil
			got := serve(t, send(t, http.MethodPost, inside), Begin(quiet()), limit, readBody)
			if got.Code != http.StatusServiceUnavailable || problemIn(t, got).Code != models.CodeBusy {
				t.Errorf("beside another: %d %s", got.Code, got.Body)
			}
		}
		return err
	})
	held = strings.NewReader(strings.Repeat("x", 60))
	if got := serve(t, send(t, http.MethodPost, strings.NewReader(strings.Repeat("x", 100))), Begin(quiet()), limit, read); got.Code != http.StatusOK {
		t.Errorf("alone: %d %s", got.Code, got.Body)
	}
	// Both are done with, so there is room again.
	got := serve(t, send(t, http.MethodPost, strings.NewReader(strings.Repeat("x", 100))), Begin(quiet()), limit, readBody)
	if got.Code != http.StatusOK {
		t.Errorf("afterwards: %d %s", got.Code, got.Body)
	}
}

func readBody(c *gin.Context) {
	if _, err := io.ReadAll(c.Request.Body); err != nil {
		fail(c, err)
	}
}

func TestInFlight(t *testing.T) {
	t.Parallel()
	const here, elsewhere = "/things/7", "/others"
	for name, test := range map[string]struct {
		bound gin.HandlerFunc
		path  string // of a request beside one for here
		want  int
	}{
		"no more":             {InFlight(1, 9), elsewhere, http.StatusServiceUnavailable},
		"no more of the same": {InFlight(9, 1), here, http.StatusServiceUnavailable},
		"one of another":      {InFlight(2, 1), elsewhere, http.StatusOK},
		"one left out":        {InFlight(1, 1, "/things/:id"), here, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r *gin.Engine
			var beside *httptest.ResponseRecorder
			r = router(t, Begin(quiet()), test.bound, func(c *gin.Context) {
				if beside == nil {
					beside = httptest.NewRecorder() // that one asks for no other
					beside = ask(r, httptest.NewRequestWithContext(t.Context(), http.MethodGet, test.path, nil))
				}
				ok(c)
			})
			r.GET("/others", Begin(quiet()), test.bound, ok)
			for range 2 { // what was refused and what was not are both forgotten
				beside = nil
				if got := ask(r, get(t)); got.Code != http.StatusOK {
					t.Errorf("the first: %d", got.Code)
				}
				if refused := beside.Code != http.StatusOK; beside.Code != test.want || refused != (beside.Header().Get("Retry-After") != "") {
					t.Errorf("beside it: %d %v", beside.Code, beside.Header())
				}
			}
		})
	}
}

func ask(h http.Handler, request *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	return recorder
}

func TestTimeoutIsADeadline(t *testing.T) {
	t.Parallel()
	var inner context.Context
	serve(t, get(t), Begin(quiet()), Timeout(time.Hour, nil), func(c *gin.Context) {
		inner = c.Request.Context() //nolint:fatcontext // looked at once the request is over
		if at, ok := inner.Deadline(); !ok || time.Until(at) > time.Hour || inner.Err() != nil {
			t.Errorf("deadline %v, %v", at, inner.Err())
		}
		if _, found := inner.Value(exchangeKey{}).(*exchange); !found {
			t.Error("the exchange was lost")
		}
	})
	if !errors.Is(inner.Err(), context.Canceled) {
		t.Errorf("the context outlives its request: %v", inner.Err())
	}
}

func TestTimeoutThatIsOver(t *testing.T) {
	t.Parallel()
	got := serve(t, get(t), Begin(quiet()), Timeout(0, nil), Handle(func(c *gin.Context) error {
		<-c.Request.Context().Done()
		return c.Request.Context().Err()
	}))
	wantCode(t, got, models.CodeBusy)
}
