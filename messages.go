package main

import (
	"context"
	"time"

	"scrip/courier"
	"scrip/jobs"
	"scrip/models"
)

// buildDeliver makes what carries events and messages to their receivers. The
// jobs set it in motion; it ends after them.
func (a *app) buildDeliver(context.Context) error {
	d, st := a.cfg.Deliveries, a.store
	webhooks := courier.NewWebhooks(d.Timeout, a.cfg.Webhooks.AllowPrivate, st.Now)
	a.onStop(func() error { webhooks.Close(); return nil })
	deliver, err := jobs.NewDeliver(jobs.DeliverOptions{
		Store: st, Now: st.Now, Log: a.log,
		Send:    map[models.Channel]jobs.Send{models.ChannelWebhook: webhooks.Send},
		Timeout: d.Timeout, Parallel: d.Parallel, RetryAfter: d.RetryAfter, RetryFor: d.RetryFor,
	}, a.metrics)
	if err != nil {
		return err
	}
	a.deliver = deliver
	a.onStop(func() error { deliver.Close(); return nil })
	return nil
}

// listenEvery is how often an instance looks which events anybody listens to: a
// webhook hears of everything from two seconds after it was made.
const listenEvery = time.Second

// messageJobs are the jobs of events and messages. Every instance does them: a
// row decides whose each piece is.
func (a *app) messageJobs() []jobs.Job {
	st, often := a.store, min(a.cfg.Jobs.Interval, time.Second)
	deliveries := jobs.Purge{Drop: st.PurgeDeliveries, Now: st.Now, Keep: a.cfg.Deliveries.Keep}
	events := jobs.Purge{Drop: st.PurgeEvents, Now: st.Now, Keep: a.cfg.Deliveries.Keep}
	listen := func(ctx context.Context) (int, bool, error) { return 0, false, st.ListenFor(ctx) }
	return []jobs.Job{
		{Name: "listen", Every: listenEvery, Step: listen},
		{Name: "relay", Every: often, Step: jobs.Relay{Store: st}.Step},
		{Name: "deliver", Every: often, Step: a.deliver.Step},
		{Name: "purge-deliveries", Every: time.Minute, Alone: true, Step: deliveries.Step},
		{Name: "purge-events", Every: time.Minute, Alone: true, Step: events.Step},
	}
}
