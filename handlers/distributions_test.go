package handlers

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scrip/models"
)

func (f *fake) CreateDistribution(
	_ context.Context, op models.Op, d models.Distribution, listed iter.Seq2[string, error],
) (models.Distribution, error) {
	return commit(f, op, func() (models.Distribution, error) {
		var users []string
		for range 2 { // as when a deadlock makes the store start over
			users = nil
			if listed == nil {
				break
			}
			for user, err := range listed {
				if err != nil {
					return d, err
				}
				users = append(users, user)
			}
		}
		f.args["distribution"], f.args["users"] = d, users
		d.ID, d.Kind, d.State, d.Audience.UserIDs = 91, models.JobDistribution, models.JobQueued, nil
		d.Total = int64(len(users))
		return d, nil
	})
}

func (f *fake) Distribution(context.Context, models.Principal, models.ID) (models.Distribution, error) {
	return models.Distribution{Job: f.job, TemplateID: 21, Audience: models.Audience{Kind: models.AudienceAll}}, f.refusal
}

func (f *fake) Distributions(_ context.Context, _ models.Principal, page models.Page) ([]models.Distribution, error) {
	return list(f, page, func(id models.ID) models.Distribution {
		d := models.Distribution{Job: f.job, TemplateID: 21}
		d.ID = id
		return d
	})
}

func (f *fake) MoveDistribution(
	_ context.Context, op models.Op, _ models.ID, action models.JobAction,
) (models.Distribution, error) {
	return commit(f, op, func() (models.Distribution, error) {
		if !action.Leaves(f.job.State) {
			return models.Distribution{}, models.Refuse(models.CodeWrongState, "it is %s", f.job.State)
		}
		f.job.State = action.Arrived()[0]
		return models.Distribution{Job: f.job, TemplateID: 21}, nil
	})
}

func (f *fake) Failures(context.Context, models.ID) iter.Seq2[models.DeliveryFailure, error] {
	return func(yield func(models.DeliveryFailure, error) bool) {
		for _, one := range f.failures {
			if !yield(one, nil) {
				return
			}
		}
		if f.broken != nil {
			yield(models.DeliveryFailure{}, f.broken)
		}
	}
}

func TestADistributionIsCheckedFieldByField(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(t, f, platform())
	for body, want := range map[string][]string{
		`{}`: {"template_id", "audience.kind"},
		`{"template_id":"1","pack_id":"2","audience":{"kind":"all"}}`:          {"pack_id"},
		`{"template_id":"1","audience":{"kind":"users"}}`:                      {"audience.user_ids"},
		`{"template_id":"1","audience":{"kind":"users","user_ids":["a","a"]}}`: {"audience.user_ids"},
		`{"template_id":"1","audience":{"kind":"tags"},"rate":0}`:              {"rate", "audience.tags"},
		`{"template_id":"1","audience":{"kind":"all"},"users":["a"]}`:          {"users"},
		`{"template_id":"1","audience":{"kind":"all"},"notify":"yes"}`:         {"notify"},
		`{"template_id":"1","audience":{"kind":"all"},"notify":{"text":"x"}}`:  {"notify.text"},
		`{"template_id":"1","audience":{"kind":"all"},"notify":{"title":"x"}}`: {"notify.body"},
	} {
		p := problemOf(t, call(h, request{method: "POST", path: "/v1/distributions", body: body}))
		if diff := cmp.Diff(want, p.fields()); diff != "" || p.Status != 422 {
			t.Errorf("%s: %d %s", body, p.Status, diff)
		}
	}
	if f.changes > 0 {
		t.Errorf("%d changes", f.changes)
	}
}

func TestANoticeMayBeLeftToUs(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(t, f, platform())
	for notify, title := range map[string]string{
		`true`: "You have a new coupon", `{"title":"Hi","body":"There"}`: "Hi", `false`: "", `null`: "",
	} {
		for _, r := range []request{
			{method: "POST", path: "/v1/distributions", body: `{"template_id":"21","audience":{"kind":"all"},"notify":` + notify + `}`},
			{method: "POST", path: "/v1/distributions/import?template_id=21&notify=" + url.QueryEscape(notify), body: "user_id\nann\n"},
		} {
			if w := call(h, r); w.Code != 202 {
				t.Fatalf("%s: %d %s", notify, w.Code, w.Body)
			}
			notice := f.arg("distribution").(models.Distribution).Notice //nolint:forcetypeassert // else it panics as it should
			switch {
			case title == "" && notice != nil:
				t.Errorf("%s: %s tells %+v", r.path, notify, notice)
			case title != "" && (notice == nil || notice.Title != title || !notice.Has(models.ChannelInbox)):
				t.Errorf("%s: %s tells %+v", r.path, notify, notice)
			}
		}
	}
	for _, pack := range []models.ID{0, 7} { // our own words pass our own check
		d, faults := models.Distribution{PackID: pack, Notice: new(models.GiftNotice(pack != 0))}, models.NewFaults()
		d.CheckNotice(faults, []models.Channel{models.ChannelInbox})
		if err := faults.Err(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheNoticeOfAnImportIsCheckedAsInABody(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(t, f, platform())
	for notify, want := range map[string][]string{
		`yes`:                                  {"notify"},
		`"yes"`:                                {"notify"},
		`7`:                                    {"notify"},
		`{"title":"x"`:                         {"notify"},
		`true,"rate":1`:                        {"notify"},
		`true}`:                                {"notify"},
		`true true`:                            {"notify"},
		"\"\xff\"":                             {"notify"},
		`{"text":"x"}`:                         {"notify.text"},
		`{"title":"x"}`:                        {"notify.body"},
		`{"title":"{pack.name}","body":"x"}`:   {"notify.title"},
		`{"title":"x","title":"y","body":"z"}`: {"notify.title"},
		`{"channels":["inbox","mail"],"title":"x","body":"x"}`:    {"notify.channels[1]"},
		`{"locales":{"de":{"title":"x"}},"title":"x","body":"x"}`: {"notify.locales.de.body"},
	} {
		path := "/v1/distributions/import?template_id=1&notify=" + url.QueryEscape(notify)
		p := problemOf(t, call(h, request{method: "POST", path: path, body: "user_id\nann\n"}))
		if diff := cmp.Diff(want, p.fields()); diff != "" || p.Status != 422 {
			t.Errorf("%s: %d %s", notify, p.Status, diff)
		}
	}
	if f.changes > 0 {
		t.Errorf("%d changes", f.changes)
	}
}

func TestADistributionsUsersComeAsAListOrAFile(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(t, f, merchant())
	list := `{"template_id":"21","rate":50,"audience":{"kind":"users","user_ids":["bob","ann"]}}`
	if w := call(h, request{method: "POST", path: "/v1/distributions", body: list}); w.Code != 202 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if got := f.arg("users").([]string); !slices.Equal(got, []string{"bob", "ann"}) { //nolint:forcetypeassert // else it panics as it should
		t.Errorf("listed %v", got)
	}
	var csv strings.Builder
	csv.WriteString("user_id\n")
	for range 30_000 { // beyond the limit of other bodies
		csv.WriteString("ann\n")
	}
	w := call(h, request{method: "POST", path: "/v1/distributions/import?pack_id=95&rate=7", body: csv.String()})
	d := f.arg("distribution").(models.Distribution) //nolint:forcetypeassert // the same
	if w.Code != 202 || d.PackID != 95 || d.TemplateID != 0 || *d.Rate != 7 || d.Audience.Kind != models.AudienceUsers {
		t.Errorf("got %d %s, asked for %+v", w.Code, w.Body, d)
	}
	if n := len(f.arg("users").([]string)); n != 30_000 { //nolint:forcetypeassert // the same
		t.Errorf("%d users", n)
	}
	f.changes = 0
	for query, body := range map[string]string{
		"": "user_id\nann\n", "?template_id=x": "user_id\nann\n", "?template_id=1&rate=0": "user_id\nann\n",
		"?template_id=1": "user_id\n", "?template_id=2": "user_id\nann\n a\x01\n", "?template_id=3": "user_id,tags\nann,\n",
	} {
		if w := call(h, request{method: "POST", path: "/v1/distributions/import" + query, body: body}); w.Code != 422 || f.changes > 0 {
			t.Errorf("%s %q: got %d %s", query, body, w.Code, w.Body)
		}
	}
}

func TestFailuresAreAWholeFileOrNone(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.failures = []models.DeliveryFailure{{UserID: "a,b", Code: models.CodeSoldOut, Detail: "every coupon is claimed"}}
	h := serve(t, f, merchant())
	path := "/v1/distributions/91/failures.csv"
	w := call(h, request{method: "GET", path: path})
	if want := "user_id,code,detail\n\"a,b\",sold_out,every coupon is claimed\n"; w.Body.String() != want {
		t.Errorf("got %q", w.Body)
	}
	f.broken = errors.New("the database is away")
	if w := call(h, request{method: "GET", path: path}); w.Code != 500 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	for range 1000 {
		f.failures = append(f.failures, f.failures[0])
	}
	defer func() {
		if recover() == nil {
			t.Error("a part of it passes for the whole")
		}
	}()
	call(h, request{method: "GET", path: path})
}
