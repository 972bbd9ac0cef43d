// Command cost weighs Scrip: what each thing costs in processor time and how
// fast it is answered, beside other ways of doing the same in the same run.
//
//	go run ./e2e/cost -quick                 claims on one hot template, in less than a minute
//	go run ./e2e/cost -only hot,storms       some scenarios; -list names them
//	go run ./e2e/cost -write                 everything, and the results into docs/
//
// It starts a MariaDB that is durable (flush 1, binlog on and synced), a Redis
// with its append-only file synced every second, and the ways, each in a process
// of its own; then all take turns under the same load, in rounds. Whatever it
// says is a ratio within one run: the machine is shared, and slow on one day. The
// load runs beside them on the same processors.
//
// Processor time is user and system time from /proc, so it measures on Linux only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"scrip/e2e/cost/ways"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// dispatch is one of the ways if the environment says so, else the measuring.
func dispatch(ctx context.Context, args []string, out io.Writer) error {
	if name := os.Getenv(wayEnv); name != "" {
		return ways.Serve(ctx, name, ways.Options{
			Addr: os.Getenv(addrEnv), DSN: os.Getenv(dsnEnv), Redis: os.Getenv(redisEnv), Conns: storeConns,
		})
	}
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	return measure(ctx, o, out)
}

// options say what is measured, and how long.
type options struct {
	only    []string      // scenarios; empty: all
	rounds  int           // in which all take turns
	turn    time.Duration // of each in a round
	conns   int           // connections, each with one request under way
	scrip   string        // the server to weigh; built from this module if ""
	coupons int64         // in the larger table of growth
	soakFor time.Duration
	docs    string // folder of the documents to write into; "": none
	list    bool
	render  bool // measure nothing
}

var errUsage = errors.New("see -help")

func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("cost", flag.ContinueOnError)
	flags.SetOutput(out)
	only := flags.String("only", "", "comma list of scenarios; -list names them")
	quick := flags.Bool("quick", false, "only claims on one hot template, in less than a minute")
	seconds := flags.Float64("seconds", 4, "how long each takes its turn in a round")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds; what is shown is their median")
	flags.IntVar(&o.conns, "conns", 128, "connections, each with one request under way")
	flags.StringVar(&o.scrip, "scrip", "", "server to weigh (default: built from this module)")
	flags.Int64Var(&o.coupons, "coupons", 10_000_000, "coupons in the larger table of growth, at least 1,000,000; there are a hundredth as many templates")
	flags.DurationVar(&o.soakFor, "soak", 10*time.Minute, "how long the soak goes on")
	write := flags.Bool("write", false, "put the results into docs/")
	flags.BoolVar(&o.render, "render", false, "measure nothing: write aims and capacity into docs/ again, from the figures there")
	flags.BoolVar(&o.list, "list", false, "name the scenarios")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	if *quick {
		o.only, o.rounds, *seconds = []string{"hot"}, min(o.rounds, 3), min(*seconds, 2)
	}
	if *write && !*quick || o.render {
		o.docs = "docs"
	}
	o.turn = time.Duration(*seconds * float64(time.Second))
	return o, o.check(flags.NArg())
}

func (o options) check(rest int) error {
	if rest > 0 || o.rounds < 1 || o.conns < 1 || o.turn <= 0 || o.soakFor <= 0 {
		return fmt.Errorf("rounds, conns, seconds and soak are positive, and nothing follows the flags: %w", errUsage)
	}
	if o.coupons < 1_000_000 {
		return fmt.Errorf("coupons are 1,000,000 or more: %w", errUsage)
	}
	for _, key := range o.only {
		if !slices.ContainsFunc(scenarios(), func(s scenario) bool { return s.key == key }) {
			return fmt.Errorf("there is no scenario %q: -list names them", key)
		}
	}
	return nil
}

// wanted reports whether a scenario is to be run.
func (o options) wanted(key string) bool { return len(o.only) == 0 || slices.Contains(o.only, key) }
