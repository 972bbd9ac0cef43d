package issuing_test

import (
	"bytes"
	"context"
	"testing"

	"scrip/issuing"
	"scrip/models"
)

// hooks is a store of webhooks in memory, whose ids count from 1.
type hooks [][]byte

func (h *hooks) CreateWebhook(_ context.Context, _ models.Op, w models.Webhook, seal func(models.ID) []byte) (models.Webhook, error) {
	w.ID = models.ID(len(*h) + 1)
	*h = append(*h, seal(w.ID))
	return w, nil
}

func (h *hooks) SealedSecrets(_ context.Context, after models.ID, limit int) ([]models.Webhook, error) {
	var found []models.Webhook
	for i := int(after); i < min(int(after)+limit, len(*h)); i++ {
		found = append(found, models.Webhook{ID: models.ID(i + 1), Sealed: (*h)[i]})
	}
	return found, nil
}

func (h *hooks) ResealSecret(_ context.Context, id models.ID, was, is []byte) error {
	if bytes.Equal((*h)[id-1], was) {
		(*h)[id-1] = is
	}
	return nil
}

func TestAllSecretsAreSealedAndChecked(t *testing.T) {
	t.Parallel()
	const many = 1001 // more than are read at once, twice
	st := &hooks{}
	var secrets []models.WebhookSecret
	for range many {
		secret := models.NewWebhookSecret()
		secrets, *st = append(secrets, secret), append(*st, secret) // as it was kept before there was a seal
	}
	w := issuing.NewWebhooks(st, open(t, newVault(), someKey, ""))
	if broken, err := w.Check(t.Context()); len(broken) != many || err != nil {
		t.Errorf("%d of %d are found, %v", len(broken), many, err)
	}
	if err := w.SealOld(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, sealed := range *st {
		hook := models.Webhook{ID: models.ID(i + 1), Sealed: sealed}
		if err := w.Open(&hook); err != nil || !bytes.Equal(hook.Secret, secrets[i]) || bytes.Contains(sealed, secrets[i]) {
			t.Fatalf("webhook %d: %v, or its secret is another, or shows", i, err)
		}
	}
	(*st)[many-1] = (*st)[0]
	if broken, err := w.Check(t.Context()); err != nil || len(broken) != 1 || broken[0] != "webhook_id=1001" {
		t.Errorf("found %v, %v", broken, err)
	}
}

func TestAnAnswerOpensForItsKeyOnly(t *testing.T) {
	t.Parallel()
	keys := open(t, newVault(), someKey, "")
	own, other := [32]byte{1}, [32]byte{2}
	body := []byte(`{"key":"sk_1"}`)
	sealed := keys.SealAnswer(own, body)
	if got, err := keys.OpenAnswer(own, sealed); err != nil || !bytes.Equal(got, body) || bytes.Contains(sealed, body) {
		t.Errorf("%s, %v; sealed %q", got, err, sealed)
	}
	if got, err := keys.OpenAnswer(other, sealed); err == nil {
		t.Errorf("another key opens it: %s", got)
	}
}

// TestASecretIsNoCode tries a webhook's secret as a shared code under the same id:
// whoever may write into the tables must not have it exported.
func TestASecretIsNoCode(t *testing.T) {
	t.Parallel()
	v, st := newVault(), &hooks{}
	keys := open(t, v, someKey, "")
	w, codes := issuing.NewWebhooks(st, keys), issuing.NewCodes(v, keys)
	if _, err := w.Create(t.Context(), models.Op{}, models.Webhook{Secret: models.NewWebhookSecret()}); err != nil {
		t.Fatal(err)
	}
	if _, err := codes.Share(t.Context(), models.Op{}, 7, "word", 1); err != nil {
		t.Fatal(err)
	}
	v.batches[0].Sealed = (*st)[0]
	if err := codes.Export(t.Context(), models.Op{}, 7, func([]byte) error { return nil }); err == nil {
		t.Error("it was exported")
	}
}
