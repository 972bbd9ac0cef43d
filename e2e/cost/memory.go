package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// resident is the memory of a process in MiB.
func resident(w *way) (float64, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(w.server.Pid()) + "/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	var kB float64
	_, err = fmt.Sscanf(string(rest), "%f kB", &kB)
	return kB / 1024, err
}

const (
	settleFor  = 10 * time.Second // an idle server's first
	crowd      = 5000             // connections in a storm
	crowdStock = 20_000
	stormFor   = 15 * time.Second
)

// memory looks at a server that nobody has asked for anything, and at the same
// one in a storm of many connections.
func (b *bench) memory() {
	w := b.way("scrip-idle")
	b.pause(settleFor)
	idle, err := resident(w)
	b.must(err)
	seen := b.sample(100*time.Millisecond, w, func() {
		l := &load{way: w, next: new(atomic.Int64), do: pressed(w.open(1, crowdStock)[0])}
		l.run(b.ctx, crowd, stormFor)
		if l.failed > l.done/1000 {
			b.Errorf("storm: %d of %d answered otherwise, such as: %w\n%s", l.failed, l.done+l.failed, l.example, w.lastWords())
		}
		fmt.Fprintf(&b.text, "The storm: %d connections press for %.0f s for %s coupons, %s requests a second, p99 %.0f ms.\n\n",
			crowd, stormFor.Seconds(), figure(crowdStock, 0), figure(float64(l.done)/l.elapsed.Seconds(), 0), l.percentile(99)/1000)
	})
	b.pause(settleFor)
	after, err := resident(w)
	b.must(err)
	b.values["idle"], b.values["storm"] = idle, slices.Max(seen)
	b.text.WriteString(grid([][]string{
		{"a server", "resident MiB"},
		{"idle, after its start", figure(idle, 1)},
		{fmt.Sprintf("at most in a storm of %s connections", figure(crowd, 0)), figure(b.values["storm"], 1)},
		{"ten seconds after it", figure(after, 1)},
	}))
}

// pressed is a claim that may be granted, refused, or turned away for now.
func pressed(template string) operation {
	return func(ctx context.Context, c *caller, n int64) error {
		c.claim([]string{template}, "crowd", n)
		err := c.post(ctx, "/v1/claims", "", c.body, http.StatusCreated)
		switch c.answer.Status {
		case http.StatusConflict, http.StatusServiceUnavailable:
			return nil
		}
		return err
	}
}

// sample looks at the server's memory while something is done.
func (b *bench) sample(every time.Duration, w *way, do func()) []float64 {
	var seen []float64
	quit, gone := make(chan struct{}), make(chan error, 1)
	go func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-quit:
				gone <- nil
				return
			}
			now, err := resident(w)
			if err != nil {
				gone <- err
				return
			}
			seen = append(seen, now)
		}
	}()
	do()
	close(quit)
	b.must(<-gone)
	return seen
}

func (b *bench) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-b.ctx.Done():
	}
}

// soak has a server live through mixed days at half of what it can do, and looks
// whether it grows. A heap takes a while to find its size, so its end is set
// against its middle.
func (b *bench) soak() {
	day := b.newDay(b.way("scrip"))
	s := day.subject("Scrip")
	b.turn(s, b.options.turn)
	rate := s.latest.rate / 2
	day.till.stock(int64(1.2 * orderShare * rate * b.soakFor.Seconds()))
	l := &load{way: s.way, do: s.do, next: &s.next, rate: rate}
	seen := b.sample(b.soakFor/120, s.way, func() { l.run(b.ctx, b.conns, b.soakFor) })
	if l.failed > l.done/100 {
		b.Fatalf("soak: %d of %d answered otherwise, such as: %w\n%s", l.failed, l.done, l.example, s.way.lastWords())
	}
	fifth := len(seen) / 5
	middle, end := median(slices.Clone(seen[2*fifth:3*fifth])), median(slices.Clone(seen[4*fifth:]))
	b.values["middle"], b.values["end"], b.values["growth"] = middle, end, end/middle
	fmt.Fprintf(&b.text, "A mixed day for %s at %s operations a second, half of what it can do: %.0f MiB in the middle, %.0f MiB at the end, %.2f times.\n",
		b.soakFor, figure(rate, 0), middle, end, end/middle)
	fmt.Fprintf(&b.text, "p99 of all operations %.1f ms; %s of %s were answered otherwise than they should be.\n",
		l.percentile(99)/1000, orNone(l.failed), figure(float64(l.done+l.failed), 0))
}

func orNone(n int64) string {
	if n == 0 {
		return "none"
	}
	return figure(float64(n), 0)
}
