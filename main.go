// Scrip is a coupon, voucher and promotion-budget server in one binary.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // time zones also where the machine has none, as in a small image
)

func main() {
	// The live heap is a few MiB, so that by default the collector would run
	// dozens of times a second under load. GOGC, if set, decides.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scrip:", err)
		os.Exit(1)
	}
}

// gcPercent lets the heap grow to five times what is live between collections.
const gcPercent = 400

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, out io.Writer) error {
	root := newRoot(out) //nolint:contextcheck // the commands get theirs from ExecuteContext
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}
