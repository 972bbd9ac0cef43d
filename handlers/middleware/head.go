package middleware

import "net/http"

// Head answers HEAD as GET, wherever GET is answered (RFC 9110, 9.3.2): probes
// and caches ask that way. net/http goes by the request that it read itself, and
// leaves out the body.
func Head(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			get := *r
			get.Method = http.MethodGet
			r = &get
		}
		next.ServeHTTP(w, r)
	})
}
