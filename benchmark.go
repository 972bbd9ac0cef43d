package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"scrip/bench"
	"scrip/handlers/middleware"
)

// errNoProof makes scrip bench end with exit code 1.
var errNoProof = errors.New("the proof failed")

func benchCommand(_ loader) *cobra.Command {
	o := bench.Defaults()
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Hold a flash sale and prove that nothing was oversold, lost or given twice",
		Long: `Holds a flash sale against a running server (--url, and a platform key in --key
or SCRIP_KEY), or against one of its own on the embedded default. Ends with the
proof, read back through the API; exit code 1 if it fails.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBench(cmd.Context(), o, cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.URL, "url", "", "server to press, such as http://127.0.0.1:8080 (default: one of its own)")
	f.StringVar(&o.Key, "key", os.Getenv("SCRIP_KEY"), "platform key, with --url")
	f.IntVar(&o.Users, "users", o.Users, "contenders, each of whom wants one coupon")
	f.IntVar(&o.Stock, "stock", o.Stock, "coupons to be had")
	f.Float64Var(&o.Rate, "rate", 0, "presses a second, evenly spread (default: as fast as --concurrency callers can)")
	f.IntVar(&o.Concurrency, "concurrency", o.Concurrency, "requests under way at most")
	f.Float64Var(&o.Doubles, "doubles", o.Doubles, "share of users who press twice, with another Idempotency-Key")
	f.Float64Var(&o.Retries, "retries", o.Retries, "share of users whose request is sent twice, with the same Idempotency-Key")
	f.DurationVar(&o.Timeout, "timeout", o.Timeout, "of one request")
	f.DurationVar(&o.Patience, "patience", o.Patience, "how long to wait for a server that went away")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "of the order of the presses")
	f.BoolVar(&o.AllowRemote, "allow-remote", false, "press a server that is not this machine")
	return cmd
}

func runBench(ctx context.Context, o bench.Options, out io.Writer) (err error) {
	if o.URL == "" {
		own, err := startOwn(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, own.end()) }()
		o.URL, o.Key = own.url, own.key
	}
	report, err := bench.Run(ctx, o, out)
	if err == nil && !report.OK {
		err = errNoProof
	}
	return err
}

// ownServer is a Scrip on the embedded default, in a process of its own.
type ownServer struct {
	url, key, dir string
	process       *exec.Cmd
}

func startOwn(ctx context.Context) (_ *ownServer, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "scrip-bench-")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s := &ownServer{url: "http://" + addr, dir: dir}
	s.key, _ = middleware.NewKey()
	s.process = exec.Command(self, "serve") //nolint:gosec,noctx // this very program; end stops it
	s.process.Dir = dir                     // away from any config.yaml
	s.process.Env = []string{
		"SCRIP_HTTP_ADDR=" + addr, "SCRIP_DATA_DIR=" + dir, "SCRIP_AUTH_BOOTSTRAP_KEY=" + s.key,
		"SCRIP_LIMITS_ENABLED=false", "SCRIP_LOG_LEVEL=warn",
	}
	s.process.Stderr = os.Stderr
	if err := s.process.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.await(ctx, addr); err != nil {
		return nil, errors.Join(err, s.end())
	}
	return s, nil
}

func freeAddr(ctx context.Context) (string, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

const startTimeout = 10 * time.Second

func (s *ownServer) await(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := askHealth(ctx, addr)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the server did not start: %w", err)
		}
	}
}

func (s *ownServer) end() error {
	signalled := s.process.Process.Signal(syscall.SIGTERM)
	return errors.Join(signalled, s.process.Wait(), os.RemoveAll(s.dir))
}
