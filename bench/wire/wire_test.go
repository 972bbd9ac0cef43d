package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"scrip/bench/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(t *testing.T, url string, timeout time.Duration) *wire.Conn {
	t.Helper()
	target, err := wire.NewTarget(url)
	if err != nil {
		t.Fatal(err)
	}
	conn := wire.NewConn(target, timeout)
	t.Cleanup(conn.Close)
	return conn
}

func request(path, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

func TestManyRequestsOverOneConnection(t *testing.T) {
	t.Parallel()
	opened := make(chan struct{}, 100)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Path", r.URL.Path)
		switch r.URL.Path {
		case "/chunked":
			_, _ = w.Write(body[:1])
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(body[1:])
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = w.Write(body)
		case "/bye":
			w.Header().Set("Connection", "close")
			_, _ = w.Write(body)
		default:
			w.WriteHeader(http.StatusTeapot)
			_, _ = w.Write(body)
		}
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()

	conn := dial(t, server.URL, time.Minute)
	want := map[string]string{
		"/plain": "418 abc", "/chunked": "200 abc", "/empty": "204 ", "/early": "200 abc", "/bye": "200 abc",
	}
	for _, path := range []string{"/plain", "/chunked", "/empty", "/early", "/plain", "/bye", "/plain"} {
		answer, err := conn.Do(t.Context(), request(path, "abc"))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if got := fmt.Sprintf("%d %s", answer.Status, answer.Body); got != want[path] {
			t.Errorf("%s: got %q, want %q", path, got, want[path])
		}
		if answer.Header.Get("X-Path") != path {
			t.Errorf("%s: got the answer of %q", path, answer.Header.Get("X-Path"))
		}
	}
	if n := len(opened); n != 2 {
		t.Errorf("%d connections, want one, and another after /bye", n)
	}
}

func TestABrokenConnectionIsAnErrorAndTheNextRequestDialsAnew(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/die" {
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	conn := dial(t, server.URL, time.Minute)
	for i, path := range []string{"/live", "/die", "/live", "/die", "/live"} {
		_, err := conn.Do(t.Context(), request(path, ""))
		if (err != nil) != (path == "/die") {
			t.Errorf("request %d, %s: %v", i, path, err)
		}
	}
}

func TestATooLongAnswerIsRefused(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(endless{}, 2<<20))
	}))
	defer server.Close()
	if _, err := dial(t, server.URL, time.Minute).Do(t.Context(), request("/", "")); err == nil {
		t.Error("2 MiB were taken")
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestTheTimeoutAndTheContextEndAWait(t *testing.T) {
	t.Parallel()
	arrived, done := make(chan struct{}, 2), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-done
	}))
	defer server.Close()
	defer close(done)

	_, err := dial(t, server.URL, 50*time.Millisecond).Do(t.Context(), request("/", ""))
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
	<-arrived

	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-arrived
		cancel(cause)
	}()
	if _, err := dial(t, server.URL, time.Minute).Do(ctx, request("/", "")); !errors.Is(err, cause) {
		t.Errorf("got %v, want the context's cause", err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	// The test server's certificate is nobody's: to be refused is to have looked.
	_, err := dial(t, server.URL, time.Minute).Do(t.Context(), request("/", ""))
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want a refused certificate", err)
	}
}

func TestNewTarget(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, base := range []string{
		"http://127.0.0.1:8080", "http://h/", "https://h/a/b/", "http://[::1]:1", "ftp://h", "h:1", "http://", "http://h?q", "http://%zz",
	} {
		target, err := wire.NewTarget(base)
		if err != nil {
			got[base] = "refused"
			continue
		}
		got[base] = target.Host + " " + target.Hostname() + " " + target.Path
	}
	want := map[string]string{
		"http://127.0.0.1:8080": "127.0.0.1:8080 127.0.0.1 ", "http://h/": "h h ", "https://h/a/b/": "h h /a/b",
		"http://[::1]:1": "[::1]:1 ::1 ", "ftp://h": "refused", "h:1": "refused", "http://": "refused",
		"http://h?q": "refused", "http://%zz": "refused",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
