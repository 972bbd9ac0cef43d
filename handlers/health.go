package handlers

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

// Probe reports whether a store answers; nil says that it does.
type Probe func(context.Context) error

// probeTimeout is after how long a silent store counts as away.
const probeTimeout = 2 * time.Second

type healthView struct {
	Status string            `json:"status"`
	Stores map[string]string `json:"stores,omitempty"`
}

// alive answers for the process alone.
func alive(c *gin.Context) error {
	return answer(c, http.StatusOK, healthView{Status: "ok"})
}

// ready answers 503 while a store is away, and names it.
func (a *api) ready(c *gin.Context) error {
	ctx, cancel := context.WithTimeout(c.Request.Context(), probeTimeout)
	defer cancel()
	status, view := http.StatusOK, healthView{Status: "ok", Stores: probeAll(ctx, a.Probes)}
	for _, state := range view.Stores {
		if state != "ok" {
			status, view.Status = http.StatusServiceUnavailable, "away"
		}
	}
	return answer(c, status, view)
}

// probeAll asks all stores at once.
func probeAll(ctx context.Context, probes map[string]Probe) map[string]string {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		states = make(map[string]string, len(probes))
	)
	for name, probe := range probes {
		wg.Go(func() {
			state := "ok"
			if probe(ctx) != nil {
				state = "away"
			}
			mu.Lock()
			defer mu.Unlock()
			states[name] = state
		})
	}
	wg.Wait()
	return states
}
