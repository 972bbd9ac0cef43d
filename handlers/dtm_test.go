package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

const dtmQuery = "?gid=g1&branch_id=01&trans_type=tcc"

func TestDTMAnswers(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"try": `{"dtm_result":"SUCCESS","id":"71","discount":1000,"shipping_discount":500,"total":2000,"currency":"USD",` +
			`"expires_at":"2026-01-02T03:19:05.067Z"}`,
		"confirm": `{"dtm_result":"SUCCESS"}`,
		"cancel":  `{"dtm_result":"SUCCESS"}`,
	} {
		w := call(serve(t, newFake(), service()), request{method: "POST", path: "/v1/dtm/locks/" + path + dtmQuery + "&op=" + path, body: goodTry})
		if w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: got %d %s", path, w.Code, w.Body)
		}
	}
}

func TestDTMTryHoldsForADay(t *testing.T) {
	t.Parallel()
	f := newFake()
	call(serve(t, f, service()), request{method: "POST", path: "/v1/dtm/locks/try" + dtmQuery, body: goodTry})
	try, _ := f.arg("try").(models.Try)
	if try.TTL != 24*time.Hour || try.XID != "g1-01" || try.OrderID != "o1" || try.Actor != "key:3" {
		t.Errorf("tried %+v", try)
	}
}

func TestDTMTryOfAnExpiredLock(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.verdict.Made, f.verdict.Lock.State = false, models.LockExpired
	w := call(serve(t, f, service()), request{method: "POST", path: "/v1/dtm/locks/try" + dtmQuery, body: goodTry})
	if p := problemOf(t, w); p.Status != 409 || p.Code != models.CodeLockExpired {
		t.Errorf("got %v", p)
	}
}

// TestDTMEndsIgnoreTheBody: the coordinator repeats what the Try was sent, and
// nothing about it may keep a transaction from its end.
func TestDTMEndsIgnoreTheBody(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"confirm", "cancel"} {
		for name, r := range map[string]request{
			"none":       {},
			"no JSON":    {body: "{"},
			"unknown":    {body: `{"a":1}`},
			"a list":     {body: `[]`},
			"another":    {body: goodTry},
			"no type":    {body: goodTry, header: map[string]string{"Content-Type": ""}},
			"a form":     {body: "a=b", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}},
			"compressed": {body: goodTry, header: map[string]string{"Content-Encoding": "gzip"}},
			"too large":  {body: strings.Repeat("x", 2*testMaxBody)},
			"a bad key":  {header: map[string]string{"Idempotency-Key": "é"}},
		} {
			r.method, r.path = "POST", "/v1/dtm/locks/"+step+dtmQuery
			if w := call(serve(t, newFake(), service()), r); w.Code != 200 {
				t.Errorf("%s, %s: got %d %s", step, name, w.Code, w.Body)
			}
		}
	}
}

func TestDTMQuery(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("g", 188)
	for query, want := range map[string][]string{
		"":                                   {"gid", "branch_id"},
		"?gid=g":                             {"branch_id"},
		"?branch_id=01":                      {"gid"},
		"?gid=g&branch_id=0-1":               {"branch_id"},
		"?gid=g&branch_id=01&trans_type=xa":  {"trans_type"},
		"?gid=g&branch_id=01&op=action":      {"op"},
		"?gid=" + long + "&branch_id=01":     nil,
		"?gid=" + long + "g&branch_id=01":    {"gid"},
		"?gid=%20g&branch_id=01":             {"gid"},
		"?gid=g&branch_id=0%0A1":             {"gid"},
		"?gid=g-1-2&branch_id=01&x=FAILURE":  nil,
		"?gid=FAILURE-ONGOING&branch_id=0-1": {"branch_id"},
	} {
		for _, step := range []string{"try", "confirm", "cancel"} {
			f := newFake()
			w := call(serve(t, f, service()), request{method: "POST", path: "/v1/dtm/locks/" + step + query, body: goodTry})
			if want == nil {
				if w.Code != 200 {
					t.Errorf("%s%s: got %d %s", step, query, w.Code, w.Body)
				}
				continue
			}
			if p := problemOf(t, w); p.Status != 422 || !cmp.Equal(p.fields(), want) || f.changes > 0 {
				t.Errorf("%s%s: got %v, want %v", step, query, p, want)
			}
			dtmSafe(t, w)
		}
	}
}

// dtmSafe fails the test if the coordinator could read a refusal as something
// else, or it is too long for it to keep.
func dtmSafe(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	for _, word := range []string{"FAILURE", "ONGOING", "hunter2"} {
		if strings.Contains(w.Body.String(), word) {
			t.Errorf("the answer %d holds %s: %s", w.Code, word, w.Body)
		}
	}
	if n := len([]rune(w.Body.String())); n > 1000 {
		t.Errorf("the answer %d has %d characters: %s", w.Code, n, w.Body)
	}
}

func TestDTMRefusals(t *testing.T) {
	t.Parallel()
	many := models.Refuse(models.CodeNotApplicable, "FAILURE of hunter2")
	for i := range 10 {
		many.Fields = append(many.Fields, models.FieldError{
			Field: fmt.Sprintf("coupon_ids[%d]", i), Code: models.CodeCouponNotAvailable, Detail: strings.Repeat("hunter2 ONGOING ", 100),
		})
	}
	for name, tc := range map[string]struct {
		refusal  error
		try, end int
		code     models.Code
		endCode  models.Code
	}{
		"cancelled":     {models.Refuse(models.CodeLockCancelled, "x"), 409, 409, "lock_cancelled", "lock_cancelled"},
		"confirmed":     {models.Refuse(models.CodeLockConfirmed, "x"), 409, 409, "lock_confirmed", "lock_confirmed"},
		"expired":       {models.Refuse(models.CodeLockExpired, "x"), 409, 409, "lock_expired", "lock_expired"},
		"reused":        {models.Refuse(models.CodeXIDReused, "hunter2"), 422, 422, "xid_reused", "xid_reused"},
		"not found":     {models.NotFound("lock"), 404, 404, "not_found", "not_found"},
		"refused":       {many, 409, 409, "not_applicable", "not_applicable"},
		"busy":          {models.Busy("FAILURE"), 503, 425, "busy", "too_early"},
		"no time":       {context.DeadlineExceeded, 503, 425, "busy", "too_early"},
		"in progress":   {models.Refuse(models.CodeInProgress, "x"), 409, 425, "in_progress", "too_early"},
		"rate limited":  {models.Refuse(models.CodeRateLimited, "x"), 429, 425, "rate_limited", "too_early"},
		"unknown":       {fmt.Errorf("%w: hunter2", models.ErrUnknown), 503, 425, "outcome_unknown", "too_early"},
		"away":          {fmt.Errorf("%w: hunter2", models.Busy("x")), 503, 425, "busy", "too_early"},
		"unheard of":    {models.Refuse("hunter2", "hunter2"), 500, 500, "internal", "internal"},
		"a fault":       {errors.New("hunter2 FAILURE"), 500, 500, "internal", "internal"},
		"bad user text": {&models.Error{Code: models.CodeInvalid, Fields: []models.FieldError{{Field: "hunter2", Code: "invalid", Detail: "hunter2"}}}, 422, 422, "invalid", "invalid"},
	} {
		for _, step := range []string{"try", "confirm", "cancel"} {
			f := newFake()
			f.refusal = tc.refusal
			w := call(serve(t, f, service()), request{
				method: "POST", path: "/v1/dtm/locks/" + step + dtmQuery, body: goodTry,
				header: map[string]string{"X-Request-Id": "ONGOING-hunter2"},
			})
			status, code := tc.end, tc.endCode
			if step == "try" {
				status, code = tc.try, tc.code
			}
			if p := problemOf(t, w); p.Status != status || p.Code != code {
				t.Errorf("%s, %s: got %d %s, want %d %s", name, step, w.Code, w.Body, status, code)
			}
			dtmSafe(t, w)
		}
	}
}

// TestDTMRepeatsNothing sends words of the caller's in every place that another
// endpoint would repeat.
func TestDTMRepeatsNothing(t *testing.T) {
	t.Parallel()
	twice := strings.Replace(goodTry, `{"line_id"`, `{"line_id":"FAILURE","sku":"a","quantity":1,"unit_price":1},{"line_id":"FAILURE"},{"line_id"`, 1)
	for _, body := range []string{
		`{"FAILURE":1}`, `{"cart":{"ONGOING":1}}`, `{"order_id":"o","order_id":"FAILURE"}`, `{`, `[]`, twice,
		strings.Replace(goodTry, "l1", strings.Repeat("FAILURE", 10), 1),
		strings.Replace(goodTry, `"31"`, `"FAILURE"`, 1),
	} {
		w := call(serve(t, newFake(), service()), request{
			method: "POST", path: "/v1/dtm/locks/try" + dtmQuery, body: body, header: map[string]string{"X-Request-Id": "FAILURE"},
		})
		if w.Code != 422 && w.Code != 400 {
			t.Errorf("%s: got %d %s", body, w.Code, w.Body)
		}
		dtmSafe(t, w)
	}
	w := call(serve(t, newFake(), merchant()), request{
		method: "POST", path: "/v1/dtm/locks/cancel" + dtmQuery, header: map[string]string{"X-Request-Id": "FAILURE"},
	})
	if dtmSafe(t, w); w.Code != 403 || w.Header().Get("X-Request-Id") == "FAILURE" {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestDTMEndsAreNotBounded(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.bounds = []gin.HandlerFunc{func(c *gin.Context) { c.AbortWithStatus(429) }}
	h := serve(t, f, service())
	for path, status := range map[string]int{
		"/v1/dtm/locks/try": 429, "/v1/dtm/locks/confirm": 200, "/v1/dtm/locks/cancel": 200, "/v1/locks/x/confirm": 429,
	} {
		if w := call(h, request{method: "POST", path: path + dtmQuery, body: goodTry}); w.Code != status {
			t.Errorf("%s: got %d, want %d", path, w.Code, status)
		}
	}
}
