package handlers

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkClaim is all that the HTTP side costs a claim: the router, the
// credential, bind, op, render, beside the fake's own work. The request and the
// recorder are made outside the timer's concern but inside the loop, as the
// server makes its own.
func BenchmarkClaim(b *testing.B) {
	for name, key := range map[string]string{"plain": "", "with a key": "k-1"} {
		b.Run(name, func(b *testing.B) {
			f := newFake()
			h := serve(b, f, user())
			b.ReportAllocs()
			for b.Loop() {
				clear(f.kept)
				req := httptest.NewRequest(http.MethodPost, "/v1/claims", strings.NewReader(`{"template_id":"21"}`))
				req.Header.Set("Authorization", "Bearer sk_test")
				req.Header.Set("Content-Type", "application/json")
				if key != "" {
					req.Header.Set("Idempotency-Key", key)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, req)
				if w.Code != http.StatusCreated {
					b.Fatalf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
}
