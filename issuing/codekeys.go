package issuing

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"sync"

	"scrip/models"
)

// CodeKeys hash and seal claim codes, and seal the secrets of webhooks and the
// answers that are kept with a secret in them. What they are made from, the data
// key, is drawn once for a database and kept in it, wrapped by the key in the
// configuration (docs/adr/0025). They are safe for concurrent use.
type CodeKeys struct {
	macs sync.Pool // of hash.Hash
	seal cipher.AEAD
	// These have keys of their own: what they seal opens nowhere as a code, whatever
	// place that is bound to.
	secrets cipher.AEAD
	answers cipher.AEAD
}

const keyBytes = 32

// What each key derived from another is for (HKDF, RFC 5869).
const (
	toWrap = "scrip: wrap the key of claim codes"
	toHash = "scrip: hash claim codes"
	toSeal = "scrip: seal claim codes"
	toKeep = "scrip: seal the secrets of webhooks"
	toTell = "scrip: seal answers with a secret"
)

type codeKeyStore interface {
	CodeKey(ctx context.Context) (key models.CodeKey, found bool, err error)
	KeepCodeKey(ctx context.Context, key models.CodeKey) error
	RewrapCodeKey(ctx context.Context, was, is models.CodeKey) error
}

// Why the keys of claim codes cannot be had.
var (
	ErrNoCodeKey    = errors.New("claim codes and webhooks' secrets of this database are sealed, and no key is given")
	ErrWrongCodeKey = errors.New("this is not the key with which claim codes and webhooks' secrets of this database are sealed")
)

// OpenCodeKeys gets a database's keys by the configuration's current key, or by
// an old one, after which only the current one opens them. Whoever is the first
// to come makes them. Without a current key they lie in the database as they are;
// a key that is set later wraps them then.
func OpenCodeKeys(ctx context.Context, st codeKeyStore, current, old string) (*CodeKeys, error) {
	kept, found, err := st.CodeKey(ctx)
	if err == nil && !found {
		if err = st.KeepCodeKey(ctx, wrap(current, newDataKey())); err == nil {
			kept, _, err = st.CodeKey(ctx) // another instance's, if that was first
		}
	}
	if err != nil {
		return nil, err
	}
	data, opened, err := unwrap(kept, current, old)
	if err != nil {
		return nil, err
	}
	if current != "" && opened != current {
		if err := st.RewrapCodeKey(ctx, kept, wrap(current, data)); err != nil {
			return nil, err
		}
	}
	keys := &CodeKeys{
		seal: sealBy(derive(data, toSeal)), secrets: sealBy(derive(data, toKeep)), answers: sealBy(derive(data, toTell)),
	}
	hashKey := derive(data, toHash)
	keys.macs.New = func() any { return hmac.New(sha256.New, hashKey) }
	return keys, nil
}

func newDataKey() []byte {
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	return key
}

func wrap(secret string, data []byte) models.CodeKey {
	if secret == "" {
		return models.CodeKey{Text: data}
	}
	wrapped := sealBy(derive([]byte(secret), toWrap)).Seal(nil, nil, data, nil) //nolint:gosec // draws its nonce itself
	return models.CodeKey{Wrapped: true, Text: wrapped}
}

// unwrap tells which of the secrets it was that opened the key.
func unwrap(kept models.CodeKey, secrets ...string) (data []byte, secret string, err error) {
	if !kept.Wrapped {
		return kept.Text, "", nil
	}
	err = ErrNoCodeKey
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		data, failed := sealBy(derive([]byte(secret), toWrap)).Open(nil, nil, kept.Text, nil)
		if failed == nil {
			return data, secret, nil
		}
		err = ErrWrongCodeKey
	}
	return nil, "", err
}

func derive(secret []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, purpose, keyBytes)
	if err != nil {
		panic("hkdf: " + err.Error()) // of a length that SHA-256 can give
	}
	return key
}

// sealBy is AES-256-GCM; it puts a random nonce in front of what it seals.
func sealBy(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("aes: " + err.Error()) // of 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("gcm: " + err.Error()) // of AES
	}
	return aead
}

// Hash is by what a code that somebody typed is found.
func (k *CodeKeys) Hash(typed string) (sum models.CodeHash) {
	mac, _ := k.macs.Get().(hash.Hash)
	mac.Reset()
	_, _ = mac.Write([]byte(models.FoldCode(typed)))
	var full [sha256.Size]byte
	copy(sum[:], mac.Sum(full[:0]))
	k.macs.Put(mac)
	return sum
}

// sealText hides a text, bound to the place where it is kept: moved to another
// it does not open.
func (k *CodeKeys) sealText(batch models.ID, seq int64, text []byte) []byte {
	return k.seal.Seal(nil, nil, text, place(batch, seq)) //nolint:gosec // draws its nonce itself
}

func (k *CodeKeys) openText(batch models.ID, seq int64, sealed []byte) ([]byte, error) {
	text, err := k.seal.Open(nil, nil, sealed, place(batch, seq))
	if err != nil {
		return nil, fmt.Errorf("sealed codes %d of batch %s: %w", seq, batch, err)
	}
	return text, nil
}

// sealSecret hides the secret of a webhook, bound to the row that it is kept in.
func (k *CodeKeys) sealSecret(webhook models.ID, secret models.WebhookSecret) []byte {
	return k.secrets.Seal(nil, nil, secret, row(webhook)) //nolint:gosec // draws its nonce itself
}

func (k *CodeKeys) openSecret(webhook models.ID, sealed []byte) (models.WebhookSecret, error) {
	secret, err := k.secrets.Open(nil, nil, sealed, row(webhook))
	if err != nil {
		return nil, fmt.Errorf("sealed secret of webhook %s: %w", webhook, err)
	}
	return secret, nil
}

// SealAnswer hides an answer that has a secret in it, bound to the idempotency key
// under which it is kept.
func (k *CodeKeys) SealAnswer(key [32]byte, body []byte) []byte {
	return k.answers.Seal(nil, nil, body, key[:]) //nolint:gosec // draws its nonce itself
}

// OpenAnswer is the way back; it fails for another key's.
func (k *CodeKeys) OpenAnswer(key [32]byte, sealed []byte) ([]byte, error) {
	body, err := k.answers.Open(nil, nil, sealed, key[:])
	if err != nil {
		return nil, fmt.Errorf("sealed answer: %w", err)
	}
	return body, nil
}

func place(batch models.ID, seq int64) []byte {
	return binary.BigEndian.AppendUint64(row(batch), uint64(seq)) //nolint:gosec // counts from 0
}

func row(id models.ID) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(id)) //nolint:gosec // an id is positive
}
