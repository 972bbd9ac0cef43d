package middleware

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"scrip/models"
)

// nowhere is a ResponseWriter that costs nothing.
type nowhere struct {
	header http.Header
	status int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w *nowhere) WriteHeader(status int)      { w.status = status }

// chainOf is the whole of what surrounds a claim.
func chainOf(b *testing.B, credential string) (*gin.Engine, *http.Request) {
	b.Helper()
	table := newKeyTable()
	table.set(testKey, service())
	a, err := NewAuthenticator(b.Context(), AuthOptions{
		Keys: table, KeyTTL: time.Hour, Secret: testSecret, Issuer: testIssuer, Audience: testAudience,
		Failures: Rate{PerSecond: 5, Burst: 20}, Now: time.Now, Log: quiet(),
	})
	if err != nil {
		b.Fatal(err)
	}
	measure, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	plenty := Rate{PerSecond: 1_000_000_000, Burst: 1_000_000_000}
	r := router(b, Begin(quiet()), Access(AccessErrors), measure, Recover(), BodyLimit(1<<20, 1<<30), Timeout(5*time.Second, nil),
		Auth(a), Limits(plenty, plenty, time.Now), Allow(models.RolePlatform, models.RoleService, models.RoleUser),
		Handle(func(c *gin.Context) error {
			c.Status(http.StatusCreated)
			return nil
		}))
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "/things/7", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+credential)
	request.RemoteAddr = "192.0.2.1:1"
	return r, request
}

func benchmarkChain(b *testing.B, credential string) {
	b.Helper()
	r, request := chainOf(b, credential)
	w := &nowhere{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		r.ServeHTTP(w, request)
	}
	if w.status != http.StatusCreated {
		b.Fatalf("answered %d", w.status)
	}
}

func BenchmarkChainWithAPIKey(b *testing.B) { benchmarkChain(b, testKey) }

func BenchmarkChainWithUserToken(b *testing.B) {
	token, err := MintUserToken(testSecret, testIssuer, testAudience, "u-1001", []string{"vip"}, time.Hour, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	benchmarkChain(b, token)
}

func BenchmarkRefusal(b *testing.B) {
	err := error(models.ErrSoldOut())
	b.ReportAllocs()
	for b.Loop() {
		Render(err, "019da9c2-7b1e-7c33-9d5a-3f1f5a0c8e10")
	}
}

func BenchmarkHashKey(b *testing.B) {
	plain, _ := NewKey()
	b.ReportAllocs()
	for b.Loop() {
		HashKey(plain)
	}
}
