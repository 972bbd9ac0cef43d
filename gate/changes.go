package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"scrip/models"
)

const (
	// changesChannel is where the ids of templates are published that were edited.
	changesChannel = "scrip:changes"

	// silence is how long nothing need be heard before the line is tried, and how
	// long a line that is tried may take to answer. One that was cut without a
	// word looks like one on which nothing is said.
	silence = 3 * time.Second
)

// Announce tells every instance that listens, this one too, that a template was
// edited. It is a hint: nobody knows whether it was heard.
func (r *Redis) Announce(ctx context.Context, template models.ID) error {
	var refused error
	err := r.within(ctx, r.timeout, func(ctx context.Context) error {
		err := r.client.Publish(ctx, changesChannel, template.String()).Err()
		if isRefusal(err) {
			// Redis is there, and keeps this channel from us: no reason for claims
			// to do without it.
			refused = err
			return nil
		}
		return err
	})
	return away("announce", errors.Join(refused, err))
}

// Listen calls heard with each template that any instance announces, until ctx
// ends. What is announced while Redis cannot be reached is not heard, now or
// later. heard is called by one goroutine, and should not wait.
func (r *Redis) Listen(ctx context.Context, heard func(template models.ID)) {
	warned := false
	for ctx.Err() == nil {
		err := r.listen(ctx, heard)
		if !warned && isRefusal(err) {
			warned = true
			r.log.WarnContext(ctx, "Redis does not let us listen for edits made on other instances; they are seen later",
				"channel", changesChannel, "error", err)
		}
		select {
		case <-time.After(probeEvery):
		case <-ctx.Done():
		}
	}
}

// listen does so on one line, until it breaks.
func (r *Redis) listen(ctx context.Context, heard func(models.ID)) error {
	line := r.client.Subscribe(ctx, changesChannel)
	defer func() { _ = line.Close() }()
	// Whoever reads from a line looks at no context.
	defer context.AfterFunc(ctx, func() { _ = line.Close() })()
	for tried := false; ; {
		said, err := line.ReceiveTimeout(ctx, silence)
		switch {
		case err == nil:
			tried = false
			pass(said, heard)
		case isTimeout(err) && !tried:
			tried = true
			if err := line.Ping(ctx); err != nil {
				return fmt.Errorf("try the line: %w", err)
			}
		default:
			return fmt.Errorf("listen: %w", err)
		}
	}
}

// pass hands on what is a template's id, and no greeting or answer to a ping.
func pass(said any, heard func(models.ID)) {
	message, ok := said.(*redis.Message)
	if !ok {
		return
	}
	if id, err := models.ParseID(message.Payload); err == nil {
		heard(id)
	}
}

// isRefusal tells an error that Redis answered from one of the way to it.
func isRefusal(err error) bool {
	var answered redis.Error
	return errors.As(err, &answered)
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// Announce does nothing: there is no other instance.
func (*Memory) Announce(context.Context, models.ID) error { return nil }

// Listen returns at once: nothing is ever announced.
func (*Memory) Listen(context.Context, func(template models.ID)) {}
