package middleware

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

// keyTable is a store of API keys that counts the questions.
type keyTable struct {
	mu    sync.Mutex
	keys  map[[32]byte]models.Principal
	err   error
	asked int
}

func newKeyTable() *keyTable { return &keyTable{keys: map[[32]byte]models.Principal{}} }

func (k *keyTable) KeyByHash(_ context.Context, hash [32]byte) (models.Principal, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	if k.err != nil {
		return models.Principal{}, k.err
	}
	if principal, ok := k.keys[hash]; ok {
		return principal, nil
	}
	return models.Principal{}, models.Refuse(models.CodeUnauthorized, "no such key")
}

func (k *keyTable) set(plain string, p models.Principal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[HashKey(plain)] = p
}

func (k *keyTable) drop(plain string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.keys, HashKey(plain))
}

func (k *keyTable) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func (k *keyTable) questions() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked
}

func permit() error { return nil }

func TestNewKey(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		plain, hash := NewKey()
		if seen[plain] || len(plain) != 3+52 || !strings.HasPrefix(plain, "sk_") ||
			strings.Trim(plain[3:], "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Fatalf("made %s", plain)
		}
		if hash != sha256.Sum256([]byte(plain)) || hash != HashKey(plain) {
			t.Fatalf("%s has the hash %x", plain, hash)
		}
		seen[plain] = true
	}
}

func TestHashKeyOfAnyLength(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, maxKeyLen, maxKeyLen + 1, 5000} {
		plain := strings.Repeat("k", n)
		if HashKey(plain) != sha256.Sum256([]byte(plain)) {
			t.Errorf("%d characters are hashed otherwise", n)
		}
	}
}

func TestKeyIsBelievedForItsTime(t *testing.T) {
	t.Parallel()
	table, clock := newKeyTable(), newHandClock()
	table.set("sk_a", service())
	cache := newKeyCache(table, 2*time.Second, clock.now)
	for step, want := range []int{1, 1, 2, 2} {
		got, err := cache.principal(t.Context(), "sk_a", permit)
		if diff := cmp.Diff(service(), got); diff != "" || err != nil {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
		if n := table.questions(); n != want {
			t.Errorf("step %d: %d questions, want %d", step, n, want)
		}
		clock.advance(time.Second) // from the third on it is 2 s old, then 1 s again
	}
	table.drop("sk_a")
	clock.advance(2 * time.Second)
	for range 3 {
		if _, err := cache.principal(t.Context(), "sk_a", permit); !models.IsCode(err, models.CodeUnauthorized) {
			t.Errorf("a key deleted elsewhere still works after its time: %v", err)
		}
	}
	if n := table.questions(); n != 3 {
		t.Errorf("the deleted key was looked up %d times", n-2)
	}
}

func TestUnknownKeyIsNotLookedUpEachTime(t *testing.T) {
	t.Parallel()
	table, clock := newKeyTable(), newHandClock()
	cache := newKeyCache(table, 2*time.Second, clock.now)
	for range 5 {
		if _, err := cache.principal(t.Context(), "sk_a", permit); !models.IsCode(err, models.CodeUnauthorized) {
			t.Fatalf("got %v", err)
		}
	}
	if n := table.questions(); n != 1 {
		t.Errorf("%d questions", n)
	}
	table.set("sk_a", service())
	clock.advance(unknownTTL)
	if _, err := cache.principal(t.Context(), "sk_a", permit); err != nil {
		t.Errorf("a new key does not work: %v", err)
	}
}

func TestKeyTooLongIsNotLookedUp(t *testing.T) {
	t.Parallel()
	table := newKeyTable()
	cache := newKeyCache(table, time.Second, newHandClock().now)
	_, err := cache.principal(t.Context(), "sk_"+strings.Repeat("a", maxKeyLen), permit)
	if !models.IsCode(err, models.CodeUnauthorized) || table.questions() != 0 {
		t.Errorf("%d questions, %v", table.questions(), err)
	}
}

func TestForgottenKeyIsDeadAtOnce(t *testing.T) {
	t.Parallel()
	table, clock := newKeyTable(), newHandClock()
	table.set("sk_a", service())
	table.set("sk_b", service())
	cache := newKeyCache(table, time.Hour, clock.now)
	for _, plain := range []string{"sk_a", "sk_b"} {
		if _, err := cache.principal(t.Context(), plain, permit); err != nil {
			t.Fatal(err)
		}
	}
	table.drop("sk_a")
	cache.forget(HashKey("sk_a"))
	if _, err := cache.principal(t.Context(), "sk_a", permit); !models.IsCode(err, models.CodeUnauthorized) {
		t.Errorf("got %v", err)
	}
	if _, err := cache.principal(t.Context(), "sk_b", permit); err != nil || table.questions() != 3 {
		t.Errorf("the other key: %v, %d questions", err, table.questions())
	}
}

// A look that began before the deletion may come back with the key after it.
// Nobody who asks after the deletion may be served by it, neither by waiting
// for it nor from the cache.
func TestForgetOutrunsALookUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := newKeyTable()
		table.set("sk_a", service())
		release := make(chan struct{})
		var looks atomic.Int64
		cache := newKeyCache(lookupFunc(func(ctx context.Context, hash [32]byte) (models.Principal, error) {
			principal, err := table.KeyByHash(ctx, hash)
			if looks.Add(1) == 1 {
				<-release
			}
			return principal, err
		}), time.Hour, time.Now)

		early := make(chan error, 1)
		go func() {
			_, err := cache.principal(t.Context(), "sk_a", permit)
			early <- err
		}()
		synctest.Wait()
		table.drop("sk_a")
		cache.forget(HashKey("sk_a"))
		if _, err := cache.principal(t.Context(), "sk_a", permit); !models.IsCode(err, models.CodeUnauthorized) {
			t.Errorf("while the look is under way: %v", err)
		}
		close(release)
		if err := <-early; err != nil {
			t.Errorf("the look itself: %v", err)
		}
		synctest.Wait()
		if _, err := cache.principal(t.Context(), "sk_a", permit); !models.IsCode(err, models.CodeUnauthorized) {
			t.Errorf("after the look: %v", err)
		}
	})
}

func TestCallersShareALook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		release := make(chan struct{})
		cache := newKeyCache(lookupFunc(func(ctx context.Context, _ [32]byte) (models.Principal, error) {
			looks.Add(1)
			select {
			case <-release:
				return service(), nil
			case <-ctx.Done():
				return models.Principal{}, ctx.Err()
			}
		}), time.Hour, time.Now)
		// The first to ask gives up; that must not spoil it for the others.
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := cache.principal(impatient, "sk_a", permit); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the impatient one: %v", err)
		}
		results := make(chan error, 10)
		for range cap(results) {
			go func() {
				_, err := cache.principal(t.Context(), "sk_a", permit)
				results <- err
			}()
		}
		synctest.Wait()
		close(release)
		for range cap(results) {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks", n)
		}
	})
}

func TestLookThatTakesTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cache := newKeyCache(lookupFunc(func(ctx context.Context, _ [32]byte) (models.Principal, error) {
			<-ctx.Done()
			return models.Principal{}, ctx.Err()
		}), time.Hour, time.Now)
		start := time.Now()
		_, err := cache.principal(t.Context(), "sk_a", permit)
		if !models.IsCode(err, models.CodeBusy) || time.Since(start) != lookupTimeout {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestStoreAwayIsNotAWrongKey(t *testing.T) {
	t.Parallel()
	table, clock := newKeyTable(), newHandClock()
	table.set("sk_a", service())
	cache := newKeyCache(table, time.Second, clock.now)
	if _, err := cache.principal(t.Context(), "sk_a", permit); err != nil {
		t.Fatal(err)
	}
	table.fail(errors.New("connection refused"))
	for _, plain := range []string{"sk_a", "sk_b"} {
		clock.advance(time.Second)
		_, err := cache.principal(t.Context(), plain, permit)
		if !models.IsCode(err, models.CodeBusy) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s: %v", plain, err)
		}
	}
	table.fail(nil)
	if _, err := cache.principal(t.Context(), "sk_a", permit); err != nil {
		t.Errorf("the store is back, and the key does not work: %v", err)
	}
}

func TestLookThatPanics(t *testing.T) {
	t.Parallel()
	cache := newKeyCache(lookupFunc(func(context.Context, [32]byte) (models.Principal, error) {
		panic("nil map")
	}), time.Second, newHandClock().now)
	if _, err := cache.principal(t.Context(), "sk_a", permit); !models.IsCode(err, models.CodeBusy) || !strings.Contains(err.Error(), "nil map") {
		t.Errorf("got %v", err)
	}
}

func TestPermitIsAskedForStrangersOnly(t *testing.T) {
	t.Parallel()
	table, clock := newKeyTable(), newHandClock()
	table.set("sk_a", service())
	cache := newKeyCache(table, time.Second, clock.now)
	no := errors.New("no")
	refuse := func() error { return no }
	if _, err := cache.principal(t.Context(), "sk_a", refuse); !errors.Is(err, no) || table.questions() != 0 {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := cache.principal(t.Context(), "sk_a", permit); err != nil {
		t.Fatal(err)
	}
	clock.advance(time.Minute)
	if _, err := cache.principal(t.Context(), "sk_a", refuse); err != nil {
		t.Errorf("a key that was good before: %v", err)
	}
}

func TestKeyCacheIsBounded(t *testing.T) {
	t.Parallel()
	cache := newKeyCache(newKeyTable(), time.Hour, newHandClock().now)
	for i := range 2*maxCachedKeys + 2 {
		hash := [32]byte{byte(i), byte(i >> 8), byte(i >> 16)}
		cache.keep(hash, 0, cache.now(), models.Principal{}, nil)
		hash[31] = 1
		cache.keep(hash, 0, cache.now(), models.Principal{}, errUnknownKey())
	}
	if len(cache.known) > maxCachedKeys || len(cache.unknown) > maxCachedKeys {
		t.Errorf("%d known, %d unknown", len(cache.known), len(cache.unknown))
	}
}
