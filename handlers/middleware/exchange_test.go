package middleware

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"scrip/models"
)

func TestRequestID(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		sent []string
		kept bool
	}{
		{nil, false},
		{[]string{"a"}, true},
		{[]string{`!"~<>&{}`}, true},
		{[]string{strings.Repeat("x", 128)}, true},
		{[]string{strings.Repeat("x", 129)}, false},
		{[]string{""}, false},
		{[]string{"a b"}, false},
		{[]string{"a\nb"}, false},
		{[]string{"é"}, false},
		{[]string{"\x7f"}, false},
		{[]string{"a", "b"}, false},
	} {
		request := get(t)
		request.Header["X-Request-Id"] = test.sent
		var inside string
		got := serve(t, request, Begin(quiet()), func(c *gin.Context) { inside = RequestID(c) })
		outside := got.Header()["X-Request-Id"]
		if len(outside) != 1 || outside[0] != inside {
			t.Errorf("%q: %q inside, %q outside", test.sent, inside, outside)
		}
		id, err := uuid.Parse(inside)
		made := err == nil && id.Version() == 7
		if test.kept && inside != test.sent[0] || !test.kept && !made {
			t.Errorf("%q became %q", test.sent, inside)
		}
	}
}

const goodTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestTraceparent(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		goodTrace:                   "01",
		goodTrace[:53] + "00":       "00",
		goodTrace[:53] + "ff":       "01", // unknown flags are not passed on
		"01" + goodTrace[2:]:        "01",
		"cc" + goodTrace[2:] + "-x": "01",
		"":                          "",
		goodTrace + "-x":            "", // version 00 has nothing more
		"cc" + goodTrace[2:] + "x":  "",
		"ff" + goodTrace[2:]:        "",
		"0x" + goodTrace[2:]:        "",
		goodTrace[:54]:              "",
		strings.ToUpper(goodTrace):  "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": "",
		"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01": "",
		"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g": "",
	} {
		got := serve(t, get(t, "Traceparent", sent), Begin(quiet()), ok).Header().Get("traceparent")
		switch {
		case want == "" && got == "":
		case want == "" || !isTraceparent(got) || got[:36] != "00"+sent[2:36] || got[53:] != want || got[36:52] == sent[36:52]:
			t.Errorf("%q was answered by %q", sent, got)
		}
	}
	request := get(t, "Traceparent", goodTrace, "Traceparent", goodTrace)
	if got := serve(t, request, Begin(quiet()), ok).Header().Get("traceparent"); got != "" {
		t.Errorf("two were answered by %q", got)
	}
}

func TestWithoutBegin(t *testing.T) {
	t.Parallel()
	var first, second string
	got := serve(t, get(t), func(c *gin.Context) { first = RequestID(c) }, func(c *gin.Context) {
		second = RequestID(c)
		if diff := cmp.Diff(models.Principal{}, Principal(c)); diff != "" {
			t.Errorf("somebody calls: %s", diff)
		}
	})
	if first == "" || first != second || got.Header().Get("X-Request-Id") != first {
		t.Errorf("%q, then %q", first, second)
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	boom := failing(errors.New("boom"))
	for _, test := range []struct {
		mode    AccessMode
		handler gin.HandlerFunc
		level   string // empty: no line
		status  float64
	}{
		{AccessAll, ok, "INFO", 200},
		{AccessAll, failing(models.ErrSoldOut()), "INFO", 409},
		{AccessAll, boom, "WARN", 500},
		{AccessErrors, ok, "", 0},
		{AccessErrors, failing(models.ErrSoldOut()), "", 0},
		{AccessErrors, failing(models.Busy("full")), "WARN", 503},
		{AccessErrors, func(*gin.Context) { panic("boom") }, "WARN", 500},
		{AccessOff, boom, "", 0},
	} {
		var book logBook
		as := func(c *gin.Context) { exchangeOf(c).principal.Credential = "user:u1" }
		serve(t, get(t, "X-Request-Id", "r1"), Begin(book.logger()), Access(test.mode), Recover(), as, test.handler)
		var lines []map[string]any
		for _, line := range book.lines(t) {
			if line["msg"] == "request" {
				lines = append(lines, line)
			}
		}
		if test.level == "" {
			if len(lines) != 0 {
				t.Errorf("%s: %v", test.mode, lines)
			}
			continue
		}
		if len(lines) != 1 {
			t.Fatalf("%s: %v", test.mode, lines)
		}
		line := lines[0]
		delete(line, "took")
		delete(line, "time")
		delete(line, "bytes")
		want := map[string]any{
			"level": test.level, "msg": "request", "request_id": "r1", "method": "GET",
			"route": "/things/:id", "caller": "user:u1", "status": test.status,
		}
		if diff := cmp.Diff(want, line); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.mode, diff)
		}
	}
}

func TestAccessBelowTheLogsLevel(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	serve(t, get(t), Begin(log), Access(AccessAll), ok)
	if out.Len() != 0 {
		t.Errorf("logged %s", out.String())
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	measure, err := NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	r := gin.New()
	r.Use(Begin(quiet()), measure, Recover())
	r.Any("/things/:id", func(c *gin.Context) {
		switch c.Query("q") {
		case "panic":
			panic("x")
		default:
			c.Status(http.StatusNoContent)
		}
	})
	for _, request := range []struct{ method, path string }{
		{"GET", "/things/1"},
		{"GET", "/things/2"},
		{"POST", "/things/2?q=panic"},
		{"GET", "/nowhere/3"},
		{"BREW", "/pot/4"},
	} {
		sent := get(t)
		sent.Method = request.method
		sent.URL.Path, sent.URL.RawQuery, _ = strings.Cut(request.path, "?")
		r.ServeHTTP(httptest.NewRecorder(), sent)
	}
	want := map[string]uint64{
		"GET /things/:id 2xx": 2, "POST /things/:id 5xx": 1, "GET none 4xx": 1, "other none 4xx": 1,
	}
	got := map[string]uint64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "scrip_http_requests_in_flight" {
				if m.GetGauge().GetValue() != 0 {
					t.Errorf("%v still in flight", m.GetGauge().GetValue())
				}
				continue
			}
			labels := map[string]string{}
			for _, pair := range m.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			got[labels["method"]+" "+labels["route"]+" "+labels["status"]] = m.GetHistogram().GetSampleCount()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := NewMetrics(registry); err == nil {
		t.Error("the same metrics were registered twice")
	}
}

func TestClasses(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{101: "1xx", 200: "2xx", 304: "3xx", 428: "4xx", 503: "5xx"} {
		if got := classOf(status); got != want {
			t.Errorf("%d is %s", status, got)
		}
	}
}
