package handlers

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

type keyStore interface {
	CreateAPIKey(ctx context.Context, op models.Op, key models.APIKey, hash [32]byte) (models.APIKey, error)
	APIKeys(ctx context.Context, actor models.Principal, page models.Page) ([]models.APIKey, error)
	// DeleteAPIKey returns the hash of the key that is no more.
	DeleteAPIKey(ctx context.Context, op models.Op, id models.ID) ([32]byte, error)
}

type apiKeyBody struct {
	Role       models.Role `json:"role"`
	MerchantID string      `json:"merchant_id"`
	Name       string      `json:"name"`
}

// apiKeyView is an API key in an answer. Key is its secret, shown when it is
// made and never again.
type apiKeyView struct {
	ID         models.ID   `json:"id"`
	Key        string      `json:"key,omitempty"`
	Role       models.Role `json:"role"`
	MerchantID string      `json:"merchant_id,omitempty"`
	Name       string      `json:"name,omitempty"`
	CreatedAt  stamp       `json:"created_at"`
}

func viewAPIKey(k models.APIKey) any {
	return apiKeyView{ID: k.ID, Role: k.Role, MerchantID: k.MerchantID, Name: k.Name, CreatedAt: stamp(k.CreatedAt)}
}

// viewNewAPIKey shows the secret as well.
func viewNewAPIKey(secret string) func(models.APIKey) any {
	return func(k models.APIKey) any {
		return apiKeyView{
			ID: k.ID, Key: secret, Role: k.Role, MerchantID: k.MerchantID, Name: k.Name, CreatedAt: stamp(k.CreatedAt),
		}
	}
}

// grant makes the API key of a body, if the caller may give that much away: a
// merchant no more than what it has itself.
func (b *apiKeyBody) grant(actor models.Principal) (models.APIKey, error) {
	if b.Role != models.RoleMerchant && b.Role != "" && actor.Role != models.RolePlatform {
		return models.APIKey{}, models.Refuse(models.CodeForbidden, "a merchant makes keys of role merchant only")
	}
	merchantID, err := ownerOf(actor, b.MerchantID)
	if err != nil {
		return models.APIKey{}, err
	}
	key := models.APIKey{Role: b.Role, MerchantID: merchantID, Name: b.Name}
	return key, key.Check()
}

func (a *api) createAPIKey(c *gin.Context) error {
	var body apiKeyBody
	raw, err := bind(c, &body)
	if err != nil {
		return err
	}
	key, err := body.grant(middleware.Principal(c))
	if err != nil {
		return err
	}
	secret, hash := middleware.NewKey()
	return changeSecretly(a, c, raw, http.StatusCreated, viewNewAPIKey(secret),
		func(ctx context.Context, op models.Op) (models.APIKey, error) {
			return a.Store.CreateAPIKey(ctx, op, key, hash)
		})
}

func (a *api) listAPIKeys(c *gin.Context) error {
	return listOwn(c, a.Store.APIKeys, func(k models.APIKey) models.ID { return k.ID }, viewAPIKey)
}

func (a *api) deleteAPIKey(c *gin.Context) error {
	id, err := pathID(c, "API key")
	if err != nil {
		return err
	}
	hash, err := a.Store.DeleteAPIKey(c.Request.Context(), a.operation(c), id)
	if err != nil {
		return err
	}
	a.ForgetKey(hash)
	c.Status(http.StatusNoContent)
	return nil
}
