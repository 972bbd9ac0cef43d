package handlers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/issuing"
	"scrip/models"
)

func newUser(at time.Time) models.User {
	return models.User{
		MerchantID: "m1", UserID: "u1", Tags: []string{"new", "vip"}, Locale: "en-GB", Email: "ann@example.com",
		Phone: "+4930123456", LastActiveAt: &at, CreatedAt: at, UpdatedAt: at,
	}
}

func (f *fake) User(_ context.Context, merchantID, userID string) (models.User, error) {
	f.note("user", merchantID+"/"+userID)
	return f.user, f.refusal
}

func (f *fake) PutUser(_ context.Context, op models.Op, user models.User) (models.User, bool, error) {
	stored, err := commit(f, op, func() (models.User, error) {
		f.args["put"] = user
		return user, nil
	})
	return stored, f.user.UserID != user.UserID || f.changes == 1, err
}

func (f *fake) ImportUsers(
	_ context.Context, op models.Op, merchantID string, format issuing.Format, upload io.Reader,
) (models.LineReport, error) {
	text, err := io.ReadAll(upload)
	if err != nil {
		return models.LineReport{}, err
	}
	f.note("op", op)
	f.note("import", merchantID+" "+string(format)+" "+string(text))
	f.mu.Lock()
	f.changes++
	f.mu.Unlock()
	return models.LineReport{Imported: 1}, f.refusal
}

func TestAUserIsPutForItsOwner(t *testing.T) {
	t.Parallel()
	f := newFake()
	body := `{"tags":["vip","new"],"locale":"en-GB","email":"ann@example.com","phone":"+4930123456","last_active_at":"2026-01-02T04:04:05.0678+01:00"}`
	h := serve(t, f, platform())
	for i, want := range []int{201, 200} {
		if w := call(h, request{method: "PUT", path: "/v1/users/u%2F1?merchant_id=m1", body: body}); w.Code != want {
			t.Errorf("%d: got %d %s", i, w.Code, w.Body)
		}
		f.user.UserID = "u/1"
	}
	want := newUser(models.Instant(f.rule.CreatedAt))
	want.UserID, want.CreatedAt, want.UpdatedAt = "u/1", time.Time{}, time.Time{}
	if diff := cmp.Diff(want, f.arg("put")); diff != "" {
		t.Error(diff)
	}
	if w := call(serve(t, f, merchant()), request{method: "GET", path: "/v1/users/u1?merchant_id=m2"}); w.Code != 403 {
		t.Errorf("another merchant's user: %d %s", w.Code, w.Body)
	}
	call(serve(t, f, merchant()), request{method: "GET", path: "/v1/users/u1"})
	if f.arg("user") != "m1/u1" {
		t.Errorf("asked for %v", f.arg("user"))
	}
}

func TestAUserIsCheckedFieldByField(t *testing.T) {
	t.Parallel()
	f := newFake()
	w := call(serve(t, f, platform()), request{
		method: "PUT", path: "/v1/users/u1",
		body: `{"tags":[" a"],"locale":"e","email":"ann","phone":"030","last_active_at":"0001-01-01T00:00:00Z"}`,
	})
	if diff := cmp.Diff([]string{"tags[0]", "locale", "email", "phone", "last_active_at"}, problemOf(t, w).fields()); diff != "" || w.Code != 422 {
		t.Errorf("%d: %s", w.Code, diff)
	}
}

func importing(mediaType, body string) request {
	return request{method: "POST", path: "/v1/users/import", body: body, header: map[string]string{"Content-Type": mediaType}}
}

func TestAnUploadIsTakenInWhole(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(t, f, merchant())
	long := "user_id\n" + strings.Repeat("u\n", 40_000) // beyond the limit of other bodies
	r := importing("text/csv; charset=utf-8", long)
	r.header["Idempotency-Key"] = "k"
	for range 2 {
		if w := call(h, r); w.Code != 200 || w.Body.String() != `{"imported":1,"failed":0,"errors":[]}` {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
	}
	if f.arg("import") != "m1 text/csv "+long || f.changes != 1 {
		t.Errorf("imported %.50q in %d changes", f.arg("import"), f.changes)
	}
	r.body = "user_id\nother\n"
	if w := call(h, r); problemOf(t, w).Code != models.CodeKeyReused {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestABadUploadChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(t, f, merchant())
	compressed := importing("text/csv", "x")
	compressed.header["Content-Encoding"] = "gzip"
	for name, c := range map[string]struct {
		r    request
		code models.Code
	}{
		"json":       {importing("application/json", "{}"), models.CodeMediaType},
		"no type":    {importing("", "user_id\n"), models.CodeMediaType},
		"compressed": {compressed, models.CodeMediaType},
		"too large":  {importing("application/x-ndjson", strings.Repeat("x", testMaxUpload+1)), models.CodeTooLarge},
		"foreign": {request{
			method: "POST", path: "/v1/users/import?merchant_id=m2", body: "user_id\n",
		}, models.CodeForbidden},
	} {
		if w := call(h, c.r); problemOf(t, w).Code != c.code {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
	}
	broken := httptest.NewRequest(http.MethodPost, "/v1/users/import", brokenOff{})
	broken.Header.Set("Content-Type", "text/csv")
	broken.Header.Set("Authorization", "Bearer sk_test")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, broken); problemOf(t, w).Code != models.CodeBadJSON {
		t.Errorf("broken off: got %d %s", w.Code, w.Body)
	}
	if f.changes > 0 {
		t.Errorf("%d changes", f.changes)
	}
}

// brokenOff is a body whose sender goes away.
type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, errors.New("connection reset") }
