// Package handlers is the HTTP side of Scrip: which path does what for whom,
// what a request may say, and what an answer looks like. A handler binds,
// calls, and renders; it decides nothing.
package handlers

import (
	"fmt"
	"net/http"
	"time"

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
	budgetStore
	jobStore
	userStore
	webhookStore
	packStore
	distributionStore
	codeStore
	messageStore
	answerStore
}

// checkouts is the whole of the checkout service.
type checkouts interface {
	qualifyService
	quoteService
	lockService
	refundService
}

// Deps is what the handlers stand on. All of it is needed, and none of it
// changes once Routes has been called; everything must be safe for concurrent
// use.
type Deps struct {
	Store    stores
	Claims   claimService
	Codes    codeService
	Checkout checkouts
	Audience audienceService
	Webhooks webhookService
	Sealer   sealer

	// CompileExpression says why a rule's expression does not compile, in words
	// that its author may read.
	CompileExpression func(string) error

	// ForgetKey ends a deleted API key in this process. It is called after the
	// deletion is committed and before that is answered.
	ForgetKey func(hash [32]byte)

	// Channels are those by which users can be told something on this server.
	Channels []models.Channel

	// WebhookRules say where webhooks may point.
	WebhookRules WebhookRules

	Now    models.Clock
	Probes map[string]Probe // by the name of the store, for /readyz

	Metrics http.Handler
	OpenAPI []byte       // the text of openapi.yaml
	Docs    http.Handler // /docs and all below it

	// TrustedProxies are the addresses or networks whose X-Forwarded-For is
	// believed; none: the client's address is the connection's.
	TrustedProxies []string

	// Around runs around every request, from the outside in, and after it, for
	// those below /v1, Auth, which says who calls. Bounds comes next: how much
	// one caller may send, and how often. It must limit the body, for the
	// handlers read all of it; where they read none it is left out, so that a
	// coordinator that has to end a transaction is never turned away.
	Around []gin.HandlerFunc
	Auth   gin.HandlerFunc
	Bounds []gin.HandlerFunc

	// UploadBounds are those of uploads, whose bodies may be larger and are not
	// kept in memory; UploadTimeout is what one of them may take in all.
	UploadBounds  []gin.HandlerFunc
	UploadTimeout time.Duration
}

type api struct {
	Deps
	flights *flights
}

// Routes builds the whole map of URLs, which the functions below it draw: path,
// role and handler of each route on one line. An error says that a trusted proxy is
// no address.
func Routes(deps Deps) (*gin.Engine, error) {
	a := &api{Deps: deps, flights: newFlights()}
	r := gin.New()
	r.RedirectTrailingSlash = false
	r.HandleMethodNotAllowed = true
	// A caller's own id in a path may have a slash in it, as %2F. Each handler
	// unescapes what it takes: the router would take a plus for a space.
	r.UseEscapedPath, r.UnescapePathValues = true, false
	if err := r.SetTrustedProxies(deps.TrustedProxies); err != nil {
		return nil, fmt.Errorf("trusted proxies: %w", err)
	}
	r.Use(deps.Around...)

	r.NoRoute(do(noRoute))
	r.NoMethod(do(noMethod))
	a.pages(r)
	v1 := r.Group("/v1", append([]gin.HandlerFunc{deps.Auth}, deps.Bounds...)...)
	a.merchantSide(v1)
	a.uploads(r.Group("/v1", append([]gin.HandlerFunc{deps.Auth}, deps.UploadBounds...)...))
	a.userSide(v1)
	a.checkoutSide(v1)
	a.coordinatorSide(r)
	return r, nil
}

func do(fn func(*gin.Context) error) gin.HandlerFunc { return middleware.Handle(fn) }

// pages are for whoever comes by.
func (a *api) pages(r *gin.Engine) {
	r.GET("/", toDocs)
	r.GET("/healthz", do(alive))
	r.GET("/readyz", do(a.ready))
	r.GET("/metrics", gin.WrapH(a.Metrics))
	r.GET("/openapi.yaml", a.openAPI)
	r.GET("/docs", gin.WrapH(a.Docs))
	r.GET("/docs/*file", gin.WrapH(a.Docs))
}

// merchantSide is for those who own things.
func (a *api) merchantSide(v1 *gin.RouterGroup) {
	owner := middleware.Allow(models.RolePlatform, models.RoleMerchant)

	v1.POST("/rules", owner, do(a.createRule))
	v1.GET("/rules", owner, do(a.listRules))
	v1.GET("/rules/:id", owner, do(a.getRule))
	v1.POST("/rules/:id/versions", owner, do(a.addRuleVersion))

	v1.POST("/templates", owner, do(a.createTemplate))
	v1.GET("/templates", owner, do(a.listTemplates))
	v1.GET("/templates/:id", owner, do(a.getTemplate))
	v1.PATCH("/templates/:id", owner, do(a.patchTemplate))
	v1.POST("/templates/:id/publish", owner, do(a.moveTemplate(models.ActionPublish)))
	v1.POST("/templates/:id/pause", owner, do(a.moveTemplate(models.ActionPause)))
	v1.POST("/templates/:id/resume", owner, do(a.moveTemplate(models.ActionResume)))
	v1.POST("/templates/:id/end", owner, do(a.moveTemplate(models.ActionEnd)))
	v1.POST("/templates/:id/stock", owner, do(a.addStock))
	v1.GET("/templates/:id/stats", owner, do(a.templateStats))
	v1.GET("/templates/:id/coupons", owner, do(a.templateCoupons))
	v1.POST("/templates/:id/codes", owner, do(a.createCodes))
	v1.GET("/templates/:id/codes", owner, do(a.listCodes))
	v1.GET("/templates/:id/codes.csv", owner, do(a.exportCodes))
	v1.POST("/coupons/:id/revoke", owner, do(a.revokeCoupon))

	v1.POST("/budgets", owner, do(a.createBudget))
	v1.GET("/budgets", owner, do(a.listBudgets))
	v1.GET("/budgets/:id", owner, do(a.getBudget))
	v1.PATCH("/budgets/:id", owner, do(a.patchBudget))
	v1.GET("/budgets/:id/usages", owner, do(a.budgetUsages))

	v1.POST("/packs", owner, do(a.createPack))
	v1.GET("/packs", owner, do(a.listPacks))
	v1.GET("/packs/:id", owner, do(a.getPack))

	v1.POST("/distributions", owner, do(a.createDistribution))
	v1.GET("/distributions", owner, do(a.listDistributions))
	v1.GET("/distributions/:id", owner, do(a.getDistribution))
	v1.POST("/distributions/:id/pause", owner, do(a.moveDistribution(models.JobPause)))
	v1.POST("/distributions/:id/resume", owner, do(a.moveDistribution(models.JobResume)))
	v1.POST("/distributions/:id/cancel", owner, do(a.moveDistribution(models.JobCancel)))
	v1.GET("/distributions/:id/failures.csv", owner, do(a.distributionFailures))

	v1.PUT("/users/:user_id", owner, do(a.putUser))
	v1.GET("/users/:user_id", owner, do(a.getUser))

	v1.GET("/jobs/:id", owner, do(a.getJob))

	v1.GET("/audit", owner, do(a.listAudit))
	v1.POST("/api_keys", owner, do(a.createAPIKey))
	v1.GET("/api_keys", owner, do(a.listAPIKeys))
	v1.DELETE("/api_keys/:id", owner, do(a.deleteAPIKey))
	v1.POST("/webhooks", owner, do(a.createWebhook))
	v1.GET("/webhooks", owner, do(a.listWebhooks))
	v1.DELETE("/webhooks/:id", owner, do(a.deleteWebhook))
}

// uploads are of files.
func (a *api) uploads(v1 *gin.RouterGroup) {
	owner := middleware.Allow(models.RolePlatform, models.RoleMerchant)

	v1.POST("/users/import", owner, do(a.importUsers))
	v1.POST("/distributions/import", owner, do(a.importDistribution))
}

// userSide is for users, and for whoever acts on their behalf.
func (a *api) userSide(v1 *gin.RouterGroup) {
	anyone := middleware.Allow(models.RolePlatform, models.RoleMerchant, models.RoleService, models.RoleUser)

	v1.GET("/templates/claimable", anyone, do(a.listClaimable))
	v1.POST("/claims", anyone, do(a.claim))
	v1.GET("/coupons", anyone, do(a.listCoupons))
	v1.GET("/coupons/:id", anyone, do(a.getCoupon))

	reader := middleware.Allow(models.RolePlatform, models.RoleService, models.RoleUser)
	v1.GET("/messages", reader, do(a.listMessages))
	v1.POST("/messages/:id/read", reader, do(a.readMessage))
}

// checkoutSide is for the services that take orders.
func (a *api) checkoutSide(v1 *gin.RouterGroup) {
	shopper := middleware.Allow(models.RolePlatform, models.RoleService, models.RoleUser)
	checkout := middleware.Allow(models.RolePlatform, models.RoleService)

	v1.POST("/checkout/qualify", shopper, do(a.qualify))
	v1.POST("/checkout/quote", shopper, do(a.quote))

	v1.POST("/locks", checkout, do(a.lock))
	v1.GET("/locks/:xid", checkout, do(a.getLock))
	v1.POST("/locks/:xid/confirm", checkout, do(a.endLock(a.Checkout.Confirm)))
	v1.POST("/locks/:xid/cancel", checkout, do(a.endLock(a.Checkout.Cancel)))
	v1.POST("/locks/:xid/refund", checkout, do(a.refund(false)))
	v1.POST("/locks/:xid/refund/quote", checkout, do(a.refund(true)))
	v1.POST("/locks/batch/confirm", checkout, do(a.endLocks(a.Checkout.ConfirmAll)))
	v1.POST("/locks/batch/cancel", checkout, do(a.endLocks(a.Checkout.CancelAll)))
}

// coordinatorSide is for a coordinator of transactions: errors are told in its
// own way, and what it has to end is ended without Bounds.
func (a *api) coordinatorSide(r *gin.Engine) {
	checkout := middleware.Allow(models.RolePlatform, models.RoleService)

	try := r.Group("/v1/dtm/locks", append([]gin.HandlerFunc{middleware.Retell(retellTry), a.Auth}, a.Bounds...)...)
	try.POST("/try", checkout, do(a.dtmTry))

	end := r.Group("/v1/dtm/locks", middleware.Retell(retellEnd), a.Auth)
	end.POST("/confirm", checkout, do(a.dtmEnd("confirm", a.Checkout.Confirm)))
	end.POST("/cancel", checkout, do(a.dtmEnd("cancel", a.Checkout.Cancel)))
}

func (a *api) openAPI(c *gin.Context) { c.Data(http.StatusOK, "application/yaml", a.OpenAPI) }
