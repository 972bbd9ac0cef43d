package main

import (
	"context"
	"log/slog"
	"testing"

	"scrip/config"
	"scrip/issuing"
	"scrip/models"
	"scrip/store"
)

// TestNoWebhookIsToldUnsigned: a sender that is given no secret signs nothing.
func TestNoWebhookIsToldUnsigned(t *testing.T) {
	t.Parallel()
	ctx, cfg := t.Context(), config.Config{DataDir: t.TempDir()}
	st, err := store.Open(ctx, store.Options{DataDir: cfg.DataDir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close(context.WithoutCancel(ctx)) })
	a := &app{cfg: cfg, log: slog.New(slog.DiscardHandler), store: st}
	if err := a.openCodeKeys(ctx); err != nil {
		t.Fatal(err)
	}
	op := models.Op{Actor: models.Principal{Role: models.RolePlatform}, At: st.Now()}
	made, err := issuing.NewWebhooks(st, a.codeKeys).Create(ctx, op, models.Webhook{
		URL: "https://shop.example", Events: []models.EventType{models.EventCouponUsed}, Secret: models.NewWebhookSecret(),
	})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := st.SealedSecrets(ctx, 0, 1)
	if err != nil || len(kept) != 1 {
		t.Fatalf("%d webhooks, %v", len(kept), err)
	}
	var told []*models.Delivery
	send := a.opened(func(_ context.Context, d *models.Delivery) models.Attempt {
		told = append(told, d)
		return models.Attempt{Result: models.ResultSent}
	})
	own, foreign := kept[0], kept[0]
	foreign.ID++
	for _, d := range []struct {
		hook models.Webhook
		want models.Result
	}{{foreign, models.ResultRetry}, {own, models.ResultSent}} {
		if got := send(ctx, &models.Delivery{Webhook: &d.hook}); got.Result != d.want {
			t.Errorf("webhook %s: %+v", d.hook.ID, got)
		}
	}
	if len(told) != 1 || string(told[0].Webhook.Secret) != string(made.Secret) {
		t.Errorf("told %d times, or by another secret", len(told))
	}
}
