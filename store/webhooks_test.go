package store_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"scrip/issuing"
	"scrip/models"
)

const (
	someKey  = "some key of at least 32 characters"
	otherKey = "another key of at least 32 characters"
)

// webhooks makes and opens webhooks by the keys of the configuration.
func (f fixture) webhooks(t *testing.T, current, old string) *issuing.Webhooks {
	t.Helper()
	return issuing.NewWebhooks(f.Store, must(issuing.OpenCodeKeys(t.Context(), f.Store, current, old))(t))
}

func (f fixture) hook(t *testing.T, hooks *issuing.Webhooks) models.Webhook {
	t.Helper()
	return must(hooks.Create(t.Context(), f.op(merchant("m1")), models.Webhook{
		MerchantID: "m1", URL: "https://shop.example/hook", Events: []models.EventType{models.EventCouponClaimed},
		Secret: models.NewWebhookSecret(),
	}))(t)
}

// opens fails the test unless the secrets of all these webhooks are what they were.
func (f fixture) opens(t *testing.T, hooks *issuing.Webhooks, want ...models.Webhook) {
	t.Helper()
	kept := must(f.SealedSecrets(t.Context(), 0, 100))(t)
	if len(kept) != len(want) {
		t.Fatalf("%d webhooks, want %d", len(kept), len(want))
	}
	for i := range kept {
		if err := hooks.Open(&kept[i]); err != nil || string(kept[i].Secret) != string(want[i].Secret) {
			t.Errorf("webhook %s: %v, or another secret", kept[i].ID, err)
		}
	}
	if broken, err := hooks.Check(t.Context()); len(broken) > 0 || err != nil {
		t.Errorf("a check finds %v, %v", broken, err)
	}
}

func TestTheSecretOfAWebhookIsNowhereInTheClear(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		hooks := f.webhooks(t, someKey, "")
		made := f.hook(t, hooks)
		f.opens(t, hooks, made)
		forms := []string{string(made.Secret), base64.StdEncoding.EncodeToString(made.Secret), made.Secret.Reveal()}
		for column, table := range map[string]string{
			"id": "webhooks", "merchant_id": "webhooks", "url": "webhooks", "events": "webhooks", "sealed": "webhooks",
			"state": "webhooks", "data_key": "code_keys", "detail": "audit_log",
		} {
			rows := must(f.Texts(t.Context(), "SELECT "+column+" FROM "+table))(t)
			if len(rows) == 0 {
				t.Errorf("%s of %s: there is nothing", column, table)
			}
			for _, row := range rows {
				for _, form := range forms {
					if strings.Contains(row, form) {
						t.Errorf("%s of %s shows it", column, table)
					}
				}
			}
		}
	})
}

func TestASealedSecretOpensInItsOwnRowOnly(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx, hooks := t.Context(), f.webhooks(t, someKey, "")
		first, second := f.hook(t, hooks), f.hook(t, hooks)
		f.opens(t, hooks, first, second)
		kept := must(f.SealedSecrets(ctx, 0, 100))(t)
		if err := f.Exec(ctx, "UPDATE webhooks SET sealed = ? WHERE id = ?", kept[0].Sealed, second.ID); err != nil {
			t.Fatal(err)
		}
		broken, err := hooks.Check(ctx)
		if want := "webhook_id=" + second.ID.String(); err != nil || len(broken) != 1 || broken[0] != want {
			t.Errorf("a check finds %v, %v; want %s", broken, err, want)
		}
	})
}

func TestSecretsOutliveTheKeyOfTheConfiguration(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		first := f.hook(t, f.webhooks(t, "", "")) // as it is first tried out
		f.opens(t, f.webhooks(t, someKey, ""), first)
		second := f.hook(t, f.webhooks(t, someKey, ""))
		f.opens(t, f.webhooks(t, otherKey, someKey), first, second)
		f.opens(t, f.webhooks(t, otherKey, ""), first, second)
		if _, err := issuing.OpenCodeKeys(t.Context(), f.Store, someKey, ""); !errors.Is(err, issuing.ErrWrongCodeKey) {
			t.Errorf("by the key of before: %v", err)
		}
	})
}

func TestWhatWasKeptInTheClearIsSealed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx, hooks := t.Context(), f.webhooks(t, someKey, "")
		old, made := f.hook(t, hooks), f.hook(t, hooks)
		if err := f.Exec(ctx, "UPDATE webhooks SET sealed = ? WHERE id = ?", []byte(old.Secret), old.ID); err != nil {
			t.Fatal(err)
		}
		if broken, err := hooks.Check(ctx); len(broken) != 1 || err != nil {
			t.Errorf("a check finds %v, %v", broken, err)
		}
		for range 2 {
			if err := hooks.SealOld(ctx); err != nil {
				t.Fatal(err)
			}
			f.opens(t, hooks, old, made)
		}
		// Another instance has read it before it was sealed.
		if err := f.ResealSecret(ctx, old.ID, old.Secret, []byte("too late")); err != nil {
			t.Fatal(err)
		}
		f.opens(t, hooks, old, made)
	})
}
