package gate_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"scrip/enginetest"
	"scrip/gate"
	"scrip/models"
)

func BenchmarkReserve(b *testing.B) {
	for _, size := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("memory/", size), func(b *testing.B) { benchmarkReserve(b, gate.NewMemory(time.Now), size) })
		b.Run(fmt.Sprint("redis/", size), func(b *testing.B) {
			benchmarkReserve(b, newRedis(b, time.Now, enginetest.Redis(b).Addr()), size)
		})
	}
}

// benchmarkReserve has every ask taken, for a user who has nothing yet.
func benchmarkReserve(b *testing.B, g gates, size int) {
	b.Helper()
	load := models.GateLoad{TemplateID: 1, Epoch: 1, Limit: 1, Left: models.MaxStock}
	for _, step := range []func() (bool, error){
		func() (bool, error) { return g.Begin(b.Context(), load) },
		func() (bool, error) { return g.Open(b.Context(), load) },
	} {
		if ok, err := step(); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
	asks := make([]models.Reservation, size)
	claim := models.ID(1 << 60)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range asks {
			claim++
			asks[i] = models.Reservation{
				TemplateID: 1, ClaimID: claim, UserID: "user-" + strconv.FormatInt(int64(claim), 10), Epoch: 1,
			}
		}
		b.StartTimer()
		if answers := g.Reserve(b.Context(), asks); answers[size-1] != taken {
			b.Fatal(answers)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/ask")
}
