package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestFromRuleToCoupon(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		last := len(s.servers) - 1 // half of the questions go to the other server
		merchant := s.want(t, http.StatusCreated, "", post("/api_keys", platformKey,
			object{"role": "merchant", "merchant_id": "shop"})).field("key")
		id := s.sale(t, merchant, object{"stock": 2})
		ann := s.user(t, "ann")

		list := s.want(t, http.StatusOK, "", get("/templates/claimable", ann))
		if !strings.Contains(list.text, id) {
			t.Errorf("ann is not offered it: %s", list.text)
		}
		first := s.want(t, http.StatusCreated, "", post("/claims", ann, object{"template_id": id}).with("Idempotency-Key", "k1"))
		if first.field("issue_no") != "1" || first.field("user_id") != "ann" || first.field("status") != "available" {
			t.Errorf("got %s", first.text)
		}
		again := s.want(t, http.StatusCreated, "", post("/claims", ann, object{"template_id": id}).with("Idempotency-Key", "k1").on(last))
		if again.text != first.text || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("the retry was answered otherwise: %v %s", again.header, again.text)
		}
		s.want(t, http.StatusUnprocessableEntity, "idempotency_key_reused",
			post("/claims", ann, object{"template_id": "1"}).with("Idempotency-Key", "k1"))
		double := s.want(t, http.StatusConflict, "already_claimed", post("/claims", ann, object{"template_id": id}).on(last))
		if !strings.Contains(double.text, `"coupon_ids":["`+first.field("id")+`"]`) {
			t.Errorf("got %s", double.text)
		}
		wallet := s.want(t, http.StatusOK, "", get("/coupons?status=available", ann).on(last))
		if !strings.Contains(wallet.text, first.field("id")) {
			t.Errorf("got %s", wallet.text)
		}

		bob := s.want(t, http.StatusCreated, "", post("/claims", merchant, claim(id, "bob")).on(last)).field("id")
		s.want(t, http.StatusConflict, "sold_out", post("/claims", merchant, claim(id, "cid")))
		s.want(t, http.StatusOK, "", post("/templates/"+id+"/stock", merchant, object{"add": 1}))
		s.want(t, http.StatusCreated, "", post("/claims", merchant, claim(id, "cid")))
		s.want(t, http.StatusConflict, "stock_below_claimed", post("/templates/"+id+"/stock", merchant, object{"add": -1}))

		s.want(t, http.StatusOK, "", post("/coupons/"+bob+"/revoke", merchant, nil))
		stats := s.want(t, http.StatusOK, "", get("/templates/"+id+"/stats", merchant).on(last))
		if stats.field("claimed") != "3" || stats.field("revoked") != "1" || stats.field("available") != "2" {
			t.Errorf("got %s", stats.text)
		}
		audit := s.want(t, http.StatusOK, "", get("/audit?resource=template&resource_id="+id, merchant))
		for _, action := range []string{"template.create", "template.publish", "template.stock"} {
			if !strings.Contains(audit.text, action) {
				t.Errorf("%s is not in the audit log: %s", action, audit.text)
			}
		}
		s.consistent(t)
	})
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		key := func(body object) string {
			return s.want(t, http.StatusCreated, "", post("/api_keys", platformKey, body)).field("key")
		}
		own, other := key(object{"role": "merchant", "merchant_id": "m1"}), key(object{"role": "merchant", "merchant_id": "m2"})
		service, ann := key(object{"role": "service"}), s.user(t, "ann")
		id := s.sale(t, own, nil)
		s.want(t, http.StatusNotFound, "not_found", get("/templates/"+id, other))
		s.want(t, http.StatusNotFound, "not_found", post("/templates/"+id+"/pause", other, nil))
		s.want(t, http.StatusNotFound, "not_found", post("/claims", other, claim(id, "ann")))
		for _, as := range []string{service, ann} {
			s.want(t, http.StatusForbidden, "forbidden", get("/templates/"+id, as))
			s.want(t, http.StatusForbidden, "forbidden", post("/rules", as, object{}))
			s.want(t, http.StatusForbidden, "forbidden", get("/audit", as))
		}
		s.want(t, http.StatusUnauthorized, "", get("/rules", "sk_nobody"))
		s.want(t, http.StatusUnauthorized, "", get("/rules", "not.a.token"))
		coupon := s.want(t, http.StatusCreated, "", post("/claims", service, claim(id, "ann"))).field("id")
		s.want(t, http.StatusOK, "", get("/coupons/"+coupon, ann))
		s.want(t, http.StatusNotFound, "not_found", get("/coupons/"+coupon, s.user(t, "bob")))
		s.want(t, http.StatusForbidden, "forbidden", post("/claims", ann, claim(id, "bob")))
	})
}

func TestBadInputNamesTheField(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	for name, c := range map[string]struct {
		request request
		status  int
		code    string
		field   string
	}{
		"misspelt":   {post("/rules", platformKey, object{"nme": "x"}), 422, "unknown_field", "nme"},
		"deep":       {post("/rules", platformKey, object{"name": "x", "kind": "amount_off", "effect": object{"amount_off": 0, "currency": "USD"}}), 422, "", "effect.amount_off"},
		"wrong kind": {post("/rules", platformKey, object{"name": "x", "kind": "free_item", "effect": object{"price": 1, "sku": "a", "quantity": 1}}), 422, "unknown_field", "effect.price"},
		"expression": {post("/rules", platformKey, object{
			"name": "x", "kind": "percent_off", "effect": object{"percent_off_bp": 1},
			"conditions": object{"expression": "1 +"},
		}), 422, "", "conditions.expression"},
		"float":   {post("/claims", platformKey, object{"template_id": 1.5, "user_id": "a"}), 422, "", "template_id"},
		"no user": {post("/claims", platformKey, object{"template_id": "1"}), 422, "", "user_id"},
		"limit":   {get("/rules?limit=0", platformKey), 422, "", "limit"},
		"cursor":  {get("/rules?cursor=x", platformKey), 422, "", "cursor"},
	} {
		got := s.want(t, c.status, c.code, c.request)
		if !strings.Contains(got.text, `"field":"`+c.field+`"`) {
			t.Errorf("%s: %s is not named: %s", name, c.field, got.text)
		}
	}
}

func TestEditsNeedTheirVersion(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		id := s.sale(t, platformKey, nil)
		patch := request{method: http.MethodPatch, path: "/templates/" + id, as: platformKey, body: object{"name": "renamed"}}
		s.want(t, http.StatusPreconditionRequired, "if_match_required", patch)
		s.want(t, http.StatusPreconditionFailed, "version_mismatch", patch.with("If-Match", `"1"`))
		etag := s.want(t, http.StatusOK, "", get("/templates/"+id, platformKey)).header.Get("ETag")
		got := s.want(t, http.StatusOK, "", patch.with("If-Match", etag))
		if got.field("name") != "renamed" || got.header.Get("ETag") == etag {
			t.Errorf("got %v %s", got.header, got.text)
		}
		fixed := patch.with("If-Match", got.header.Get("ETag"))
		fixed.body = object{"currency": "EUR"}
		s.want(t, http.StatusConflict, "wrong_state", fixed)
	})
}

func TestListsComeInPages(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		id := s.sale(t, platformKey, nil)
		for i := range 7 {
			s.want(t, http.StatusCreated, "", post("/claims", platformKey, claim(id, fmt.Sprint("user", i))))
		}
		var seen []string
		for path, more := "/templates/"+id+"/coupons?limit=3", true; more; {
			page := s.want(t, http.StatusOK, "", get(path, platformKey))
			var list struct {
				Data []struct {
					IssueNo int `json:"issue_no"`
				} `json:"data"`
				NextCursor string `json:"next_cursor"`
			}
			if err := json.Unmarshal([]byte(page.text), &list); err != nil {
				t.Fatal(err)
			}
			for _, row := range list.Data {
				seen = append(seen, strconv.Itoa(row.IssueNo))
			}
			more = list.NextCursor != ""
			path = "/templates/" + id + "/coupons?limit=3&cursor=" + list.NextCursor
		}
		if strings.Join(seen, " ") != "7 6 5 4 3 2 1" {
			t.Errorf("got %v", seen)
		}
	})
}

func TestTagsOpenATemplate(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	id := s.sale(t, platformKey, object{"audience": object{"kind": "tags", "tags": []string{"vip"}}})
	s.want(t, http.StatusConflict, "not_eligible", post("/claims", s.user(t, "ann"), object{"template_id": id}))
	s.want(t, http.StatusCreated, "", post("/claims", s.user(t, "ann", "vip"), object{"template_id": id}))
	body := claim(id, "bob")
	body["user_tags"] = []string{"new", "vip"}
	s.want(t, http.StatusCreated, "", post("/claims", platformKey, body))
}

func TestADeletedKeyIsDead(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		made := s.want(t, http.StatusCreated, "", post("/api_keys", platformKey, object{"role": "platform"}))
		for server := range s.servers {
			s.want(t, http.StatusOK, "", get("/rules", made.field("key")).on(server))
		}
		gone := request{method: http.MethodDelete, path: "/api_keys/" + made.field("id"), as: platformKey}
		s.want(t, http.StatusNoContent, "", gone)
		s.want(t, http.StatusUnauthorized, "unauthorized", get("/rules", made.field("key")))
		for deadline := time.After(5 * time.Second); len(s.servers) > 1; {
			if s.do(t, get("/rules", made.field("key")).on(1)).status == http.StatusUnauthorized {
				return
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-deadline:
				t.Fatal("the other server still takes the key")
			}
		}
	})
}
