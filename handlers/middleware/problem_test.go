package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

// codesInSource finds every constant of type Code that models declares.
func codesInSource(t *testing.T) map[string]models.Code {
	t.Helper()
	packages, err := parser.ParseDir(token.NewFileSet(), "../../models", nil, 0) //nolint:staticcheck // no build tags there to be honoured
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]models.Code{}
	for _, file := range packages["models"].Files {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			typeName, ok := spec.Type.(*ast.Ident)
			if !ok || typeName.Name != "Code" {
				return true
			}
			for i, name := range spec.Names {
				literal, ok := spec.Values[i].(*ast.BasicLit)
				if !ok {
					t.Fatalf("%s is not written as text", name)
				}
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				codes[name.Name] = models.Code(text)
			}
			return true
		})
	}
	return codes
}

func TestEveryCodeHasAStatus(t *testing.T) {
	t.Parallel()
	codes := codesInSource(t)
	if len(codes) < 30 || codes["CodeSoldOut"] != models.CodeSoldOut {
		t.Fatalf("only these were found: %v", codes)
	}
	for name, code := range codes {
		if statusOf(code) < 400 {
			t.Errorf("%s (%s) has no status", name, code)
		}
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	for status, codes := range map[int]string{
		400: "bad_json",
		401: "unauthorized",
		403: "forbidden",
		404: "not_found no_route",
		405: "method_not_allowed",
		409: "sold_out already_claimed limit_reached not_started ended paused not_eligible wrong_state in_progress stock_below_claimed " +
			"coupon_not_available expired out_of_scope min_amount min_quantity user_tags_any first_order payment_methods channels " +
			"days_of_week time_of_day expression budget_exhausted stacking_exclusive stacking_group stacking_max_per_order no_effect " +
			"not_applicable lock_cancelled lock_confirmed lock_expired lock_not_confirmed refund_exceeds",
		412: "version_mismatch",
		413: "too_large",
		415: "not_json",
		422: "invalid required out_of_range unknown_field duplicate unknown_ref currency_mismatch idempotency_key_reused " +
			"xid_reused refund_id_reused",
		425: "too_early",
		428: "if_match_required",
		429: "rate_limited",
		500: "internal",
		503: "busy outcome_unknown",
	} {
		for code := range strings.FieldsSeq(codes) {
			if got := statusOf(models.Code(code)); got != status {
				t.Errorf("%s: %d, want %d", code, got, status)
			}
		}
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	secret := errors.New("dial tcp 10.0.0.7:3306: password hunter2")
	for name, test := range map[string]struct {
		err    error
		code   models.Code
		detail string
		header http.Header
	}{
		"refusal": {models.Refuse(models.CodeSoldOut, "gone"), "sold_out", "gone", nil},
		"wrapped": {fmt.Errorf("%w: %w", secret, models.NotFound("rule")), "not_found", "there is no such rule", nil},
		"busy": {
			&models.Error{Code: models.CodeBusy, Detail: "full", RetryAfter: 1200 * time.Millisecond}, "busy", "full",
			http.Header{"Retry-After": {"2"}},
		},
		"busy without a time": {models.Refuse(models.CodeBusy, "full"), "busy", "full", http.Header{"Retry-After": {"1"}}},
		"limited for long": {
			&models.Error{Code: models.CodeRateLimited, RetryAfter: 30 * time.Hour}, "rate_limited", "",
			http.Header{"Retry-After": {"3600"}},
		},
		"unauthorized": {models.Refuse(models.CodeUnauthorized, "who?"), "unauthorized", "who?", http.Header{"Www-Authenticate": {"Bearer"}}},
		"unknown outcome": {
			fmt.Errorf("%w: %w", models.ErrUnknown, secret), "outcome_unknown",
			"it may have happened; the same request again tells",
			http.Header{"Retry-After": {"1"}},
		},
		"unknown outcome by time": {
			errors.Join(context.DeadlineExceeded, models.Busy("no"), models.ErrUnknown), "outcome_unknown",
			"it may have happened; the same request again tells",
			http.Header{"Retry-After": {"1"}},
		},
		"no time": {
			fmt.Errorf("%w: %w", secret, context.DeadlineExceeded), "busy",
			"there was no time left for it; nothing was changed",
			http.Header{"Retry-After": {"1"}},
		},
		"gone": {context.Canceled, "busy", "there was no time left for it; nothing was changed", http.Header{"Retry-After": {"1"}}},
		"refusal for lack of time": {
			errors.Join(models.NotFound("rule"), context.Canceled), "not_found", "there is no such rule", nil,
		},
		"fault":             {secret, "internal", "something went wrong on our side", nil},
		"fault with a code": {models.Refuse(models.CodeInternal, "hunter2"), "internal", "something went wrong on our side", nil},
		"code unheard of":   {models.Refuse("hunter2", "hunter2"), "internal", "something went wrong on our side", nil},
	} {
		status, body, header := Render(test.err, "r1")
		want := problem{
			Type: "about:blank", Title: http.StatusText(statusOf(test.code)), Status: statusOf(test.code),
			Code: test.code, Detail: test.detail, RequestID: "r1",
		}
		var got problem
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" || status != want.Status {
			t.Errorf("%s: %d (-want +got):\n%s", name, status, diff)
		}
		wantHeader := http.Header{"Content-Type": {"application/problem+json"}}
		for k, v := range test.header {
			wantHeader[k] = v
		}
		if diff := cmp.Diff(wantHeader, header); diff != "" {
			t.Errorf("%s: header (-want +got):\n%s", name, diff)
		}
		if strings.Contains(string(body), "hunter2") {
			t.Errorf("%s: tells too much: %s", name, body)
		}
	}
}

func TestRenderTellsEverythingOfARefusal(t *testing.T) {
	t.Parallel()
	f := models.NewFaults()
	f.Add("name", models.CodeRequired, "is required")
	f.At("items", 2).Add("quantity", models.CodeOutOfRange, "must be from 1 to %d", 9)
	_, body, _ := Render(f.Err(), "r1")
	want := `{"type":"about:blank","title":"Unprocessable Entity","status":422,"code":"invalid","detail":"name: is required","request_id":"r1",` +
		`"errors":[{"field":"name","code":"required","detail":"is required"},{"field":"items[2].quantity","code":"out_of_range","detail":"must be from 1 to 9"}]}`
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	refusal := models.Refuse(models.CodeAlreadyClaimed, "twice")
	refusal.CouponIDs = []models.ID{250530704331386883}
	_, body, _ = Render(refusal, "r1")
	want = `{"type":"about:blank","title":"Conflict","status":409,"code":"already_claimed","detail":"twice","request_id":"r1","coupon_ids":["250530704331386883"]}`
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRenderReplay(t *testing.T) {
	t.Parallel()
	for status, media := range map[int]string{201: "application/json", 409: "application/problem+json"} {
		got, body, header := Render(fmt.Errorf("again: %w", &models.Replay{Status: status, Body: []byte("{ }")}), "r1")
		want := http.Header{"Content-Type": {media}, "Idempotency-Replayed": {"true"}}
		if diff := cmp.Diff(want, header); diff != "" || got != status || string(body) != "{ }" {
			t.Errorf("%d %q (-want +got):\n%s", got, body, diff)
		}
	}
}
