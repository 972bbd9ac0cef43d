package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// put says what is known of a user.
func put(user, as string, body object) request {
	return request{method: http.MethodPut, path: "/users/" + user, as: as, body: body}
}

func TestAnImportedAudienceOpensATemplate(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		last := len(s.servers) - 1
		shop := s.want(t, http.StatusCreated, "", post("/api_keys", platformKey, object{"role": "merchant", "merchant_id": "shop"})).field("key")
		vips := s.sale(t, shop, object{"audience": object{"kind": "tags", "tags": []string{"vip"}}})
		const users = 60_000 // more than 1 MiB
		var csv strings.Builder
		csv.WriteString("user_id,tags,email\n")
		for i := range users {
			fmt.Fprintf(&csv, "user%d,%s,user%d@example.com\n", i, []string{"", "vip", "new|vip"}[i%3], i)
		}
		csv.WriteString("user,,nowhere\n")
		got := s.want(t, http.StatusOK, "", post("/users/import", shop, file(csv.String())).with("Idempotency-Key", "import"))
		if got.field("imported") != strconv.Itoa(users) || got.field("failed") != "1" || !strings.Contains(got.text, `"line":60002,"field":"email"`) {
			t.Errorf("got %s", got.text)
		}
		again := s.want(t, http.StatusOK, "", post("/users/import", shop, file(csv.String())).with("Idempotency-Key", "import").on(last))
		if again.header.Get("Idempotency-Replayed") != "true" || again.text != got.text {
			t.Errorf("again: %s", again.text)
		}
		s.want(t, http.StatusOK, "", post("/users/import", shop, file(`{"user_id":"user0","tags":["gone"]}`)).
			with("Content-Type", "application/x-ndjson"))

		s.want(t, http.StatusConflict, "not_eligible", post("/claims", s.user(t, "user0"), object{"template_id": vips}))
		s.want(t, http.StatusCreated, "", post("/claims", s.user(t, "user1"), object{"template_id": vips}).on(last))
		s.want(t, http.StatusOK, "", put("user1", shop, object{"locale": "en"}))
		s.want(t, http.StatusConflict, "already_claimed", post("/claims", s.user(t, "user1"), object{"template_id": vips}))
		s.want(t, http.StatusCreated, "", put("new%2F1", shop, object{"tags": []string{"vip"}}))
		s.want(t, http.StatusCreated, "", post("/claims", shop, claim(vips, "new/1")))
		// What another merchant says of a user opens nothing here; what the
		// platform says does.
		other := s.want(t, http.StatusCreated, "", post("/api_keys", platformKey, object{"role": "merchant", "merchant_id": "other"})).field("key")
		s.want(t, http.StatusCreated, "", put("user3", other, object{"tags": []string{"vip"}}))
		s.want(t, http.StatusConflict, "not_eligible", post("/claims", shop, claim(vips, "user3")))
		s.want(t, http.StatusCreated, "", put("user3", platformKey, object{"tags": []string{"vip"}}))
		s.want(t, http.StatusCreated, "", post("/claims", shop, claim(vips, "user3")))
		s.want(t, http.StatusNotFound, "", get("/users/user4", other))
		s.want(t, http.StatusOK, "", get("/users/user4?merchant_id=shop", platformKey))
		s.consistent(t)
	})
}
