package web

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

const script = "redoc-2.5.4.js"

func get(t *testing.T, path string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, path, nil)
	if header != nil {
		req.Header = header
	}
	rec := httptest.NewRecorder()
	Docs().ServeHTTP(rec, req)
	return rec
}

// The scripts of others are what their README says they are, and it names them
// all.
func TestVendoredScripts(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("vendor/README.md")
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\S+\.gz) .*\| ([0-9a-f]{64}) \|$`).FindAllStringSubmatch(string(readme), -1) {
		sums[row[1]] = row[2]
	}
	names, err := fs.Glob(files, "vendor/*.gz")
	if err != nil || len(names) == 0 || len(names) != len(sums) {
		t.Fatalf("scripts %q, error %v, sums %v", names, err, sums)
	}
	for _, name := range names {
		packed, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := gunzip(packed)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sum := sha256.Sum256(plain)
		if got, want := hex.EncodeToString(sum[:]), sums[strings.TrimPrefix(name, "vendor/")]; got != want {
			t.Errorf("%s has the sha256 %s, want %s", name, got, want)
		}
		licence := strings.TrimSuffix(name, ".js.gz") + ".LICENSE.txt"
		if _, err := files.ReadFile(licence); err != nil {
			t.Errorf("%s is without its licence: %v", name, err)
		}
	}
}

// The page and all that it names are there, and nothing is from elsewhere or
// stands in the page where the policy would not let it run.
func TestPage(t *testing.T) {
	t.Parallel()
	page := get(t, "/docs", nil)
	html := page.Body.String()
	if page.Code != http.StatusOK || page.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("status %d, headers %v", page.Code, page.Header())
	}
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(html, -1)
	parts := 0
	for _, link := range links {
		switch target := link[1]; {
		case target == "openapi.yaml", strings.HasPrefix(target, "data:"):
		case strings.HasPrefix(target, "docs/"):
			parts++
			if got := get(t, "/"+target, nil); got.Code != http.StatusOK {
				t.Errorf("%s: status %d", target, got.Code)
			}
		default:
			t.Errorf("the page links to %s", target)
		}
	}
	if parts != 3 {
		t.Errorf("the page has %d parts, want two scripts and a style sheet", parts)
	}
	if found := regexp.MustCompile(`(?i)<style|<script>|\son[a-z]+=|\sstyle=`).FindString(html); found != "" {
		t.Errorf("the page has %q in it", found)
	}
	if own := get(t, "/docs/docs.js", nil).Body.String(); !strings.Contains(own, "Redoc.init('openapi.yaml'") {
		t.Error("the script does not render openapi.yaml")
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/docs", "/docs/docs.js", "/docs/" + script, "/docs/none.js"} {
		header := get(t, path, nil).Header()
		csp := header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'; script-src 'self';") ||
			regexp.MustCompile(`unsafe|https?:|\*|blob:`).MatchString(csp) {
			t.Errorf("%s: policy %q", path, csp)
		}
		if header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: browsers may guess its type", path)
		}
	}
}

func TestCompression(t *testing.T) {
	t.Parallel()
	packed := get(t, "/docs/"+script, http.Header{"Accept-Encoding": {"br, gzip;q=0.8"}})
	plain := get(t, "/docs/"+script, nil)
	if packed.Header().Get("Content-Encoding") != "gzip" || plain.Header().Get("Content-Encoding") != "" {
		t.Errorf("encodings %q and %q", packed.Header().Get("Content-Encoding"), plain.Header().Get("Content-Encoding"))
	}
	unpacked, err := gunzip(packed.Body.Bytes())
	if err != nil || string(unpacked) != plain.Body.String() {
		t.Errorf("the two differ, error %v", err)
	}
	if packed.Header().Get("ETag") == plain.Header().Get("ETag") || plain.Header().Get("Vary") != "Accept-Encoding" {
		t.Error("a cache would take one for the other")
	}
	for offer, want := range map[string]bool{
		"gzip": true, "GZIP": true, "deflate, gzip": true, "gzip; q=0.5": true, "gzip;q=1": true,
		"gzip;q=0": false, "gzip; q=0.0": false, "br": false, "": false, "gzipped": false,
	} {
		req := httptest.NewRequest(http.MethodGet, "/docs", nil)
		req.Header.Set("Accept-Encoding", offer)
		if got := acceptsGzip(req); got != want {
			t.Errorf("Accept-Encoding %q: %v, want %v", offer, got, want)
		}
	}
}

func TestRevalidation(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/docs", "/docs/docs.css", "/docs/" + script} {
		first := get(t, path, nil)
		again := get(t, path, http.Header{"If-None-Match": {first.Header().Get("ETag")}})
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s: status %d, %d bytes", path, again.Code, again.Body.Len())
		}
	}
}

func TestOtherPaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{
		"/docs/":                  http.StatusMovedPermanently,
		"/docs/index.html":        http.StatusMovedPermanently,
		"/docs/none.js":           http.StatusNotFound,
		"/docs/README.md":         http.StatusNotFound,
		"/docs/../web.go":         http.StatusNotFound,
		"/docs/vendor/x":          http.StatusNotFound,
		"/docs/docs.js":           http.StatusOK,
		"/docs/" + script:         http.StatusOK,
		"/docs/" + script + ".gz": http.StatusNotFound,
	} {
		if got := get(t, path, nil); got.Code != want {
			t.Errorf("%s: status %d, want %d", path, got.Code, want)
		}
	}
}
