package claims_test

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"scrip/claims"
	"scrip/enginetest"
	"scrip/gate"
	"scrip/models"
	"scrip/store"
)

// BenchmarkClaim weighs the ways to name what is claimed, on MariaDB and Redis: a
// new user each time.
func BenchmarkClaim(b *testing.B) {
	redis, err := gate.NewRedis(gate.RedisOptions{Addrs: []string{enginetest.Redis(b).Addr()}, Timeout: time.Second}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	w := newWorld(b, store.Options{DSN: enginetest.MySQLDSN(b)}, redis)
	cfg := config()
	cfg.MaxBatch = 512
	limit := claims.GuessLimit{Burst: 10, Every: time.Minute}
	cfg.Codes.Guesses = claims.Guesses{User: limit, All: limit, Shared: w.gate, Local: gate.NewMemory(w.Now)}
	s := w.serviceOf(b, cfg)
	plain, byCode := w.template(b, nil, 1), w.byCodes(b, nil)
	w.share(b, byCode.ID, "WORD", 1_000_000_000)
	var users atomic.Int64
	for _, way := range []struct {
		name  string
		claim func(user string) error
	}{
		{"by template", func(user string) error {
			_, err := s.Claim(b.Context(), w.op(), plain.ID, user, nil)
			return err
		}},
		{"by shared code", func(user string) error {
			_, err := s.ClaimCode(b.Context(), w.op(), models.CodeClaim{Code: "word", UserID: user})
			return err
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := way.claim(fmt.Sprint("user", users.Add(1))); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
