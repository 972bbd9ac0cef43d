package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/google/uuid"

	"scrip/config"
	"scrip/handlers/middleware"
	"scrip/issuing"
	"scrip/models"
	"scrip/store"
)

// serve starts Scrip, says where it is, and runs it until ctx ends.
func serve(ctx context.Context, cfg config.Config, out io.Writer) error {
	log := newLogger(cfg.Log)
	uuid.EnableRandPool() // request ids need not each ask the kernel
	a, err := newApp(ctx, cfg, log)
	if err != nil {
		return err
	}
	key, err := firstKey(ctx, a.store, string(cfg.Auth.BootstrapKey))
	if err != nil {
		return errors.Join(err, a.stop())
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", cfg.HTTP.Addr)
	if err != nil {
		return errors.Join(err, a.stop())
	}
	if err := greet(out, cfg, listener.Addr(), key); err != nil {
		return errors.Join(err, listener.Close(), a.stop())
	}
	return a.serve(ctx, listener)
}

// firstKey sees to it that there is a platform key: the one from the
// configuration, or else, on a store that never had any, a new one, which is
// returned to be shown.
func firstKey(ctx context.Context, st *store.Store, bootstrap string) (string, error) {
	if bootstrap != "" {
		return "", ensureKey(ctx, st, bootstrap)
	}
	has, err := st.HasAPIKeys(ctx)
	if err != nil || has {
		return "", err
	}
	return createKey(ctx, st, models.APIKey{Role: models.RolePlatform, Name: "first key"})
}

func ensureKey(ctx context.Context, st *store.Store, plain string) error {
	hash := middleware.HashKey(plain)
	_, err := st.KeyByHash(ctx, hash)
	if !models.IsCode(err, models.CodeUnauthorized) {
		return err
	}
	_, err = st.CreateAPIKey(ctx, localOp(st), models.APIKey{Role: models.RolePlatform, Name: "bootstrap key"}, hash)
	if _, again := st.KeyByHash(ctx, hash); again == nil {
		return nil // made just now, by us or by another instance
	}
	return err
}

const (
	secretFile  = "jwt_secret"
	codeKeyFile = "codes_key"
	secretBytes = 32
)

// jwtSecret is the secret of users' tokens. Where nothing is configured and the
// database is the embedded one, a secret is made once and kept beside it, so
// that scrip token works out of the box.
func jwtSecret(cfg config.Config) (string, error) {
	if cfg.Auth.JWTSecret != "" || cfg.MySQL.DSN != "" || cfg.Auth.JWKSURL != "" {
		return string(cfg.Auth.JWTSecret), nil
	}
	return keptSecret(cfg.DataDir, secretFile)
}

// keptSecret reads a secret of our own making from a folder, where it is made by
// whoever asks first.
func keptSecret(dir, file string) (string, error) {
	path := filepath.Join(dir, file)
	kept, err := os.ReadFile(path) //nolint:gosec // the operator's own folder
	if errors.Is(err, os.ErrNotExist) {
		if err := makeSecret(dir, path); err != nil {
			return "", err
		}
		kept, err = os.ReadFile(path) //nolint:gosec // as above
	}
	return strings.TrimSpace(string(kept)), err
}

// makeSecret writes one whole before it has its name, and only if there is none
// by then: of those who start together one is first, and its secret is everybody's.
func makeSecret(dir, path string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	var random [secretBytes]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	fresh, err := os.CreateTemp(dir, ".secret-*")
	if err != nil {
		return err
	}
	_, err = fresh.WriteString(hex.EncodeToString(random[:]) + "\n")
	err = errors.Join(err, fresh.Sync(), fresh.Close())
	if err == nil {
		if err = os.Link(fresh.Name(), path); errors.Is(err, os.ErrExist) {
			err = nil
		}
	}
	return errors.Join(err, os.Remove(fresh.Name()))
}

// openCodeKeys gets the keys of claim codes and of webhooks' secrets, by the key in
// the configuration or, on the embedded default, by one that is kept beside the
// database. It sees to it that by then all is sealed.
func openCodeKeys(ctx context.Context, cfg config.Config, st *store.Store) (*issuing.CodeKeys, error) {
	current, old := string(cfg.Codes.Key), string(cfg.Codes.OldKey)
	if cfg.MySQL.DSN == "" && (current == "" || old == "") {
		own, err := keptSecret(cfg.DataDir, codeKeyFile)
		if err != nil {
			return nil, fmt.Errorf("codes.key: %w", err)
		}
		if current == "" {
			current = own
		} else {
			old = own
		}
	}
	keys, err := issuing.OpenCodeKeys(ctx, st, current, old)
	if err != nil {
		return nil, fmt.Errorf("codes.key: %w", err)
	}
	if err := issuing.NewWebhooks(st, keys).SealOld(ctx); err != nil {
		return nil, fmt.Errorf("seal secrets of webhooks: %w", err)
	}
	return keys, nil
}

const greeting = `Scrip {{.Version}} is listening on {{.URL}}
  database  {{.Database}}
  gate      {{.Gate}}
  docs      {{.URL}}/docs
{{if .Key}}
A first platform key was made. It is shown this once:
  export SCRIP_KEY={{.Key}}
{{end}}
From a rule to a claimed coupon{{if not .Key}}, with a platform key in SCRIP_KEY{{end}}:
R=$(curl -s {{.URL}}/v1/rules -H "Authorization: Bearer {{.Bearer}}" -H "Content-Type: application/json" -d '{"name":"5 off from 30","kind":"amount_off","effect":{"amount_off":500,"currency":"USD"},"conditions":{"min_amount":3000}}' | sed 's/.*"id":"\([0-9]*\)".*/\1/')
T=$(curl -s {{.URL}}/v1/templates -H "Authorization: Bearer {{.Bearer}}" -H "Content-Type: application/json" -d '{"name":"Welcome","rule_id":"'$R'","currency":"USD","stock":100,"validity":{"days_after_claim":30}}' | sed 's/.*"id":"\([0-9]*\)".*/\1/') && curl -s -X POST {{.URL}}/v1/templates/$T/publish -H "Authorization: Bearer {{.Bearer}}" && echo
curl -s {{.URL}}/v1/claims -H "Authorization: Bearer {{.Bearer}}" -H "Content-Type: application/json" -d '{"template_id":"'$T'","user_id":"ann"}' && echo
`

// greet tells whoever started Scrip where to look and what to try.
func greet(out io.Writer, cfg config.Config, addr net.Addr, key string) error {
	facts := map[string]string{
		"Version": version(), "URL": "http://" + reachable(addr), "Key": key, "Bearer": key,
		"Database": "SQLite in " + filepath.Join(cfg.DataDir, store.FileName),
		"Gate":     "in this process",
	}
	if key == "" {
		facts["Bearer"] = "$SCRIP_KEY"
	}
	if cfg.MySQL.DSN != "" {
		facts["Database"] = "MySQL"
	}
	if len(cfg.Redis.Addrs) > 0 {
		facts["Gate"] = "Redis at " + strings.Join(cfg.Redis.Addrs, ", ")
	}
	text, err := template.New("greeting").Parse(greeting)
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	return text.Execute(out, facts)
}

// reachable is an address that a client on this machine can use.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
}
