package handlers

import (
	"context"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

type webhookStore interface {
	Webhooks(ctx context.Context, actor models.Principal, page models.Page) ([]models.Webhook, error)
	DeleteWebhook(ctx context.Context, op models.Op, id models.ID) error
}

// webhookService makes webhooks, whose secrets are kept sealed.
type webhookService interface {
	Create(ctx context.Context, op models.Op, w models.Webhook) (models.Webhook, error)
}

// WebhookRules say where webhooks may point.
type WebhookRules struct {
	Private bool                   // also into the private network, and to http
	Public  func(host string) bool // whether a host, as it is written, is not in the private network
}

type webhookBody struct {
	MerchantID string             `json:"merchant_id"`
	URL        string             `json:"url"`
	Events     []models.EventType `json:"events"`
}

// webhook makes the webhook of a body, with a new secret.
func (b *webhookBody) webhook(actor models.Principal, rules WebhookRules) (models.Webhook, error) {
	owner, err := ownerOf(actor, b.MerchantID)
	if err != nil {
		return models.Webhook{}, err
	}
	w := models.Webhook{MerchantID: owner, URL: b.URL, Events: b.Events, Secret: models.NewWebhookSecret()}
	f := models.NewFaults()
	w.Check(f, rules.Private)
	if u, err := url.Parse(b.URL); err == nil && !rules.Private && !rules.Public(u.Hostname()) {
		f.Add("url", models.CodeInvalid, "must not point into the private network")
	}
	return w, f.Err()
}

// webhookView is a webhook in an answer. Secret is shown when it is made and
// never again.
type webhookView struct {
	ID         models.ID           `json:"id"`
	MerchantID string              `json:"merchant_id,omitempty"`
	URL        string              `json:"url"`
	Events     []models.EventType  `json:"events"`
	Secret     string              `json:"secret,omitempty"`
	State      models.WebhookState `json:"state"`
	CreatedAt  stamp               `json:"created_at"`
	DisabledAt *stamp              `json:"disabled_at,omitempty"`
}

func viewWebhook(w models.Webhook) any {
	return webhookView{
		ID: w.ID, MerchantID: w.MerchantID, URL: w.URL, Events: w.Events, State: w.State,
		CreatedAt: stamp(w.CreatedAt), DisabledAt: stampOf(w.DisabledAt),
	}
}

// viewNewWebhook shows the secret as well.
func viewNewWebhook(w models.Webhook) any {
	return webhookView{
		ID: w.ID, MerchantID: w.MerchantID, URL: w.URL, Events: w.Events, Secret: w.Secret.Reveal(), State: w.State,
		CreatedAt: stamp(w.CreatedAt),
	}
}

func (a *api) createWebhook(c *gin.Context) error {
	var body webhookBody
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	hook, err := body.webhook(middleware.Principal(c), a.WebhookRules)
	if err != nil {
		return err
	}
	return changeSecretly(a, c, raw, http.StatusCreated, viewNewWebhook,
		func(ctx context.Context, op models.Op) (models.Webhook, error) {
			return a.Webhooks.Create(ctx, op, hook)
		})
}

func (a *api) listWebhooks(c *gin.Context) error {
	return listOwn(c, a.Store.Webhooks, func(w models.Webhook) models.ID { return w.ID }, viewWebhook)
}

func (a *api) deleteWebhook(c *gin.Context) error {
	id, err := pathID(c, "webhook")
	if err != nil {
		return err
	}
	if err := a.Store.DeleteWebhook(c.Request.Context(), a.operation(c), id); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
