package middleware

import (
	"fmt"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
)

// NewMetrics registers scrip_http_request_duration_seconds, a histogram (whose
// count is the number of requests) by method, route pattern and class of
// status, and scrip_http_requests_in_flight, and returns the middleware that
// feeds them. It fails if the registry has them already.
func NewMetrics(registry prometheus.Registerer) (gin.HandlerFunc, error) {
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "scrip_http_request_duration_seconds",
		Help:    "Time from the first middleware to the end of the answer.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"method", "route", "status"})
	inFlight := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "scrip_http_requests_in_flight",
		Help: "Requests that are being answered.",
	})
	for _, collector := range []prometheus.Collector{took, inFlight} {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("register HTTP metrics: %w", err)
		}
	}
	return func(c *gin.Context) {
		inFlight.Inc()
		defer func() {
			inFlight.Dec()
			took.WithLabelValues(methodOf(c), routeOf(c), classOf(c.Writer.Status())).Observe(timeOf(c).Seconds())
		}()
		c.Next()
	}, nil
}

func classOf(status int) string {
	switch status / 100 {
	case 1:
		return "1xx"
	case 2:
		return "2xx"
	case 3:
		return "3xx"
	case 4:
		return "4xx"
	}
	return "5xx"
}

// timeOf is how long a request has taken so far.
func timeOf(c *gin.Context) time.Duration { return time.Since(exchangeOf(c).began) }
