package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// pack makes a pack of one coupon of each template.
func (s *site) pack(t *testing.T, as string, templates ...string) string {
	t.Helper()
	var items []object
	for _, id := range templates {
		items = append(items, object{"template_id": id, "quantity": 1})
	}
	return s.want(t, http.StatusCreated, "", post("/packs", as, object{"name": "welcome", "items": items})).field("id")
}

func TestAPackIsClaimedOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		last := len(s.servers) - 1
		shop := s.want(t, http.StatusCreated, "", post("/api_keys", platformKey, object{"role": "merchant", "merchant_id": "shop"})).field("key")
		a, b := s.sale(t, shop, object{"stock": 2}), s.sale(t, shop, nil)
		pack := s.pack(t, shop, b, a)
		s.want(t, http.StatusUnprocessableEntity, "", post("/packs", shop, object{"name": "x", "items": []object{{"template_id": s.sale(t, platformKey, nil), "quantity": 1}}}))
		ann := s.user(t, "ann")
		claim := post("/claims", ann, object{"pack_id": pack}).with("Idempotency-Key", "k")
		got := s.want(t, http.StatusCreated, "", claim)
		again := s.want(t, http.StatusCreated, "", claim.on(last))
		if again.text != got.text || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("the retry was answered by %s", again.text)
		}
		double := s.want(t, http.StatusConflict, "already_claimed", post("/claims", ann, object{"pack_id": pack}).on(last))
		for _, coupon := range got.body["coupons"].([]any) { //nolint:forcetypeassert // else the test fails as it should
			if id := coupon.(object)["id"]; !strings.Contains(double.text, fmt.Sprintf("%q", id)) { //nolint:forcetypeassert // the same
				t.Errorf("%v is not in %s", id, double.text)
			}
		}
		s.want(t, http.StatusCreated, "", post("/claims", shop, object{"pack_id": pack, "user_id": "bob"}))
		s.want(t, http.StatusConflict, "sold_out", post("/claims", shop, object{"pack_id": pack, "user_id": "cid"}))
		if wallet := s.want(t, http.StatusOK, "", get("/coupons?user_id=cid", platformKey)); !strings.Contains(wallet.text, `"data":[]`) {
			t.Errorf("cid got a part: %s", wallet.text)
		}
		s.settled(t)
	})
}

func TestPacksAndClaimsContendExactly(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		a, b := s.sale(t, platformKey, object{"stock": 120}), s.sale(t, platformKey, object{"stock": 100})
		packs := []string{s.pack(t, platformKey, a, b), s.pack(t, platformKey, b, a)}
		var mu sync.Mutex
		granted := map[string]int{}
		var all sync.WaitGroup
		for i := range 480 {
			all.Go(func() {
				body := object{"pack_id": packs[i%2], "user_id": fmt.Sprint("user", i/2)} // two servers, two packs, one user
				if i%5 == 0 {
					body = claim([]string{a, b}[i%2], fmt.Sprint("single", i))
				}
				got, err := s.try(t.Context(), post("/claims", platformKey, body).on(i%len(s.servers)))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				granted[got.field("code")]++
				if got.status == http.StatusCreated {
					granted["coupons"] += max(1, strings.Count(got.text, `"issue_no"`))
				}
			})
		}
		all.Wait()
		claimed := 0
		for _, id := range []string{a, b} {
			var n int
			if _, err := fmt.Sscan(s.want(t, http.StatusOK, "", get("/templates/"+id, platformKey)).field("claimed"), &n); err != nil {
				t.Fatal(err)
			}
			claimed += n
		}
		if granted["coupons"] != claimed || claimed < 200 || granted["sold_out"] == 0 {
			t.Errorf("claimed are %d; told of %v", claimed, granted)
		}
		s.settled(t)
	})
}
