package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"scrip/models"
)

type relayStore interface {
	RelayEvents(ctx context.Context, limit int) (int, error)
}

// Relay makes deliveries of events. Every instance does it: the events' rows
// decide whose turn it is.
type Relay struct{ Store relayStore }

const relayChunk = 500

// Step relays one chunk.
func (j Relay) Step(ctx context.Context) (changed int, more bool, err error) {
	n, err := j.Store.RelayEvents(ctx, relayChunk)
	return n, n == relayChunk, err
}

type deliverStore interface {
	Queues(ctx context.Context, after string, limit int) ([]models.Queue, error)
	LeaseDeliveries(ctx context.Context, queue string, until time.Time, limit int) (leased []models.Delivery, more bool, err error)
	FinishDelivery(ctx context.Context, d *models.Delivery, a models.Attempt, again *time.Time) (ok bool, err error)
	ReturnDeliveries(ctx context.Context, untried []models.Delivery, from time.Time) error
	DisableWebhook(ctx context.Context, id models.ID) error
}

// Send makes one try to deliver. It ends when its context does.
type Send = func(context.Context, *models.Delivery) models.Attempt

// DeliverOptions say how deliveries are made.
type DeliverOptions struct {
	Store deliverStore
	Send  map[models.Channel]Send
	Now   models.Clock
	Log   *slog.Logger

	Timeout    time.Duration // of one try, by which every Send ends
	Parallel   int           // tries at once in one queue
	RetryAfter time.Duration // the first pause; each next one is four times as long
	RetryFor   time.Duration // how long a delivery is tried
}

// Deliver makes deliveries, on every instance at once: a lease on each delivery
// keeps two from making the same one. Each queue has its own goroutine, so
// that a receiver that is slow or dead holds up nobody but itself.
//
// A delivery is marked after it was sent. Who is cut off in between sends it
// again, under the same id.
type Deliver struct {
	DeliverOptions

	count *prometheus.CounterVec
	after string // the queue at which the next step goes on

	cut  context.Context //nolint:containedctx // ends all tries at once, long after the steps that began them
	stop context.CancelCauseFunc
	busy sync.WaitGroup

	mu    sync.Mutex
	lanes map[string]*lane
}

// lane is what an instance knows of a queue that it looks after, or has to
// leave alone for a while.
type lane struct {
	running  bool
	failures int // in a row
	pause    time.Time
}

const (
	mostQueues = 1000 // looked at in a step
	patience   = 3    // failures in a row, after which a receiver is left alone
	maxPause   = time.Minute
	maxDelay   = 6 * time.Hour
	growth     = 4
	stopGrace  = 3 * time.Second
	finishTime = 10 * time.Second
)

// NewDeliver makes a Deliver and registers scrip_deliveries_total, by channel
// and result.
func NewDeliver(o DeliverOptions, registry prometheus.Registerer) (*Deliver, error) {
	cut, stop := context.WithCancelCause(context.Background())
	d := &Deliver{
		DeliverOptions: o, cut: cut, stop: stop, lanes: map[string]*lane{},
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scrip_deliveries_total",
			Help: "Tries to deliver to webhooks and users: sent, retried (will be tried again), failed (given up), lost (another instance took over).",
		}, []string{"channel", "result"}),
	}
	if err := registry.Register(d.count); err != nil {
		return nil, fmt.Errorf("register delivery metrics: %w", err)
	}
	return d, nil
}

// Close waits until what is under way is done, but not long. Call it after the
// last step.
func (j *Deliver) Close() {
	impatient := time.AfterFunc(stopGrace, func() { j.stop(context.Canceled) })
	defer impatient.Stop()
	j.busy.Wait()
	j.stop(context.Canceled)
}

// Step looks for queues in which something is due, and sees to it that each is
// worked on. It waits for none of them.
func (j *Deliver) Step(ctx context.Context) (changed int, more bool, err error) {
	queues, err := j.Store.Queues(ctx, j.after, mostQueues)
	if err != nil {
		return 0, false, err
	}
	j.after = ""
	if len(queues) == mostQueues {
		j.after, more = queues[len(queues)-1].Name, true
	}
	now := j.Now()
	j.forget(now)
	for _, q := range queues {
		if !q.Next.After(now) && j.begin(q.Name, now) {
			j.busy.Go(func() { j.work(ctx, q.Name) })
		}
	}
	return 0, more, nil
}

// begin reports whether this instance is to work on a queue that it is not
// working on already.
func (j *Deliver) begin(queue string, now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	l := j.lanes[queue]
	if l == nil {
		l = &lane{}
		j.lanes[queue] = l
	}
	if l.running || now.Before(l.pause) {
		return false
	}
	l.running = true
	return true
}

// end forgets a queue of which nothing need be remembered.
func (j *Deliver) end(queue string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	l := j.lanes[queue]
	l.running = false
	if l.failures == 0 {
		delete(j.lanes, queue)
	}
}

// forget drops what was remembered of queues that have been quiet since.
func (j *Deliver) forget(now time.Time) {
	const quiet = 10 * maxPause
	j.mu.Lock()
	defer j.mu.Unlock()
	maps.DeleteFunc(j.lanes, func(_ string, l *lane) bool { return !l.running && now.Sub(l.pause) > quiet })
}

// note counts failures in a row. After a few the receiver is left alone, for
// longer each time.
func (j *Deliver) note(queue string, failed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	l := j.lanes[queue]
	if !failed {
		l.failures, l.pause = 0, time.Time{}
		return
	}
	l.failures++
	if over := l.failures - patience; over >= 0 {
		l.pause = j.Now().Add(min(time.Second<<min(over, 10), maxPause))
	}
}

// paused is until when a queue is left alone; the zero time if it is not.
func (j *Deliver) paused(queue string) time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	if l := j.lanes[queue]; j.Now().Before(l.pause) {
		return l.pause
	}
	return time.Time{}
}

// work empties a queue, a few deliveries at a time.
func (j *Deliver) work(ctx context.Context, queue string) {
	defer j.end(queue)
	chunk := 2 * j.Parallel
	lease := 3*j.Timeout + finishTime // for two rounds of tries, and time to mark them
	for ctx.Err() == nil && j.paused(queue).IsZero() {
		until := j.Now().Add(lease)
		batch, more, err := j.Store.LeaseDeliveries(ctx, queue, until, chunk)
		if err != nil {
			j.Log.WarnContext(ctx, "deliveries not leased", "queue", queue, "error", err)
			return
		}
		j.makeAll(ctx, queue, batch, until)
		if !more {
			return
		}
	}
}

// makeAll makes the leased deliveries. Those that it does not come to, because the
// receiver fails or the instance stops, it gives back.
func (j *Deliver) makeAll(ctx context.Context, queue string, batch []models.Delivery, until time.Time) {
	var untried []models.Delivery
	var group errgroup.Group
	group.SetLimit(j.Parallel)
	for i := range batch {
		d := &batch[i]
		if ctx.Err() != nil || !j.paused(queue).IsZero() || j.Now().Add(j.Timeout).After(until) {
			untried = append(untried, *d)
			continue
		}
		group.Go(func() error {
			j.make(ctx, queue, d)
			return nil
		})
	}
	_ = group.Wait() // nothing in it fails
	from := j.paused(queue)
	if from.IsZero() {
		from = j.Now()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	if err := j.Store.ReturnDeliveries(ctx, untried, from); err != nil {
		j.Log.WarnContext(ctx, "deliveries not given back; their lease will run out", "queue", queue, "error", err)
	}
}

// make makes one delivery and notes what came of it. It goes on when the steps
// are stopped, for as long as Close lets it: what is on its way should not have
// to be sent twice.
func (j *Deliver) make(ctx context.Context, queue string, d *models.Delivery) {
	try, cancel := context.WithTimeout(j.cut, j.Timeout)
	attempt := j.try(try, d) //nolint:contextcheck // see above: it is not to end with the steps
	cancel()
	failed := attempt.Result == models.ResultRetry
	j.note(queue, failed)
	var again *time.Time
	if failed {
		again = j.again(d, attempt.After)
	}
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	if attempt.Result == models.ResultGone {
		j.disable(ctx, d)
	}
	ours, err := j.Store.FinishDelivery(ctx, d, attempt, again)
	if err != nil {
		j.Log.WarnContext(ctx, "delivery not marked; it will be repeated", "delivery", d.ID, "error", err)
	}
	j.report(ctx, d, attempt, again != nil, ours)
}

// try survives a fault in what sends: the others must go on.
func (j *Deliver) try(ctx context.Context, d *models.Delivery) (attempt models.Attempt) {
	defer func() {
		if fault := recover(); fault != nil {
			j.Log.ErrorContext(ctx, "panic in a delivery", "delivery", d.ID, "fault", fault, "stack", string(debug.Stack()))
			attempt = models.Attempt{Result: models.ResultRetry, Detail: "a fault of ours"}
		}
	}()
	send := j.Send[d.Channel]
	if send == nil {
		return models.Attempt{Result: models.ResultRetry, Detail: "this channel is not set up here"}
	}
	if d.Channel != models.ChannelWebhook && d.To == "" {
		return models.Attempt{Result: models.ResultRefused, Detail: "the user has no address any more"}
	}
	return send(ctx, d)
}

func (j *Deliver) disable(ctx context.Context, d *models.Delivery) {
	if err := j.Store.DisableWebhook(ctx, d.Webhook.ID); err != nil {
		j.Log.WarnContext(ctx, "webhook not disabled", "webhook", d.Webhook.ID, "error", err)
		return
	}
	j.Log.InfoContext(ctx, "webhook disabled: its server answers 410", "webhook", d.Webhook.ID)
}

// again is when a delivery is to be tried next, nil for never: after a pause that
// grows, and is not the same for all that failed together; the last time when
// its time is over.
func (j *Deliver) again(d *models.Delivery, asked time.Duration) *time.Time {
	delay := j.RetryAfter
	for range d.Attempts - 1 {
		delay = min(growth*delay, maxDelay)
	}
	delay += rand.N(delay/4 + 1) //nolint:gosec // any spread will do
	now, last := j.Now(), d.CreatedAt.Add(j.RetryFor)
	if !now.Before(last) {
		return nil
	}
	next := now.Add(max(delay, min(asked, maxDelay)))
	if next.After(last) {
		next = last
	}
	return &next
}

func (j *Deliver) report(ctx context.Context, d *models.Delivery, attempt models.Attempt, again, ours bool) {
	result := "failed"
	switch {
	case !ours:
		result = "lost"
	case attempt.Result == models.ResultSent:
		result = "sent"
	case again:
		result = "retried"
	}
	j.count.WithLabelValues(string(d.Channel), result).Inc()
	if result == "failed" {
		j.Log.InfoContext(ctx, "delivery given up", "delivery", d.ID, "channel", d.Channel, "attempts", d.Attempts, "why", attempt.Detail)
	}
}
