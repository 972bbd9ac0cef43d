package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"scrip/config"
	"scrip/handlers/middleware"
	"scrip/models"
	"scrip/store"
)

// newRoot builds the command line. scrip alone is scrip serve.
func newRoot(out io.Writer) *cobra.Command {
	var file string
	load := func() (config.Config, error) { return config.Load(file, os.Environ()) }
	serve := serveCommand(load)
	root := &cobra.Command{
		Use:   "scrip",
		Short: "Coupons, vouchers and promotion budgets that keep their word",
		Args:  cobra.NoArgs,
		RunE:  serve.RunE,

		SilenceUsage:  true,
		SilenceErrors: true, // main prints it
	}
	root.SetOut(out)
	root.PersistentFlags().StringVar(&file, "config", "", "configuration file (default "+config.DefaultFile+", if there is one)")
	root.AddCommand(serve, migrateCommand(load), keysCommand(load), tokenCommand(load),
		benchCommand(load), checkCommand(load), healthCommand(load), versionCommand())
	return root
}

// loader reads the configuration when a command runs.
type loader func() (config.Config, error)

func serveCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the server (also without any command)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}
}

func migrateCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema up to date, as serve does at its start",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			steps, err := store.Migrate(cmd.Context(), storeOptions(cfg, nil))
			if err != nil {
				return err
			}
			cmd.Printf("%d migrations applied\n", steps)
			return nil
		},
	}
}

func keysCommand(load loader) *cobra.Command {
	keys := &cobra.Command{Use: "keys", Short: "Make API keys"}
	var key models.APIKey
	create := &cobra.Command{
		Use:   "create --role platform|merchant|service [--merchant M]",
		Short: "Make an API key and print it, this once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(st *store.Store) error {
				plain, err := createKey(cmd.Context(), st, key)
				if err == nil {
					cmd.Println(plain)
				}
				return err
			})
		},
	}
	create.Flags().StringVar((*string)(&key.Role), "role", "", "platform, merchant or service")
	create.Flags().StringVar(&key.MerchantID, "merchant", "", "whose key it is, with role merchant")
	create.Flags().StringVar(&key.Name, "name", "", "what it is for")
	if err := create.MarkFlagRequired("role"); err != nil {
		panic(err) // the flag is defined three lines above
	}
	keys.AddCommand(create)
	return keys
}

// createKey makes a credential on the machine's own behalf.
func createKey(ctx context.Context, st *store.Store, key models.APIKey) (string, error) {
	if err := key.Check(); err != nil {
		return "", err
	}
	plain, hash := middleware.NewKey()
	_, err := st.CreateAPIKey(ctx, localOp(st), key, hash)
	return plain, err
}

// localOp is a change made from the command line or at the start.
func localOp(st *store.Store) models.Op {
	return models.Op{Actor: models.Principal{Role: models.RolePlatform, Credential: "local"}, At: st.Now()}
}

func withStore(ctx context.Context, cfg config.Config, act func(*store.Store) error) error {
	options := storeOptions(cfg, nil)
	options.Patient = true // scrip check goes through millions of rows
	st, err := store.Open(ctx, options)
	if err != nil {
		return err
	}
	return errors.Join(act(st), st.Close(context.WithoutCancel(ctx)))
}

func tokenCommand(load loader) *cobra.Command {
	var user string
	var tags []string
	var ttl time.Duration
	token := &cobra.Command{
		Use:   "token --user U",
		Short: "Print a JWT of an end user, for trying things out",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			secret, err := jwtSecret(cfg)
			if err != nil {
				return err
			}
			if secret == "" {
				return errors.New("auth.jwt_secret is not set, so this server takes no tokens that we could sign")
			}
			jwt, err := middleware.MintUserToken(secret, cfg.Auth.JWTIssuer, cfg.Auth.JWTAudience, user, tags, ttl, time.Now())
			if err == nil {
				cmd.Println(jwt)
			}
			return err
		},
	}
	token.Flags().StringVar(&user, "user", "", "the user's id: the token's sub")
	token.Flags().StringSliceVar(&tags, "tag", nil, "a tag of the user; may be repeated")
	token.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long it is good for")
	if err := token.MarkFlagRequired("user"); err != nil {
		panic(err) // the flag is defined a few lines above
	}
	return token
}

// healthCommand is for a container's health check, which has no other tool.
func healthCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Ask the server on this machine whether it is alive",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
			defer cancel()
			return askHealth(ctx, cfg.HTTP.Addr)
		},
	}
}

func askHealth(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("http.addr: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens everywhere; we ask here
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", http.NoBody)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers %s", answer.Status)
	}
	return nil
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { cmd.Println("scrip", version()) },
	}
}

// version is what the build recorded: a module version, or the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && info.Main.Version == "(devel)" {
			return setting.Value
		}
	}
	return info.Main.Version
}
