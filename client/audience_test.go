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
	ctx := t.Context()
	for i, call := range []func() error{
		func() error { _, err := c.PutUser(ctx, "a/b", client.NewUser{Tags: []string{"vip"}}); return err },
		func() error { _, err := c.User(ctx, "a/b"); return err },
		func() error {
			_, err := c.ImportUsers(ctx, client.CSV, strings.NewReader("user_id\nann\n"))
			return err
		},
		func() error { _, err := c.Job(ctx, "7"); return err },
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
	}
	if diff := cmp.Diff(want, s.sent()); diff != "" {
		t.Error(diff)
	}
}
