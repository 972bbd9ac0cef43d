package handlers

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func recorded() (*httptest.ResponseRecorder, *gin.Context) {
	w := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(w)
	c.Request = httptest.NewRequest(http.MethodGet, "/", nil)
	return w, c
}

type listed struct {
	Data       []map[string]any `json:"data"`
	NextCursor *string          `json:"next_cursor"`
}

func listOf(t *testing.T, body []byte) listed {
	t.Helper()
	var page listed
	if err := json.Unmarshal(body, &page); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return page
}

// TestPagesCoverTheList walks every list from page to page and wants every row
// once, in order, and no page more than needed.
func TestPagesCoverTheList(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/v1/rules?", "/v1/templates?", "/v1/templates/claimable?user_id=u1", "/v1/templates/21/coupons?",
		"/v1/coupons?user_id=u1", "/v1/audit?", "/v1/api_keys?",
	} {
		position := "id"
		if path == "/v1/templates/21/coupons?" {
			position = "issue_no"
		}
		for _, rows := range []int{0, 1, 2, 3, 4, 7} {
			t.Run(fmt.Sprint(path, rows), func(t *testing.T) {
				t.Parallel()
				f := newFake()
				f.rows = rows
				h := serve(t, f, platform())
				var got, want []string
				for n := rows; n > 0; n-- {
					want = append(want, strconv.Itoa(n))
				}
				pages, next := 0, ""
				for {
					w := call(h, request{method: "GET", path: path + "&limit=2&cursor=" + url.QueryEscape(next)})
					page := listOf(t, w.Body.Bytes())
					if page.Data == nil {
						t.Fatalf("data is not a list in %s", w.Body)
					}
					for _, row := range page.Data {
						got = append(got, fmt.Sprint(row[position]))
					}
					pages++
					if page.NextCursor == nil {
						break
					}
					next = *page.NextCursor
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				if most := max(1, (rows+1)/2); pages != most {
					t.Errorf("%d pages, want %d", pages, most)
				}
			})
		}
	}
}

func TestEmptyPage(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.rows = 0
	w := call(serve(t, f, platform()), request{method: "GET", path: "/v1/rules"})
	if got := w.Body.String(); got != `{"data":[],"next_cursor":null}` {
		t.Error(got)
	}
	if f.asked != (models.Page{Limit: defaultLimit + 1}) {
		t.Errorf("asked for %v", f.asked)
	}
}

func TestQueryParameters(t *testing.T) {
	t.Parallel()
	cursor := byID.cursor(7)
	for path, fields := range map[string][]string{
		"/v1/rules?limit=1&cursor=" + cursor:               nil,
		"/v1/rules?limit=200":                              nil,
		"/v1/rules?limit=&cursor=&what=ever":               nil,
		"/v1/rules?limit=0":                                {"limit"},
		"/v1/rules?limit=201":                              {"limit"},
		"/v1/rules?limit=-1":                               {"limit"},
		"/v1/rules?limit=1e2":                              {"limit"},
		"/v1/rules?limit=99999999999999999999":             {"limit"},
		"/v1/rules?cursor=x":                               {"cursor"},
		"/v1/rules?cursor=" + cursor + "A":                 {"cursor"},
		"/v1/rules?cursor=" + cursor[1:]:                   {"cursor"},
		"/v1/templates/21/coupons?cursor=" + cursor:        {"cursor"},
		"/v1/rules/11?version=2":                           nil,
		"/v1/rules/11?version=0":                           {"version"},
		"/v1/rules/11?version=two":                         {"version"},
		"/v1/templates?state=active&rule_id=11":            nil,
		"/v1/templates?state=Active&rule_id=x&limit=x":     {"limit", "state", "rule_id"},
		"/v1/coupons?user_id=u1&status=used":               nil,
		"/v1/coupons?user_id=u1&status=gone&template_id=x": {"status", "template_id"},
		"/v1/coupons":                                      {"user_id"},
		"/v1/coupons?user_id=":                             {"user_id"},
		"/v1/templates/claimable":                          {"user_id"},
		"/v1/audit?resource=rule&resource_id=11&action=a":  nil,
		"/v1/audit?resource_id=x":                          {"resource_id"},
	} {
		w := call(serve(t, newFake(), platform()), request{method: "GET", path: path})
		if fields == nil {
			if w.Code != 200 {
				t.Errorf("%s: got %d %s", path, w.Code, w.Body)
			}
			continue
		}
		p := problemOf(t, w)
		if w.Code != 422 || !cmp.Equal(p.fields(), fields) {
			t.Errorf("%s: got %d %s, want 422 for %v", path, w.Code, w.Body, fields)
		}
	}
}

func TestFiltersReachTheStore(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]any{
		"/v1/templates?state=paused&merchant_id=m9&rule_id=11": models.TemplateFilter{
			State: models.TemplatePaused, MerchantID: "m9", RuleID: 11,
		},
		"/v1/coupons?user_id=u7&status=expired&template_id=21": models.CouponFilter{
			UserID: "u7", Status: models.CouponExpired, TemplateID: 21,
		},
		"/v1/audit?resource=template&resource_id=21&action=template.publish": models.AuditFilter{
			Resource: "template", ResourceID: 21, Action: "template.publish",
		},
	} {
		f := newFake()
		if w := call(serve(t, f, platform()), request{method: "GET", path: path}); w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if diff := cmp.Diff(want, f.arg("filter")); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func TestCursorRoundTrip(t *testing.T) {
	t.Parallel()
	for _, id := range []models.ID{1, 2, 255, 1 << 40, math.MaxInt64} {
		if got, err := parseCursor(byIssueNo, byIssueNo.cursor(id)); err != nil || got != id {
			t.Errorf("%d came back as %d, %v", id, got, err)
		}
	}
	for _, id := range []models.ID{0, -1, math.MinInt64} {
		if got, err := parseCursor(byID, byID.cursor(id)); err == nil {
			t.Errorf("%d is no position, and came back as %d", id, got)
		}
	}
}

// FuzzCursor wants every text to be either refused or the one text of its
// position.
func FuzzCursor(f *testing.F) {
	f.Add(byID.cursor(1))
	f.Add(byID.cursor(math.MaxInt64))
	f.Add(byIssueNo.cursor(1))
	f.Add("")
	f.Add("AQAAAAAAAAAH")
	f.Add("=")
	f.Add("AX_\n_________5i-FQg")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := parseCursor(byID, s)
		if err != nil {
			return
		}
		if id <= 0 || byID.cursor(id) != s {
			t.Errorf("%q is taken for %d, whose cursor is %q", s, id, byID.cursor(id))
		}
	})
}
