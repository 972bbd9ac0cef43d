package main

import (
	"context"
	"fmt"
	"time"

	"scrip/config"
	"scrip/courier"
	"scrip/issuing"
	"scrip/jobs"
	"scrip/models"
)

// buildDeliver makes what carries events and messages to their receivers. The
// jobs set it in motion; it ends after them.
func (a *app) buildDeliver(context.Context) error {
	d, st := a.cfg.Deliveries, a.store
	send, err := a.senders()
	if err != nil {
		return err
	}
	deliver, err := jobs.NewDeliver(jobs.DeliverOptions{
		Store: st, Now: st.Now, Log: a.log,
		Send: send, Timeout: d.Timeout, Parallel: d.Parallel, RetryAfter: d.RetryAfter, RetryFor: d.RetryFor,
	}, a.metrics)
	if err != nil {
		return err
	}
	a.deliver = deliver
	a.onStop(func() error { deliver.Close(); return nil })
	return nil
}

// senders are the ways out that are set up, each of which ends at the stop.
func (a *app) senders() (map[models.Channel]jobs.Send, error) {
	limit, now := a.cfg.Deliveries.Timeout, a.store.Now
	webhooks := courier.NewWebhooks(limit, a.cfg.Webhooks.AllowPrivate, now)
	a.onStop(func() error { webhooks.Close(); return nil })
	send := map[models.Channel]jobs.Send{models.ChannelWebhook: a.opened(webhooks.Send)}
	if m := a.cfg.Mail; m.Host != "" {
		mail, err := courier.NewMail(courier.MailOptions{
			Host: m.Host, Port: m.Port, Username: m.Username, Password: string(m.Password), From: m.From, TLS: m.TLS,
			Timeout: limit, Connections: a.cfg.Deliveries.Parallel,
		})
		if err != nil {
			return nil, err
		}
		a.onStop(func() error { mail.Close(); return nil })
		send[models.ChannelMail] = mail.Send
	}
	if a.cfg.SMS.URL != "" {
		var secret models.WebhookSecret
		if text := string(a.cfg.SMS.Secret); text != "" {
			var err error
			if secret, err = models.ParseWebhookSecret(text); err != nil {
				return nil, fmt.Errorf("sms.secret: %w", err)
			}
		}
		sms := courier.NewSMS(a.cfg.SMS.URL, secret, limit, now)
		a.onStop(func() error { sms.Close(); return nil })
		send[models.ChannelSMS] = sms.Send
	}
	return send, nil
}

// opened gives a sender of webhooks the secret that it signs with.
func (a *app) opened(send jobs.Send) jobs.Send {
	webhooks := issuing.NewWebhooks(a.store, a.codeKeys)
	return func(ctx context.Context, d *models.Delivery) models.Attempt {
		if err := webhooks.Open(d.Webhook); err != nil {
			a.log.ErrorContext(ctx, "webhook not told: its secret cannot be opened", "webhook", d.Webhook.ID, "error", err)
			return models.Attempt{Result: models.ResultRetry, Detail: "the webhook's secret cannot be opened"}
		}
		return send(ctx, d)
	}
}

// addressed are the channels beside the inbox that are set up here.
func addressed(cfg config.Config) []models.Channel {
	var list []models.Channel
	if cfg.Mail.Host != "" {
		list = append(list, models.ChannelMail)
	}
	if cfg.SMS.URL != "" {
		list = append(list, models.ChannelSMS)
	}
	return list
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
	messages := jobs.Purge{Drop: st.PurgeMessages, Now: st.Now, Keep: a.cfg.Messages.Keep}
	listen := func(ctx context.Context) (int, bool, error) { return 0, false, st.ListenFor(ctx) }
	return []jobs.Job{
		{Name: "listen", Every: listenEvery, Step: listen},
		{Name: "relay", Every: often, Step: jobs.Relay{Store: st}.Step},
		{Name: "deliver", Every: often, Step: a.deliver.Step},
		{Name: "purge-deliveries", Every: time.Minute, Alone: true, Step: deliveries.Step},
		{Name: "purge-messages", Every: time.Minute, Alone: true, Step: messages.Step},
		{Name: "purge-events", Every: time.Minute, Alone: true, Step: events.Step},
	}
}
