package jobs_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"scrip/jobs"
	"scrip/models"
)

// mailbox stands for the store's queues of deliveries.
type mailbox struct {
	mu       sync.Mutex
	waiting  []*waiting
	sent     []models.ID
	failed   []models.ID
	disabled []models.ID
	token    models.ID
}

type waiting struct {
	models.Delivery

	queue string
	from  time.Time
}

func (m *mailbox) add(queue string, n int) {
	for range n {
		m.token++
		m.waiting = append(m.waiting, &waiting{
			Delivery: models.Delivery{
				ID: m.token, Channel: models.ChannelWebhook, CreatedAt: time.Now(), Webhook: &models.Webhook{ID: 5, URL: queue},
			},
			queue: queue, from: time.Now(),
		})
	}
}

func (m *mailbox) Queues(_ context.Context, after string, limit int) ([]models.Queue, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := map[string]time.Time{}
	for _, w := range m.waiting {
		if next, known := first[w.queue]; w.queue > after && (!known || w.from.Before(next)) {
			first[w.queue] = w.from
		}
	}
	var queues []models.Queue
	for name, next := range first {
		queues = append(queues, models.Queue{Name: name, Next: next})
	}
	slices.SortFunc(queues, func(a, b models.Queue) int { return len(a.Name) - len(b.Name) })
	return queues[:min(limit, len(queues))], nil
}

func (m *mailbox) LeaseDeliveries(_ context.Context, queue string, until time.Time, limit int) ([]models.Delivery, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.token++
	var leased []models.Delivery
	for _, w := range m.waiting {
		if w.queue == queue && !w.from.After(time.Now()) && len(leased) < limit {
			w.Attempts++
			w.Token, w.from = m.token, until
			leased = append(leased, w.Delivery)
		}
	}
	return leased, len(leased) == limit, nil
}

func (m *mailbox) FinishDelivery(_ context.Context, d *models.Delivery, a models.Attempt, again *time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.waiting, func(w *waiting) bool { return w.ID == d.ID && w.Token == d.Token })
	switch {
	case i < 0:
		return false, nil
	case again != nil:
		m.waiting[i].from = *again
		return true, nil
	case a.Result == models.ResultSent:
		m.sent = append(m.sent, d.ID)
	default:
		m.failed = append(m.failed, d.ID)
	}
	m.waiting = slices.Delete(m.waiting, i, i+1)
	return true, nil
}

func (m *mailbox) ReturnDeliveries(_ context.Context, untried []models.Delivery, from time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range untried {
		for _, w := range m.waiting {
			if w.ID == d.ID && w.Token == d.Token {
				w.from = from
				w.Attempts--
			}
		}
	}
	return nil
}

func (m *mailbox) DisableWebhook(_ context.Context, id models.ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disabled = append(m.disabled, id)
	return nil
}

func (m *mailbox) counts() (waits, sent, failed int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.waiting), len(m.sent), len(m.failed)
}

// deliver runs a Deliver as the runner would, and stops it at the end.
func deliver(t *testing.T, m *mailbox, send jobs.Send) (stop func(), registry *prometheus.Registry) {
	t.Helper()
	registry = prometheus.NewRegistry()
	d, err := jobs.NewDeliver(jobs.DeliverOptions{
		Store: m, Now: time.Now, Log: quiet(),
		Send:    map[models.Channel]jobs.Send{models.ChannelWebhook: send},
		Timeout: 10 * time.Second, Parallel: 4, RetryAfter: 5 * time.Second, RetryFor: day,
	}, registry)
	if err != nil {
		t.Fatal(err)
	}
	runner := jobs.Start(&leases{}, "a", quiet(), jobs.Job{Name: "deliver", Every: time.Second, Step: d.Step})
	return func() { runner.Stop(); d.Close() }, registry
}

const day = 24 * time.Hour

func TestADeadReceiverHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mailbox{}
		for i := range 50 {
			m.add(fmt.Sprint("dead", i), 100)
		}
		m.add("live", 1000)
		stop, _ := deliver(t, m, func(ctx context.Context, d *models.Delivery) models.Attempt {
			if d.Webhook.URL != "live" {
				<-ctx.Done()
				return models.Attempt{Result: models.ResultRetry}
			}
			return models.Attempt{Result: models.ResultSent}
		})
		defer stop()
		time.Sleep(3 * time.Second) //nolint:forbidigo // in a bubble it only moves the clock
		if waits, sent, _ := m.counts(); sent != 1000 || waits != 5000 {
			t.Errorf("%d sent, %d wait, before the first of the dead has timed out", sent, waits)
		}
	})
}

// TestAFailingReceiverIsAskedLess counts how often one with many deliveries is asked
// in a day: without a pause between, each would be tried as often as one alone.
func TestAFailingReceiverIsAskedLess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mailbox{}
		m.add("down", 500)
		var asked atomic.Int64
		var up atomic.Bool
		stop, registry := deliver(t, m, func(context.Context, *models.Delivery) models.Attempt {
			asked.Add(1)
			if up.Load() {
				return models.Attempt{Result: models.ResultSent}
			}
			return models.Attempt{Result: models.ResultRetry}
		})
		defer stop()
		time.Sleep(time.Hour) //nolint:forbidigo // in a bubble it only moves the clock
		if n := asked.Load(); n < 30 || n > 60*8 {
			t.Errorf("asked %d times in an hour", n)
		}
		up.Store(true)
		time.Sleep(7 * time.Hour) //nolint:forbidigo // the same
		if waits, sent, failed := m.counts(); sent != 500 || waits+failed > 0 {
			t.Errorf("once it was up: %d sent, %d wait, %d failed", sent, waits, failed)
		}
		families, err := registry.Gather()
		if err != nil || len(families) != 1 || len(families[0].GetMetric()) != 2 {
			t.Errorf("counted %v, %v; want retried and sent", families, err)
		}
	})
}

func TestADeliveryIsTriedForADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mailbox{}
		m.add("down", 1)
		begun := time.Now()
		var tries []time.Duration
		stop, _ := deliver(t, m, func(context.Context, *models.Delivery) models.Attempt {
			tries = append(tries, time.Since(begun))
			return models.Attempt{Result: models.ResultRetry}
		})
		time.Sleep(30 * time.Hour) //nolint:forbidigo // in a bubble it only moves the clock
		stop()
		if n := len(tries); n < 9 || n > 13 || tries[n-1] < day || tries[n-1] > day+time.Minute || tries[1] > 10*time.Second {
			t.Errorf("tried after %v", tries)
		}
		if _, _, failed := m.counts(); failed != 1 {
			t.Errorf("%d given up", failed)
		}
	})
}

func TestWhatEndsADelivery(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		attempt                          models.Attempt
		waits, sent, failed, disabled, n int
	}{
		"sent":             {models.Attempt{Result: models.ResultSent}, 0, 1, 0, 0, 1},
		"refused":          {models.Attempt{Result: models.ResultRefused}, 0, 0, 1, 0, 1},
		"gone":             {models.Attempt{Result: models.ResultGone}, 0, 0, 1, 1, 1},
		"asks for an hour": {models.Attempt{Result: models.ResultRetry, After: time.Hour}, 1, 0, 0, 0, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := &mailbox{}
			m.add("one", 1)
			var asked atomic.Int64
			stop, _ := deliver(t, m, func(context.Context, *models.Delivery) models.Attempt {
				asked.Add(1)
				return c.attempt
			})
			time.Sleep(30 * time.Minute) //nolint:forbidigo // in a bubble it only moves the clock
			stop()
			waits, sent, failed := m.counts()
			if waits != c.waits || sent != c.sent || failed != c.failed || len(m.disabled) != c.disabled || asked.Load() != int64(c.n) {
				t.Errorf("%s: %d wait, %d sent, %d failed, %d disabled after %d tries", name, waits, sent, failed, len(m.disabled), asked.Load())
			}
		})
	}
}

func TestAPanicIsOnesOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mailbox{}
		m.add("one", 1)
		m.add("other", 1)
		stop, _ := deliver(t, m, func(_ context.Context, d *models.Delivery) models.Attempt {
			if d.Webhook.URL == "one" {
				panic("a fault")
			}
			return models.Attempt{Result: models.ResultSent}
		})
		time.Sleep(3 * time.Second) //nolint:forbidigo // in a bubble it only moves the clock
		stop()
		if waits, sent, _ := m.counts(); waits != 1 || sent != 1 {
			t.Errorf("%d wait, %d sent", waits, sent)
		}
	})
}

// TestStopLetsWhatIsUnderWayArrive has one try that takes a second, and one that
// would take for ever.
func TestStopLetsWhatIsUnderWayArrive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mailbox{}
		m.add("slow", 1)
		m.add("stuck", 1)
		var begun sync.WaitGroup
		begun.Add(2)
		stop, _ := deliver(t, m, func(ctx context.Context, d *models.Delivery) models.Attempt {
			begun.Done()
			wait := time.Hour
			if d.Webhook.URL == "slow" {
				wait = time.Second
			}
			select {
			case <-time.After(wait):
				return models.Attempt{Result: models.ResultSent}
			case <-ctx.Done():
				return models.Attempt{Result: models.ResultRetry}
			}
		})
		begun.Wait()
		stop()
		if waits, sent, _ := m.counts(); waits != 1 || sent != 1 {
			t.Errorf("%d wait, %d sent", waits, sent)
		}
	})
}
