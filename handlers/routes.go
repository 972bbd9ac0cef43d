// Package handlers is the HTTP side of Scrip: which path does what for whom,
// what a request may say, and what an answer looks like. A handler binds,
// calls, and renders; it decides nothing.
package handlers

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/models"
)

// stores is what the handlers read and change without a service between.
type stores interface {
	ruleStore
	templateStore
	couponStore
	keyStore
	auditStore
}

// Deps is what the handlers stand on. All of it is needed, and none of it
// changes once Routes has been called; everything must be safe for concurrent
// use.
type Deps struct {
	Store  stores
	Claims claimService

	// CompileExpression says why a rule's expression does not compile, in words
	// that its author may read.
	CompileExpression func(string) error

	// ForgetKey ends a deleted API key in this process. It is called after the
	// deletion is committed and before that is answered.
	ForgetKey func(hash [32]byte)

	Now    models.Clock
	Probes map[string]Probe // by the name of the store, for /readyz

	Metrics http.Handler
	OpenAPI []byte       // the text of openapi.yaml
	Docs    http.Handler // /docs and all below it

	// TrustedProxies are the addresses or networks whose X-Forwarded-For is
	// believed; none: the client's address is the connection's.
	TrustedProxies []string

	// Around runs around every request, from the outside in; Guard, after it,
	// around those below /v1: it says who calls. One of them must limit the
	// body: the handlers read all of it.
	Around []gin.HandlerFunc
	Guard  []gin.HandlerFunc
}

type api struct {
	Deps
	flights *flights
}

// Routes builds the whole map of URLs. An error says that a trusted proxy is
// no address.
func Routes(deps Deps) (*gin.Engine, error) {
	a := &api{Deps: deps, flights: newFlights()}
	r := gin.New()
	r.RedirectTrailingSlash = false
	r.HandleMethodNotAllowed = true
	if err := r.SetTrustedProxies(deps.TrustedProxies); err != nil {
		return nil, fmt.Errorf("trusted proxies: %w", err)
	}
	r.Use(deps.Around...)

	do := middleware.Handle
	owner := middleware.Allow(models.RolePlatform, models.RoleMerchant)
	anyone := middleware.Allow(models.RolePlatform, models.RoleMerchant, models.RoleService, models.RoleUser)

	r.NoRoute(do(noRoute))
	r.NoMethod(do(noMethod))
	r.GET("/", toDocs)
	r.GET("/healthz", do(alive))
	r.GET("/readyz", do(a.ready))
	r.GET("/metrics", gin.WrapH(deps.Metrics))
	r.GET("/openapi.yaml", a.openAPI)
	r.GET("/docs", gin.WrapH(deps.Docs))
	r.GET("/docs/*file", gin.WrapH(deps.Docs))

	v1 := r.Group("/v1", deps.Guard...)

	v1.POST("/rules", owner, do(a.createRule))
	v1.GET("/rules", owner, do(a.listRules))
	v1.GET("/rules/:id", owner, do(a.getRule))
	v1.POST("/rules/:id/versions", owner, do(a.addRuleVersion))

	v1.POST("/templates", owner, do(a.createTemplate))
	v1.GET("/templates", owner, do(a.listTemplates))
	v1.GET("/templates/claimable", anyone, do(a.listClaimable))
	v1.GET("/templates/:id", owner, do(a.getTemplate))
	v1.PATCH("/templates/:id", owner, do(a.patchTemplate))
	v1.POST("/templates/:id/publish", owner, do(a.moveTemplate(models.ActionPublish)))
	v1.POST("/templates/:id/pause", owner, do(a.moveTemplate(models.ActionPause)))
	v1.POST("/templates/:id/resume", owner, do(a.moveTemplate(models.ActionResume)))
	v1.POST("/templates/:id/end", owner, do(a.moveTemplate(models.ActionEnd)))
	v1.POST("/templates/:id/stock", owner, do(a.addStock))
	v1.GET("/templates/:id/stats", owner, do(a.templateStats))
	v1.GET("/templates/:id/coupons", owner, do(a.templateCoupons))

	v1.POST("/claims", anyone, do(a.claim))
	v1.GET("/coupons", anyone, do(a.listCoupons))
	v1.GET("/coupons/:id", anyone, do(a.getCoupon))
	v1.POST("/coupons/:id/revoke", owner, do(a.revokeCoupon))

	v1.GET("/audit", owner, do(a.listAudit))
	v1.POST("/api_keys", owner, do(a.createAPIKey))
	v1.GET("/api_keys", owner, do(a.listAPIKeys))
	v1.DELETE("/api_keys/:id", owner, do(a.deleteAPIKey))

	return r, nil
}

func (a *api) openAPI(c *gin.Context) { c.Data(http.StatusOK, "application/yaml", a.OpenAPI) }
