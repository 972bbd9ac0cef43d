package handlers

import (
	"testing"

	"github.com/gin-gonic/gin"

	"scrip/spectest"
)

// TestTheDocumentAndTheMapAgree holds openapi.yaml against the map of URLs, both
// ways: nothing is served that it does not describe, and the reverse.
func TestTheDocumentAndTheMapAgree(t *testing.T) {
	t.Parallel()
	engine, ok := serve(t, newFake(), platform()).(*gin.Engine)
	if !ok {
		t.Fatal("the router is not gin's")
	}
	var routes []string
	for _, route := range engine.Routes() {
		routes = append(routes, route.Method+" "+route.Path)
	}
	spectest.Load(t, "../openapi.yaml").CompareRoutes(t, routes)
}
