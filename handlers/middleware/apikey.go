package middleware

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"scrip/models"
)

const (
	keyPrefix = "sk_" // tells an API key from a token, and lets scanners find leaked ones
	maxKeyLen = 256
)

// NewKey makes an API key of 256 random bits, and the hash to store of it: the
// key itself is shown once and kept nowhere.
func NewKey() (plain string, hash [32]byte) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random[:])
	plain = keyPrefix + strings.ToLower(text)
	return plain, HashKey(plain)
}

// HashKey hashes an API key for looking it up. It is a plain SHA-256: a random
// key needs neither salt nor slowness.
func HashKey(plain string) [32]byte {
	var buffer [maxKeyLen]byte // on the stack, where the keys that there are fit
	return sha256.Sum256(append(buffer[:0], plain...))
}

// keyLookup finds whose key has the hash. A key that nobody has is a refusal
// with code unauthorized; any other error means that nobody can tell.
type keyLookup interface {
	KeyByHash(ctx context.Context, hash [32]byte) (models.Principal, error)
}

const (
	maxCachedKeys = 10_000      // in each of the two maps
	unknownTTL    = time.Second // at most; a mistyped key is not looked up each time
	lookupTimeout = 2 * time.Second
)

// keyCache remembers for a while what keyLookup said.
type keyCache struct {
	lookup keyLookup
	ttl    time.Duration
	now    models.Clock
	flight singleflight.Group

	mu      sync.RWMutex
	known   map[[32]byte]knownKey
	unknown map[[32]byte]time.Time // until when

	// forgets counts the calls of forget. An answer that was asked for before
	// one may be out of date: it is neither kept nor shared with later callers.
	forgets uint64
}

type knownKey struct {
	principal models.Principal
	until     time.Time
}

func newKeyCache(lookup keyLookup, ttl time.Duration, now models.Clock) *keyCache {
	return &keyCache{
		lookup: lookup, ttl: ttl, now: now,
		known: map[[32]byte]knownKey{}, unknown: map[[32]byte]time.Time{},
	}
}

// recollection is what the cache knows of a key.
type recollection uint8

const (
	neverSeen recollection = iota
	seenOnce               // it was good when last looked up, which is too long ago
	isGood
	isUnknown
)

func (k *keyCache) recall(hash [32]byte) (models.Principal, recollection) {
	now := k.now()
	k.mu.RLock()
	defer k.mu.RUnlock()
	if key, ok := k.known[hash]; ok {
		if now.Before(key.until) {
			return key.principal, isGood
		}
		return models.Principal{}, seenOnce
	}
	if until, ok := k.unknown[hash]; ok && now.Before(until) {
		return models.Principal{}, isUnknown
	}
	return models.Principal{}, neverSeen
}

// load looks the key up. Callers who want the same key at the same time share
// one look, which therefore does not end with the request of the first.
func (k *keyCache) load(ctx context.Context, hash [32]byte) (models.Principal, error) {
	k.mu.RLock()
	forgets := k.forgets
	k.mu.RUnlock()
	key := string(strconv.AppendUint(hash[:], forgets, 10))
	found := k.flight.DoChan(key, safely(func() (any, error) {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		asked := k.now()
		principal, err := k.lookup.KeyByHash(detached, hash)
		k.keep(hash, forgets, asked, principal, err)
		return principal, err
	}))
	select {
	case <-ctx.Done():
		return models.Principal{}, ctx.Err()
	case result := <-found:
		principal, _ := result.Val.(models.Principal)
		return principal, result.Err
	}
}

// keep notes an answer. Its time runs from when it was asked for: later on it
// may have been out of date already.
func (k *keyCache) keep(hash [32]byte, forgets uint64, asked time.Time, principal models.Principal, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.forgets != forgets {
		return
	}
	switch {
	case err == nil:
		makeRoom(k.known)
		k.known[hash] = knownKey{principal: principal, until: asked.Add(k.ttl)}
		delete(k.unknown, hash)
	case models.IsCode(err, models.CodeUnauthorized):
		makeRoom(k.unknown)
		k.unknown[hash] = asked.Add(min(k.ttl, unknownTTL))
		delete(k.known, hash)
	}
}

// makeRoom empties a full map. All of it can be looked up again.
func makeRoom[V any](m map[[32]byte]V) {
	if len(m) >= maxCachedKeys {
		clear(m)
	}
}

func (k *keyCache) forget(hash [32]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forgets++
	delete(k.known, hash)
	delete(k.unknown, hash)
}

// principal tells whose key it is, without a look where the cache knows. Before
// a look for a key that was never good, permit may refuse.
func (k *keyCache) principal(ctx context.Context, plain string, permit func() error) (models.Principal, error) {
	if len(plain) > maxKeyLen {
		return models.Principal{}, errUnknownKey()
	}
	hash := HashKey(plain)
	principal, memory := k.recall(hash)
	switch memory {
	case isGood:
		return principal, nil
	case isUnknown:
		return principal, errUnknownKey()
	case neverSeen:
		if err := permit(); err != nil {
			return principal, err
		}
	case seenOnce:
	}
	principal, err := k.load(ctx, hash)
	return principal, explainLookup(err)
}

// explainLookup makes sure that only a key which is known to be wrong is called
// wrong: a caller would throw it away.
func explainLookup(err error) error {
	var refusal *models.Error
	switch {
	case err == nil:
		return nil
	case models.IsCode(err, models.CodeUnauthorized):
		return errUnknownKey()
	case errors.As(err, &refusal):
		return err
	}
	return errors.Join(models.Busy("API keys cannot be looked up just now"), err)
}

func errUnknownKey() *models.Error {
	return models.Refuse(models.CodeUnauthorized, "this API key is not known")
}
