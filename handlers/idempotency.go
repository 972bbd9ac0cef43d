package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"scrip/failpoint"
	"scrip/handlers/middleware"
	"scrip/models"
)

// change has do make a change on the caller's behalf, and answers with what
// came of it. One function makes the answer and, if the request carries an
// Idempotency-Key, the copy of it that the store keeps: a retry is answered in
// the very same bytes.
func change[T any](
	a *api, c *gin.Context, raw []byte, status int, view func(T) any,
	do func(context.Context, models.Op) (T, error),
) error {
	return changeWith(a, c, raw, always[T](status), view, do)
}

// changeWith is change where the status depends on what came of it.
func changeWith[T any](
	a *api, c *gin.Context, raw []byte, status func(T) int, view func(T) any,
	do func(context.Context, models.Op) (T, error),
) error {
	op := a.operation(c)
	key, err := keyOf(c, raw)
	if err != nil {
		return err
	}
	if key != nil {
		if err := a.takeOff(key); err != nil {
			return err
		}
		defer a.flights.end(key.ID)
		key.Render = renderer(status, view, op.RequestID)
		op.Key = key
	}
	result, err := do(c.Request.Context(), op)
	if err != nil {
		return err
	}
	return answer(c, status(result), view(result))
}

// sealer hides an answer that is kept with a secret in it. What is sealed opens for
// the same idempotency key only.
type sealer interface {
	SealAnswer(key [32]byte, body []byte) []byte
	OpenAnswer(key [32]byte, sealed []byte) ([]byte, error)
}

// changeSecretly is change for an answer that has a secret in it: the copy that
// the store keeps of it is sealed, and opened for whoever retries.
func changeSecretly[T any](
	a *api, c *gin.Context, raw []byte, status int, view func(T) any,
	do func(context.Context, models.Op) (T, error),
) error {
	return change(a, c, raw, status, view, func(ctx context.Context, op models.Op) (T, error) {
		if op.Key == nil {
			return do(ctx, op)
		}
		render := op.Key.Render
		op.Key.Render = func(result any, err error) (models.Replay, bool) {
			answer, keep := render(result, err)
			answer.Body = a.Sealer.SealAnswer(op.Key.ID, answer.Body)
			return answer, keep
		}
		made, err := do(ctx, op)
		return made, a.opened(op.Key, err)
	})
}

// opened gives a sealed answer from before, where that is what came, in its own
// words.
func (a *api) opened(key *models.IdempotencyKey, err error) error {
	var before *models.Replay
	if !errors.As(err, &before) {
		return err
	}
	body, err := a.Sealer.OpenAnswer(key.ID, before.Body)
	if err != nil {
		return err
	}
	return &models.Replay{Status: before.Status, Body: body}
}

// answerStore keeps the answers to acts that are not the store's own changes.
type answerStore interface {
	AnsweredBefore(ctx context.Context, key *models.IdempotencyKey, otherwise error) error
	RememberAnswer(ctx context.Context, op models.Op, result any, failure error) error
}

// once has do act, and answers with what came of it. It is for acts that are
// idempotent by themselves and of which no two answers contradict each other,
// such as the ends of a lock: an Idempotency-Key is looked up before and its
// answer kept after, not in the act's own transaction. A process that dies in
// between has answered nobody, and finds the act done when it is asked again.
func once[T any](
	a *api, c *gin.Context, raw []byte, status func(T) int, view func(T) any, do func(context.Context, models.Op) (T, error),
) error {
	ctx, op := c.Request.Context(), a.operation(c)
	var err error
	if op.Key, err = keyOf(c, raw); err != nil {
		return err
	}
	if op.Key != nil {
		if err := a.takeOff(op.Key); err != nil {
			return err
		}
		defer a.flights.end(op.Key.ID)
		if err := a.Store.AnsweredBefore(ctx, op.Key, nil); err != nil {
			return err
		}
	}
	result, err := do(ctx, op)
	if op.Key != nil {
		failpoint.Reach(failpoint.AnswerOpen)
		op.Key.Render = renderer(status, view, op.RequestID)
		err = a.remember(ctx, op, result, err)
		failpoint.Reach(failpoint.AnswerKept)
	}
	if err != nil {
		return err
	}
	return answer(c, status(result), view(result))
}

// rememberTimeout is how long keeping an answer may take. It has a time of its
// own: what was done at the last moment would else be told as unknown.
const rememberTimeout = time.Second

func (a *api) remember(ctx context.Context, op models.Op, result any, failure error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberTimeout)
	defer cancel()
	return a.Store.RememberAnswer(ctx, op, result, failure)
}

// always is the status of an act that has but one.
func always[T any](status int) func(T) int { return func(T) int { return status } }

// takeOff refuses a key whose first request is running in this process.
func (a *api) takeOff(key *models.IdempotencyKey) error {
	if a.flights.begin(key.ID) {
		return nil
	}
	return models.Refuse(models.CodeInProgress, "the first request with this Idempotency-Key is still running")
}

// operation says who makes a change, and when.
func (a *api) operation(c *gin.Context) models.Op {
	return models.Op{
		Actor:     middleware.Principal(c),
		RequestID: middleware.RequestID(c),
		At:        models.Instant(a.Now()),
	}
}

// renderer makes the Render of an IdempotencyKey: of a T or *T the answer that
// change sends, of an error the one that the middleware sends. A result is to
// be kept, and so is a 409: it was decided. Nothing else was ever tried.
func renderer[T any](status func(T) int, view func(T) any, requestID string) func(any, error) (models.Replay, bool) {
	return func(result any, err error) (models.Replay, bool) {
		if err == nil {
			var answer models.Replay
			if answer, err = rendered(result, status, view); err == nil {
				return answer, true
			}
		}
		refused, body, _ := middleware.Render(err, requestID)
		return models.Replay{Status: refused, Body: body}, refused == http.StatusConflict
	}
}

func rendered[T any](result any, status func(T) int, view func(T) any) (models.Replay, error) {
	var made T
	switch result := result.(type) {
	case *T:
		made = *result
	case T:
		made = result
	default:
		return models.Replay{}, fmt.Errorf("an idempotency key was given a %T to render", result)
	}
	body, err := encode(view(made))
	return models.Replay{Status: status(made), Body: body}, err
}

const (
	keyHeader = "Idempotency-Key"
	maxKeyLen = 128
)

// keyOf reads the Idempotency-Key of a POST; nil when it has none, or for any
// other method. The key belongs to one credential and one route, and stands for
// one path and body. A request without it costs no hashing.
func keyOf(c *gin.Context, raw []byte) (*models.IdempotencyKey, error) {
	values := c.Request.Header[keyHeader]
	if len(values) == 0 || c.Request.Method != http.MethodPost {
		return nil, nil //nolint:nilnil // no key is a proper answer
	}
	if len(values) > 1 || !printable(values[0]) {
		f := models.NewFaults()
		f.Add(keyHeader, models.CodeInvalid, "must be 1 to %d printable ASCII characters, and one key only", maxKeyLen)
		return nil, f.Err()
	}
	route := c.Request.Method + " " + c.FullPath()
	return &models.IdempotencyKey{
		ID:   digest([]byte(middleware.Principal(c).Credential), []byte(route), []byte(values[0])),
		Hash: digest([]byte(c.Request.URL.Path), raw),
	}, nil
}

func printable(key string) bool {
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return false
		}
	}
	return key != "" && len(key) <= maxKeyLen
}

// digest hashes the parts, each after its length: no two lists of parts hash
// the same input.
func digest(parts ...[]byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, part := range parts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	h.Sum(sum[:0])
	return sum
}

// flights knows the keys whose first request is running in this process. It
// only spares the store the wait: between processes the store's unique key
// decides.
type flights struct {
	mu      sync.Mutex
	running map[[sha256.Size]byte]struct{}
}

func newFlights() *flights {
	return &flights{running: make(map[[sha256.Size]byte]struct{})}
}

func (f *flights) begin(id [sha256.Size]byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, busy := f.running[id]; busy {
		return false
	}
	f.running[id] = struct{}{}
	return true
}

func (f *flights) end(id [sha256.Size]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.running, id)
}
