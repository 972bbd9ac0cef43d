package client_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scrip/client"
)

func TestCodes(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{
		{status: 202, body: `{"id":"95","kind":"codes","state":"queued","done":0,"total":5}`},
		{status: 201, body: `{"id":"96","template_id":"2","kind":"shared","code":"WORD","count":1,"usage_limit":9,"used":0}`},
		{status: 200, body: `{"data":[{"id":"95","kind":"single_use","count":5,"used":3}],"next_cursor":null}`},
		{status: 200, body: "code\nA\nB\n"},
		{status: 201, body: `{"id":"3","user_id":"ann"}`},
	}}
	c, ctx, key := newClient(t, s), t.Context(), client.WithIdempotencyKey("k")
	job, err := c.CreateCodes(ctx, "2", client.NewCodes{Count: 5, Prefix: "VIP-"}, key)
	if err != nil || job.ID != "95" || job.Total != 5 {
		t.Errorf("got %+v, %v", job, err)
	}
	shared, err := c.ShareCode(ctx, "2", client.SharedCode{Code: "WORD", UsageLimit: 9}, key)
	if err != nil || shared.Code != "WORD" || shared.UsageLimit != 9 {
		t.Errorf("got %+v, %v", shared, err)
	}
	batches, err := c.CodeBatches(ctx, "2", client.PageOptions{Limit: 7})
	if err != nil || len(batches.Data) != 1 || batches.Data[0].Used != 3 {
		t.Errorf("got %+v, %v", batches, err)
	}
	var file strings.Builder
	if err := c.ExportCodes(ctx, "2", &file); err != nil || file.String() != "code\nA\nB\n" {
		t.Errorf("got %q, %v", file.String(), err)
	}
	if _, err := c.Claim(ctx, client.Claim{Code: "a", UserID: "ann"}, key); err != nil {
		t.Error(err)
	}
	want := []string{
		`POST /v1/templates/2/codes k {"count":5,"prefix":"VIP-"}`,
		`POST /v1/templates/2/codes k {"code":"WORD","usage_limit":9}`,
		`GET /v1/templates/2/codes?limit=7  `,
		`GET /v1/templates/2/codes.csv  `,
		`POST /v1/claims k {"code":"a","user_id":"ann"}`,
	}
	if diff := cmp.Diff(want, s.sent()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestAnExportThatIsNotWhole(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]step{
		"torn": {status: 200, body: "code\nA\n", torn: true}, "unanswered": {},
		"refused": {status: 404, body: `{"code":"not_found","detail":"there is no such template"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{steps: []step{first}}
			var file strings.Builder
			err := newClient(t, s).ExportCodes(t.Context(), "2", &file)
			if err == nil || len(s.seen) != 1 {
				t.Errorf("got %v after %d tries", err, len(s.seen))
			}
			if name == "refused" && !client.IsCode(err, client.CodeNotFound) {
				t.Errorf("got %v", err)
			}
			var lost *client.UnansweredError
			if name == "unanswered" && !errors.As(err, &lost) {
				t.Errorf("got %v", err)
			}
		})
	}
}
