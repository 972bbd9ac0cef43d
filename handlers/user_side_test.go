package handlers

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/handlers/middleware"
	"scrip/models"
)

func TestClaimForWhom(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		actor  models.Principal
		body   string
		status int
		user   string
		tags   []string
		fields []string
	}{
		"a user":                 {user(), `{"template_id":"21"}`, 201, "u1", []string{"vip"}, nil},
		"a user names itself":    {user(), `{"template_id":"21","user_id":"u1"}`, 201, "u1", []string{"vip"}, nil},
		"a user names another":   {user(), `{"template_id":"21","user_id":"u2"}`, 403, "", nil, nil},
		"a user brings tags":     {user(), `{"template_id":"21","user_tags":["vip"]}`, 403, "", nil, nil},
		"a service":              {service(), `{"template_id":"21","user_id":"u2","user_tags":["a","b"]}`, 201, "u2", []string{"a", "b"}, nil},
		"a merchant":             {merchant(), `{"template_id":"21","user_id":"u2"}`, 201, "u2", nil, nil},
		"a service names nobody": {service(), `{"template_id":"21"}`, 422, "", nil, []string{"user_id"}},
		"nothing":                {service(), `{}`, 422, "", nil, []string{"template_id", "user_id"}},
		"a bad tag":              {service(), `{"template_id":"21","user_id":"u2","user_tags":["a",""]}`, 422, "", nil, []string{"user_tags[1]"}},
		"a number for the id":    {user(), `{"template_id":21}`, 422, "", nil, []string{"template_id"}},
		"a code":                 {user(), `{"code":"ABC"}`, 201, "u1", []string{"vip"}, nil},
		"a code for another":     {service(), `{"code":"ABC","user_id":"u2"}`, 201, "u2", nil, nil},
		"a code and a template":  {user(), `{"code":"ABC","template_id":"21"}`, 422, "", nil, []string{"code"}},
		"an empty code":          {user(), `{"code":""}`, 422, "", nil, []string{"code"}},
		"a long code":            {user(), `{"code":"` + strings.Repeat("x", 201) + `"}`, 422, "", nil, []string{"code"}},
		"a pack as well":         {user(), `{"pack_id":"1","template_id":"21"}`, 422, "", nil, []string{"pack_id"}},
		"a pack and a code":      {user(), `{"pack_id":"1","code":"ABC"}`, 422, "", nil, []string{"code"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			w := call(serve(t, f, tc.actor), request{method: "POST", path: "/v1/claims", body: tc.body})
			if w.Code != tc.status {
				t.Fatalf("got %d %s, want %d", w.Code, w.Body, tc.status)
			}
			if tc.status != http.StatusCreated {
				if p := problemOf(t, w); !cmp.Equal(p.fields(), tc.fields) || f.changes > 0 {
					t.Errorf("got %v after %d changes, want %v", p, f.changes, tc.fields)
				}
				return
			}
			if got := stringIn(t, w.Body.Bytes(), "user_id"); got != tc.user || !cmp.Equal(f.arg("tags"), any(tc.tags)) {
				t.Errorf("claimed for %s with %v", got, f.arg("tags"))
			}
		})
	}
}

func TestRefusedClaimSaysWhatTheUserHas(t *testing.T) {
	t.Parallel()
	f := newFake()
	refusal := models.Refuse(models.CodeLimitReached, "all that one may have")
	refusal.CouponIDs = []models.ID{31, 32}
	f.refusal = refusal
	w := call(serve(t, f, user()), request{method: "POST", path: "/v1/claims", body: `{"template_id":"21"}`})
	if p := problemOf(t, w); p.Code != models.CodeLimitReached || stringIn(t, w.Body.Bytes(), "coupon_ids") != `["31","32"]` {
		t.Errorf("got %s", w.Body)
	}
}

func TestWallet(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		actor  models.Principal
		query  string
		status int
		user   string
	}{
		"a user's own":         {user(), "", 200, "u1"},
		"a user names itself":  {user(), "?user_id=u1", 200, "u1"},
		"a user names another": {user(), "?user_id=u2", 403, ""},
		"a service":            {service(), "?user_id=u2", 200, "u2"},
		"a service, nobody":    {service(), "", 422, ""},
		"a merchant":           {merchant(), "?user_id=u2", 200, "u2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			w := call(serve(t, f, tc.actor), request{method: "GET", path: "/v1/coupons" + tc.query})
			if w.Code != tc.status {
				t.Fatalf("got %d %s, want %d", w.Code, w.Body, tc.status)
			}
			if filter, _ := f.arg("filter").(models.CouponFilter); filter.UserID != tc.user {
				t.Errorf("asked for %v", filter)
			}
		})
	}
}

func TestInbox(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		actor        models.Principal
		method, path string
		body         string
		status       int
		user         string
	}{
		"a user's own":              {user(), "GET", "/v1/messages?locale=de", "", 200, "u1"},
		"a user names another":      {user(), "GET", "/v1/messages?user_id=u2", "", 403, ""},
		"a service":                 {service(), "GET", "/v1/messages?user_id=u2", "", 200, "u2"},
		"a service, nobody":         {service(), "GET", "/v1/messages", "", 422, ""},
		"no language":               {user(), "GET", "/v1/messages?locale=de_DE", "", 422, ""},
		"a user reads":              {user(), "POST", "/v1/messages/101/read", "", 200, "u1"},
		"a user reads another's":    {user(), "POST", "/v1/messages/101/read", `{"user_id":"u2"}`, 403, ""},
		"a service reads, body":     {service(), "POST", "/v1/messages/101/read", `{"user_id":"u2"}`, 200, "u2"},
		"a service reads, query":    {service(), "POST", "/v1/messages/101/read?user_id=u2", `{}`, 200, "u2"},
		"a service reads, nobody's": {service(), "POST", "/v1/messages/101/read", "", 422, ""},
		"no message":                {user(), "POST", "/v1/messages/x/read", "", 404, ""},
	} {
		f := newFake()
		w := call(serve(t, f, tc.actor), request{method: tc.method, path: tc.path, body: tc.body})
		if asked, _ := f.arg("user").(string); w.Code != tc.status || asked != tc.user {
			t.Errorf("%s: got %d %s for %q", name, w.Code, w.Body, asked)
		}
		if tc.method == http.MethodGet && tc.status == 200 && stringIn(t, w.Body.Bytes(), "unread_count") != "3" {
			t.Errorf("%s: got %s", name, w.Body)
		}
	}
}

func TestWebhookBody(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		actor  models.Principal
		body   string
		status int
		owner  string
		fields []string
	}{
		"a merchant":          {merchant(), `{"url":"https://shop.example/x","events":["coupon.used"]}`, 201, "m1", nil},
		"a merchant, another": {merchant(), `{"merchant_id":"m2","url":"https://shop.example/x","events":["coupon.used"]}`, 403, "", nil},
		"the platform":        {platform(), `{"url":"https://shop.example/x","events":["coupon.used"]}`, 201, "", nil},
		"for a merchant":      {platform(), `{"merchant_id":"m2","url":"https://shop.example/x","events":["coupon.used"]}`, 201, "m2", nil},
		"nothing":             {merchant(), `{}`, 422, "", []string{"url", "events"}},
		"the private network": {merchant(), `{"url":"https://10.0.0.1/","events":["coupon.used"]}`, 422, "", []string{"url"}},
		"no TLS":              {merchant(), `{"url":"http://shop.example/","events":["coupon.used"]}`, 422, "", []string{"url"}},
		"events":              {merchant(), `{"url":"https://shop.example/","events":["coupon.used","x","coupon.used"]}`, 422, "", []string{"events[1]", "events"}},
	} {
		f := newFake()
		w := call(serve(t, f, tc.actor), request{method: "POST", path: "/v1/webhooks", body: tc.body})
		if w.Code != tc.status {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
			continue
		}
		if tc.status != http.StatusCreated {
			if p := problemOf(t, w); !cmp.Equal(p.fields(), tc.fields) {
				t.Errorf("%s: got %v", name, p)
			}
			continue
		}
		made, _ := f.arg("webhook").(models.Webhook)
		if made.MerchantID != tc.owner || stringIn(t, w.Body.Bytes(), "secret") != made.Secret.Reveal() || len(made.Secret) != 32 {
			t.Errorf("%s: got %s for %v", name, w.Body, made)
		}
	}
	list := call(serve(t, newFake(), merchant()), request{method: "GET", path: "/v1/webhooks"})
	if _, shown := listOf(t, list.Body.Bytes()).Data[0]["secret"]; shown {
		t.Errorf("got %s", list.Body)
	}
}

func TestClaimableTags(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		actor  models.Principal
		query  string
		status int
		tags   []string
	}{
		"a user's own":       {user(), "", 200, []string{"vip"}},
		"a user brings tags": {user(), "?user_tags=gold", 403, nil},
		"a service":          {service(), "?user_id=u2&user_tags=a,b&user_tags=c", 200, []string{"a", "b", "c"}},
		"a service, none":    {service(), "?user_id=u2&user_tags=", 200, nil},
	} {
		f := newFake()
		w := call(serve(t, f, tc.actor), request{method: "GET", path: "/v1/templates/claimable" + tc.query})
		if got, _ := f.arg("tags").([]string); w.Code != tc.status || !cmp.Equal(got, tc.tags) {
			t.Errorf("%s: got %d %s with tags %v", name, w.Code, w.Body, got)
		}
	}
}

func TestCouponPastItsEndIsExpired(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.coupon.ExpiresAt = time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC) // the very moment of the tests
	h := serve(t, f, user())
	for _, path := range []string{"/v1/coupons/31", "/v1/coupons", "/v1/templates/21/coupons"} {
		actor := h
		if path == "/v1/templates/21/coupons" {
			actor = serve(t, f, platform())
		}
		body := call(actor, request{method: "GET", path: path}).Body.Bytes()
		status := stringIn(t, body, "status")
		if path != "/v1/coupons/31" {
			status, _ = listOf(t, body).Data[0]["status"].(string)
		}
		if status != "expired" {
			t.Errorf("%s: got %s", path, body)
		}
	}
}

func TestAPIKeyGrants(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		actor  models.Principal
		body   string
		status int
		want   models.APIKey
		fields []string
	}{
		"platform for itself":       {platform(), `{"role":"platform","name":"ops"}`, 201, models.APIKey{Role: models.RolePlatform, Name: "ops"}, nil},
		"platform for a service":    {platform(), `{"role":"service"}`, 201, models.APIKey{Role: models.RoleService}, nil},
		"platform for a merchant":   {platform(), `{"role":"merchant","merchant_id":"m9"}`, 201, models.APIKey{Role: models.RoleMerchant, MerchantID: "m9"}, nil},
		"merchant for itself":       {merchant(), `{"role":"merchant"}`, 201, models.APIKey{Role: models.RoleMerchant, MerchantID: "m1"}, nil},
		"merchant for another":      {merchant(), `{"role":"merchant","merchant_id":"m9"}`, 403, models.APIKey{}, nil},
		"merchant for the platform": {merchant(), `{"role":"platform"}`, 403, models.APIKey{}, nil},
		"merchant for a service":    {merchant(), `{"role":"service"}`, 403, models.APIKey{}, nil},
		"no role":                   {platform(), `{}`, 422, models.APIKey{}, []string{"role"}},
		"no role of a merchant":     {merchant(), `{}`, 422, models.APIKey{}, []string{"role"}},
		"a user":                    {platform(), `{"role":"user"}`, 422, models.APIKey{}, []string{"role"}},
		"an unknown role":           {platform(), `{"role":"root","name":"a\u0000"}`, 422, models.APIKey{}, []string{"role", "name"}},
		"which merchant":            {platform(), `{"role":"merchant"}`, 422, models.APIKey{}, []string{"merchant_id"}},
		"a service of a merchant":   {platform(), `{"role":"service","merchant_id":"m1"}`, 422, models.APIKey{}, []string{"merchant_id"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			w := call(serve(t, f, tc.actor), request{method: "POST", path: "/v1/api_keys", body: tc.body})
			if w.Code != tc.status {
				t.Fatalf("got %d %s, want %d", w.Code, w.Body, tc.status)
			}
			if tc.status != http.StatusCreated {
				if p := problemOf(t, w); !cmp.Equal(p.fields(), tc.fields) {
					t.Errorf("got %v, want %v", p, tc.fields)
				}
				return
			}
			got, _ := f.arg("key").(models.APIKey)
			tc.want.ID, tc.want.CreatedAt = got.ID, got.CreatedAt
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if secret := stringIn(t, w.Body.Bytes(), "key"); middleware.HashKey(secret) != f.arg("hash") {
				t.Errorf("the key shown, %s, is not the one stored", secret)
			}
		})
	}
}

func TestAPIKeySecretIsShownOnce(t *testing.T) {
	t.Parallel()
	w := call(serve(t, newFake(), platform()), request{method: "GET", path: "/v1/api_keys"})
	if _, shown := listOf(t, w.Body.Bytes()).Data[0]["key"]; shown {
		t.Errorf("got %s", w.Body)
	}
}

func TestDeletedKeyIsForgotten(t *testing.T) {
	t.Parallel()
	f := newFake()
	w := call(serve(t, f, platform()), request{method: "DELETE", path: "/v1/api_keys/41"})
	if w.Code != 204 || w.Body.Len() > 0 || f.arg("forgotten") != [sha256.Size]byte{7} {
		t.Errorf("got %d %s, forgotten %v", w.Code, w.Body, f.arg("forgotten"))
	}
	f = newFake()
	f.refusal = models.NotFound("API key")
	w = call(serve(t, f, platform()), request{method: "DELETE", path: "/v1/api_keys/41"})
	if w.Code != 404 || f.arg("forgotten") != nil {
		t.Errorf("got %d %s, forgotten %v", w.Code, w.Body, f.arg("forgotten"))
	}
}
