package middleware

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/singleflight"

	"scrip/models"
)

const (
	jwksEvery   = 5 * time.Minute  // how often the key set is read anew
	jwksGap     = 10 * time.Second // at least, between two reads that unknown keys ask for
	jwksTimeout = 10 * time.Second
	maxJWKS     = 1 << 20 // bytes
)

// keySet holds the public keys of a JWK set, and reads it again every now and
// then, and when a token names a key that is not in it. While it cannot be read
// the keys of the last time stay.
type keySet struct {
	read   func(context.Context) ([]byte, error)
	now    models.Clock
	keys   jwkset.Storage
	find   keyfunc.Keyfunc
	flight singleflight.Group
	loaded atomic.Bool  // ever
	asked  atomic.Int64 // when it was last read, in ns since 1970
}

// newKeySet reads a set from an https URL, a file URL or a path. A file must be
// there; a server may come later.
func newKeySet(ctx context.Context, url string, client *http.Client, now models.Clock) (*keySet, error) {
	keys := jwkset.NewMemoryStorage()
	find, err := keyfunc.New(keyfunc.Options{Ctx: ctx, Storage: keys})
	if err != nil {
		return nil, fmt.Errorf("JWKS: %w", err)
	}
	s := &keySet{now: now, keys: keys, find: find}
	if strings.HasPrefix(url, "https://") {
		s.read = func(ctx context.Context) ([]byte, error) { return fetch(ctx, client, url) }
		return s, nil
	}
	if strings.Contains(url, "://") && !strings.HasPrefix(url, "file://") {
		return nil, errors.New("JWKS: neither an https URL nor a file")
	}
	path := strings.TrimPrefix(url, "file://")
	s.read = func(context.Context) ([]byte, error) { return os.ReadFile(path) } //nolint:gosec // the operator's own path
	return s, s.load(ctx)
}

// fetch gets the set from a server, over TLS all the way.
func fetch(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	safe := *client
	safe.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Scheme != "https" || len(via) > 3 {
			return errors.New("redirected too often, or away from https")
		}
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := safe.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s", response.Status)
	}
	return io.ReadAll(http.MaxBytesReader(nil, response.Body, maxJWKS))
}

// load reads the set and takes its keys in place of the old ones.
func (s *keySet) load(ctx context.Context) error {
	s.asked.Store(s.now().UnixNano())
	ctx, cancel := context.WithTimeout(ctx, jwksTimeout)
	defer cancel()
	raw, err := s.read(ctx)
	if err != nil {
		return fmt.Errorf("read the JWKS: %w", err)
	}
	keys, err := publicKeys(raw)
	if err != nil {
		return fmt.Errorf("read the JWKS: %w", err)
	}
	if err := s.keys.KeyReplaceAll(ctx, keys); err != nil {
		return fmt.Errorf("keep the JWKS: %w", err)
	}
	s.loaded.Store(true)
	return nil
}

// publicKeys picks the keys that can verify what we accept. A set may hold
// others, for other uses; one without any of ours is a mistake.
func publicKeys(raw []byte) ([]jwkset.JWK, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, err
	}
	var keys []jwkset.JWK
	for _, marshalled := range set.Keys {
		// Without the option Private a symmetric key is an error, and of a
		// private one the public half is taken.
		key, err := jwkset.NewJWKFromMarshal(marshalled, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err == nil && marshalled.USE != jwkset.UseEnc && verifies(key.Key()) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no RSA, P-256 or Ed25519 key for signatures")
	}
	return keys, nil
}

func verifies(key any) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= 2048 // RFC 7518, 3.3
	case *ecdsa.PublicKey:
		return key.Curve.Params().BitSize == 256
	case ed25519.PublicKey:
		return true
	}
	return false
}

// renew reads the set again unless that was tried a moment ago. Callers who
// want it at the same time share one read, which therefore does not end with
// the request of the first.
func (s *keySet) renew(ctx context.Context) error {
	done := s.flight.DoChan("", safely(func() (any, error) {
		if s.now().UnixNano()-s.asked.Load() < int64(jwksGap) {
			return nil, nil
		}
		return nil, s.load(context.WithoutCancel(ctx))
	}))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-done: // whether it worked is seen by the keys
		return nil
	}
}

// key finds the key that a token names, or all of them if it names none.
func (s *keySet) key(ctx context.Context, token *jwt.Token) (any, error) {
	key, err := s.find.KeyfuncCtx(ctx)(token)
	if s.loaded.Load() && !errors.Is(err, jwkset.ErrKeyNotFound) {
		return key, err
	}
	if err := s.renew(ctx); err != nil {
		return nil, err
	}
	if !s.loaded.Load() {
		return nil, models.Busy("the keys that verify tokens cannot be read just now")
	}
	return s.find.KeyfuncCtx(ctx)(token)
}

// run reads the set every so often until the context ends.
func (s *keySet) run(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(jwksEvery)
	defer tick.Stop()
	for {
		if err := s.load(ctx); err != nil && ctx.Err() == nil {
			log.LogAttrs(ctx, slog.LevelWarn, "the keys that verify tokens could not be read; the old ones stay", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
