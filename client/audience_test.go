package client_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scrip/client"
)

func TestWhatIsSentOfAnAudience(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{answer(200, `{}`)}}
	c := newClient(t, s)
	ctx, key := t.Context(), client.WithIdempotencyKey("k")
	for i, call := range []func() error{
		func() error { _, err := c.PutUser(ctx, "a/b", client.NewUser{Tags: []string{"vip"}}); return err },
		func() error { _, err := c.User(ctx, "a/b"); return err },
		func() error {
			_, err := c.ImportUsers(ctx, client.CSV, strings.NewReader("user_id\nann\n"))
			return err
		},
		func() error { _, err := c.Job(ctx, "7"); return err },
		func() error {
			_, err := c.CreatePack(ctx, client.NewPack{Name: "p", Items: []client.PackItem{{TemplateID: "1", Quantity: 2}}}, key)
			return err
		},
		func() error {
			to := client.Audience{Kind: "tags", Tags: []string{"vip"}}
			_, err := c.CreateDistribution(ctx, client.NewDistribution{TemplateID: "1", Audience: to, Rate: 5}, key)
			return err
		},
		func() error {
			d := client.NewDistribution{TemplateID: "1", Audience: client.Audience{Kind: "all"}, Notify: &client.Notice{
				Channels: []string{"mail"}, NoticeText: client.NoticeText{Title: "t", Body: "b"},
				Locales: map[string]client.NoticeText{"de": {Title: "T", Body: "B"}},
			}}
			_, err := c.CreateDistribution(ctx, d, key)
			return err
		},
		func() error {
			d := client.NewDistribution{PackID: "7", Rate: 5}
			_, err := c.ImportDistribution(ctx, d, strings.NewReader("user_id\nann\n"), key)
			return err
		},
		func() error {
			d := client.NewDistribution{PackID: "7", Notify: &client.Notice{}}
			_, err := c.ImportDistribution(ctx, d, strings.NewReader("user_id\nann\n"), key)
			return err
		},
		func() error {
			d := client.NewDistribution{PackID: "7", Notify: &client.Notice{NoticeText: client.NoticeText{Title: "a&b", Body: "c"}}}
			_, err := c.ImportDistribution(ctx, d, strings.NewReader("user_id\nann\n"), key)
			return err
		},
		func() error { _, err := c.Distribution(ctx, "7"); return err },
		func() error { _, err := c.Distributions(ctx, client.PageOptions{}); return err },
		func() error { _, err := c.PauseDistribution(ctx, "7", key); return err },
		func() error { _, err := c.ResumeDistribution(ctx, "7", key); return err },
		func() error { _, err := c.CancelDistribution(ctx, "7", key); return err },
		func() error { _, err := c.Pack(ctx, "7"); return err },
		func() error { _, err := c.Packs(ctx, client.PageOptions{Limit: 7}); return err },
		func() error {
			_, err := c.ClaimPack(ctx, client.PackClaim{PackID: "7", UserID: "ann"}, key)
			return err
		},
	} {
		if err := call(); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	want := []string{
		`PUT /v1/users/a%2Fb  {"tags":["vip"]}`,
		`GET /v1/users/a%2Fb  `,
		"POST /v1/users/import  user_id\nann\n",
		`GET /v1/jobs/7  `,
		`POST /v1/packs k {"name":"p","items":[{"template_id":"1","quantity":2}]}`,
		`POST /v1/distributions k {"template_id":"1","audience":{"kind":"tags","tags":["vip"]},"rate":5}`,
		`POST /v1/distributions k {"template_id":"1","audience":{"kind":"all"},"notify":{"channels":["mail"],"title":"t","body":"b",` +
			`"locales":{"de":{"title":"T","body":"B"}}}}`,
		"POST /v1/distributions/import?pack_id=7&rate=5 k user_id\nann\n",
		"POST /v1/distributions/import?notify=true&pack_id=7 k user_id\nann\n",
		"POST /v1/distributions/import?notify=%7B%22title%22%3A%22a%5Cu0026b%22%2C%22body%22%3A%22c%22%7D&pack_id=7 k user_id\nann\n",
		`GET /v1/distributions/7  `,
		`GET /v1/distributions  `,
		`POST /v1/distributions/7/pause k `,
		`POST /v1/distributions/7/resume k `,
		`POST /v1/distributions/7/cancel k `,
		`GET /v1/packs/7  `,
		`GET /v1/packs?limit=7  `,
		`POST /v1/claims k {"pack_id":"7","user_id":"ann"}`,
	}
	if diff := cmp.Diff(want, s.sent()); diff != "" {
		t.Error(diff)
	}
}
