// Package bench holds a flash sale against a running server and proves from
// the server's own lists that it went right: what was acknowledged is there,
// nobody has two, and not one too many was sold.
package bench

import (
	"errors"
	"fmt"
	"net"
	"time"

	"scrip/bench/wire"
)

// Options say what sale is held, and how hard the server is pressed.
type Options struct {
	URL string // of the server, without /v1
	Key string // an API key of role platform

	Users int // contenders, each of whom wants one coupon
	Stock int // coupons to be had

	// Rate is how many presses of the button are intended a second, evenly
	// spread. With 0 the loop is closed: each of Concurrency callers presses
	// again as soon as it is answered.
	Rate float64

	// Concurrency is how many requests are under way at most. With a Rate, a
	// press that has to wait for a free caller is late, and its latency says so.
	Concurrency int

	Doubles float64 // share of the users who press twice: another request, with another Idempotency-Key
	Retries float64 // share of the users whose request is sent twice: the same, with the same Idempotency-Key

	Timeout time.Duration // of one request

	// Patience is for how long a press is tried again, and for how long the run
	// goes on while nothing at all is decided.
	Patience time.Duration

	Seed uint64 // of the order of the presses

	// AllowRemote permits a target that is not this machine. A sale leaves a rule,
	// a template and its coupons behind, and is load enough to be an attack.
	AllowRemote bool
}

// Defaults are the options of a run about which nothing is said but URL and Key.
func Defaults() Options {
	return Options{
		Users: 50_000, Stock: 10_000, Concurrency: 128, Doubles: 0.1, Retries: 0.05,
		Timeout: 10 * time.Second, Patience: time.Minute, Seed: 1,
	}
}

// Bounds that keep the presses, which are planned beforehand, within memory.
const (
	maxUsers       = 10_000_000
	maxConcurrency = 10_000
)

// check returns where the requests go, or every fault of the options.
func (o Options) check() (wire.Target, error) {
	target, err := wire.NewTarget(o.URL)
	faults := []error{err}
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(err == nil && !o.AllowRemote && !loopback(target.Hostname()),
		"%s is not this machine: a remote target has to be allowed expressly", o.URL)
	fault(o.Key == "", "an API key of role platform is needed")
	fault(o.Users < 1 || o.Users > maxUsers, "users: %d is not within 1 to %d", o.Users, maxUsers)
	fault(o.Stock < 1 || o.Stock > maxUsers, "stock: %d is not within 1 to %d", o.Stock, maxUsers)
	fault(o.Concurrency < 1 || o.Concurrency > maxConcurrency,
		"concurrency: %d is not within 1 to %d", o.Concurrency, maxConcurrency)
	fault(!(o.Rate >= 0 && o.Rate <= 1e6), "rate: %g is not within 0 to 1000000 a second", o.Rate)
	fault(!(o.Doubles >= 0 && o.Doubles <= 1), "doubles: %g is not a share from 0 to 1", o.Doubles)
	fault(!(o.Retries >= 0 && o.Retries <= 1), "retries: %g is not a share from 0 to 1", o.Retries)
	fault(o.Timeout <= 0, "timeout: %v is not positive", o.Timeout)
	fault(o.Patience <= 0, "patience: %v is not positive", o.Patience)
	return target, errors.Join(faults...)
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
