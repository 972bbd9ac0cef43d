package middleware

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"
)

func TestHeadIsGetWithoutABody(t *testing.T) {
	t.Parallel()
	routes := gin.New()
	routes.HandleMethodNotAllowed = true
	routes.GET("/here", func(c *gin.Context) { c.String(http.StatusOK, "body") })
	routes.POST("/there", func(c *gin.Context) { c.Status(http.StatusCreated) })
	server := httptest.NewServer(Head(routes))
	t.Cleanup(server.Close)
	for path, want := range map[string]int{
		"/here": http.StatusOK, "/there": http.StatusMethodNotAllowed, "/nowhere": http.StatusNotFound,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodHead, server.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("HEAD %s: %d, want %d", path, answer.StatusCode, want)
		}
		if path == "/here" && answer.ContentLength != int64(len("body")) {
			t.Errorf("the length of what GET would send is %d here", answer.ContentLength)
		}
	}
	server.Client().CloseIdleConnections()
}
