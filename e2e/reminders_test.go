package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"scrip/enginetest"
)

// ending is a template whose coupons expire in two hours, and so remind of it at
// once: of both days that it names in one message.
func (s *site) ending(t *testing.T) string {
	t.Helper()
	now := time.Now()
	return s.sale(t, platformKey, object{
		"name": "ends soon", "per_user_limit": 10, "remind_before_days": []int{3, 1},
		"validity": object{"from": now.Add(-time.Hour), "until": now.Add(2 * time.Hour)},
	})
}

// messages counts what is in a user's inbox.
func (s *site) messages(t *testing.T, user string) int {
	t.Helper()
	got := s.want(t, http.StatusOK, "", get("/messages?limit=200&user_id="+user, platformKey))
	list, ok := got.body["data"].([]any)
	if !ok {
		t.Fatalf("got %s", got.text)
	}
	return len(list)
}

func TestManyCouponsRemindOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		id := s.ending(t)
		give := func(user string) {
			s.want(t, http.StatusCreated, "", post("/claims", platformKey, claim(id, user)).on(len(s.servers)-1))
		}
		for range 9 {
			give("ann")
		}
		enginetest.Eventually(t, "ann is reminded", func() bool { return s.messages(t, "ann") > 0 })
		give("ann") // the tenth
		give("bob") // who is told of his after that
		enginetest.Eventually(t, "bob is reminded", func() bool { return s.messages(t, "bob") > 0 })
		for _, user := range []string{"ann", "bob"} {
			if n := s.messages(t, user); n != 1 {
				t.Errorf("%s has %d messages", user, n)
			}
		}
		s.consistent(t)
	})
}

func TestRemindersOutliveTheirServers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		const rounds, users, sample = 3, 300, 20
		id := s.ending(t)
		for round := range rounds {
			claims := make([]object, users)
			for i := range claims {
				claims[i] = claim(id, fmt.Sprintf("user%d-%d", round, i))
			}
			if failed := s.unchecked(t).claimAll(t, claims, 16); failed != "" {
				t.Fatal(failed)
			}
			for _, server := range s.servers {
				server.Kill()
			}
			for _, server := range s.servers {
				server.Restart()
			}
		}
		for round := range rounds {
			for i := 0; i < users; i += sample {
				user := fmt.Sprintf("user%d-%d", round, i)
				enginetest.Eventually(t, user+" is reminded", func() bool { return s.messages(t, user) > 0 })
				if n := s.messages(t, user); n != 1 {
					t.Errorf("%s has %d messages", user, n)
				}
			}
		}
		s.consistent(t)
	})
}
