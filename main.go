// Scrip is a coupon, voucher and promotion-budget server in one binary.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // time zones also where the machine has none, as in a small image
)

func main() {
	easeGC()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scrip:", err)
		os.Exit(1)
	}
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, out io.Writer) error {
	root := newRoot(out) //nolint:contextcheck // the commands get theirs from ExecuteContext
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}
