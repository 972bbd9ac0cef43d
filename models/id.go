package models

import (
	"errors"
	"strconv"
	"sync"
	"time"
)

// ID names a row of Scrip's own making: positive, unique over all instances,
// and ordered by the time of its making. In JSON it is a decimal string, so
// that JavaScript does not round it.
type ID int64

// String gives the decimal form.
func (id ID) String() string { return strconv.FormatInt(int64(id), 10) }

// MarshalText gives the decimal form, which makes the id a JSON string.
func (id ID) MarshalText() ([]byte, error) {
	return strconv.AppendInt(nil, int64(id), 10), nil
}

// UnmarshalText takes what ParseID takes.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

var errNotAnID = errors.New("not an id: a positive decimal number is expected")

// ParseID reads the canonical decimal form of a positive id: no sign, no
// leading zero, no space.
func ParseID(s string) (ID, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != s {
		return 0, errNotAnID
	}
	return ID(n), nil
}

// An id is 41 bits of milliseconds since idEpoch (good until 2094), 10 bits
// of worker number and 12 bits of a counter within the millisecond.
const (
	workerBits  = 10
	counterBits = 12

	// MaxWorker is the largest worker number an IDSource can carry.
	MaxWorker = 1<<workerBits - 1
)

func idEpoch() time.Time { return time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC) }

// IDSource makes ids for one worker number. Whoever holds the number holds it
// alone, by a lease. It is safe for concurrent use.
type IDSource struct {
	now    Clock
	worker int64

	mu      sync.Mutex
	last    int64 // the millisecond of the newest id, since idEpoch
	counter int64
	until   time.Time
}

// ErrNoWorker says that the lease on the worker number ran out, so an id made
// now might be another instance's too. It is over once the lease is renewed.
var ErrNoWorker = errors.New("the lease on this instance's worker number has run out")

// NewIDSource returns a source that makes ids as soon as Lease gives it a
// worker number in 0…MaxWorker.
func NewIDSource(now Clock) *IDSource { return &IDSource{now: now} }

// Lease records that a worker number is held until the given time: the same
// one for longer, or another after the first was lost.
func (s *IDSource) Lease(worker int, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = until
	if number := int64(worker & MaxWorker); number != s.worker {
		// Within one millisecond the lower number makes the lower ids: take
		// this one as used up, so that the next id begins a new one.
		s.worker, s.counter = number, 1<<counterBits-1
	}
}

// Next makes an id, greater than all before it from this source. A clock that
// goes back does not matter: the newest millisecond is kept and counted on
// from, past its end if need be. ErrNoWorker when the lease has run out.
func (s *IDSource) Next() (ID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if !now.Before(s.until) {
		return 0, ErrNoWorker
	}
	ms := now.Sub(idEpoch()).Milliseconds()
	switch {
	case ms > s.last:
		s.last, s.counter = ms, 0
	case s.counter < 1<<counterBits-1:
		s.counter++
	default:
		s.last, s.counter = s.last+1, 0
	}
	return ID(s.last<<(workerBits+counterBits) | s.worker<<counterBits | s.counter), nil
}
