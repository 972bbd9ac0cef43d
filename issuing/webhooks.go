package issuing

import (
	"context"
	"fmt"

	"scrip/models"
)

type webhookStore interface {
	CreateWebhook(ctx context.Context, op models.Op, w models.Webhook, seal func(models.ID) []byte) (models.Webhook, error)
	SealedSecrets(ctx context.Context, after models.ID, limit int) ([]models.Webhook, error)
	ResealSecret(ctx context.Context, id models.ID, was, is []byte) error
}

// Webhooks makes webhooks, of whose secrets the store sees only what is sealed. It
// is safe for concurrent use.
type Webhooks struct {
	store webhookStore
	keys  *CodeKeys
}

// NewWebhooks makes one.
func NewWebhooks(st webhookStore, keys *CodeKeys) *Webhooks { return &Webhooks{store: st, keys: keys} }

// Create stores a webhook that Check has nothing against.
func (w *Webhooks) Create(ctx context.Context, op models.Op, hook models.Webhook) (models.Webhook, error) {
	seal := func(id models.ID) []byte { return w.keys.sealSecret(id, hook.Secret) }
	return w.store.CreateWebhook(ctx, op, hook, seal)
}

// Open gives a webhook that was read from the store its secret.
func (w *Webhooks) Open(hook *models.Webhook) (err error) {
	hook.Secret, err = w.keys.openSecret(hook.ID, hook.Sealed)
	return err
}

// SealOld seals the secrets that were kept as they are, before there was a seal.
// What is sealed is longer. Instances that start together may all do it: of each
// secret one is first.
func (w *Webhooks) SealOld(ctx context.Context) error {
	return w.each(ctx, func(hook *models.Webhook) error {
		if len(hook.Sealed) != models.WebhookSecretLen {
			return nil
		}
		return w.store.ResealSecret(ctx, hook.ID, hook.Sealed, w.keys.sealSecret(hook.ID, hook.Sealed))
	})
}

// Check describes the secrets by which nothing could be signed.
func (w *Webhooks) Check(ctx context.Context) (broken []string, err error) {
	err = w.each(ctx, func(hook *models.Webhook) error {
		if w.Open(hook) != nil {
			broken = append(broken, fmt.Sprintf("webhook_id=%s", hook.ID))
		}
		return nil
	})
	return broken, err
}

const secretsAtOnce = 500

func (w *Webhooks) each(ctx context.Context, do func(*models.Webhook) error) error {
	for after := models.ID(0); ; {
		hooks, err := w.store.SealedSecrets(ctx, after, secretsAtOnce)
		if err != nil {
			return err
		}
		for i := range hooks {
			if err := do(&hooks[i]); err != nil {
				return err
			}
			after = hooks[i].ID
		}
		if len(hooks) < secretsAtOnce {
			return nil
		}
	}
}
