// Package web holds the pages that the server shows to people, with all that
// they need: they load nothing from anywhere else.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed docs vendor/*.gz vendor/*.txt
var files embed.FS

// Docs serves the page of the API at /docs, and its parts below. The page reads
// the API's description from openapi.yaml beside it. Safe for concurrent use.
func Docs() http.Handler {
	parts, err := load()
	if err != nil {
		panic(err) // the embedded files are not those that the tests saw
	}
	return parts
}

// policy lets the page load from this server alone, and run no script that
// stands in a page. The hash is that of an empty style element: the script makes
// one and fills it rule by rule, which the policy has no word against; a style
// that stands in a page is refused.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docs are the page's parts by their names; the page itself is index.html.
type docs map[string]part

// part is one file. Big ones are stored compressed, and sent so to whoever
// takes it.
type part struct {
	body       []byte
	compressed bool
	mediaType  string
	etag       string
}

func load() (docs, error) {
	parts := docs{}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		plain, compressed := strings.CutSuffix(path.Base(name), ".gz")
		mediaType, err := mediaTypeOf(plain)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		parts[plain] = part{body, compressed, mediaType, hex.EncodeToString(sum[:8])}
		return nil
	})
	return parts, err
}

// mediaTypeOf does not ask the operating system, which may know it otherwise.
func mediaTypeOf(name string) (string, error) {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8", nil
	case ".js":
		return "text/javascript; charset=utf-8", nil
	case ".css":
		return "text/css; charset=utf-8", nil
	case ".txt":
		return "text/plain; charset=utf-8", nil
	}
	return "", fmt.Errorf("%s: a file of unknown type", name)
}

// ServeHTTP is http.Handler's.
func (d docs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	_, name, below := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case !below:
		name = "index.html"
	case name == "", name == "index.html": // the page's links are relative to /docs
		http.Redirect(w, r, "../docs", http.StatusMovedPermanently)
		return
	}
	p, ok := d[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	p.serve(w, r)
}

// serve has browsers ask each time whether the file has changed: a new release
// may bring new files under old names.
func (p part) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-cache")
	header.Set("Content-Type", p.mediaType)
	body, etag := p.body, p.etag
	if p.compressed {
		header.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			header.Set("Content-Encoding", "gzip")
		} else {
			plain, err := gunzip(body)
			if err != nil {
				http.Error(w, "the file is damaged", http.StatusInternalServerError)
				return
			}
			body, etag = plain, etag+"-plain"
		}
	}
	header.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func acceptsGzip(r *http.Request) bool {
	for _, offer := range strings.Split(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, weight, _ := strings.Cut(offer, ";")
		refused := strings.Trim(strings.TrimPrefix(strings.ReplaceAll(weight, " ", ""), "q="), "0.") == "" && weight != ""
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") && !refused {
			return true
		}
	}
	return false
}

func gunzip(body []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
