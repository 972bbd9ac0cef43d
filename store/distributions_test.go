package store_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"scrip/models"
)

func listed(users ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, user := range users {
			if !yield(user, nil) {
				return
			}
		}
	}
}

func numbered(n int) []string {
	users := make([]string, n)
	for i := range users {
		users[i] = fmt.Sprintf("user%05d", i)
	}
	return users
}

// distribute does all tasks of a distribution with claims as the service makes
// them, and returns how many coupons were given.
func (f fixture) distribute(t *testing.T, d models.Distribution, template *models.Template) (given int) {
	t.Helper()
	for {
		tasks := must(f.LeaseTasks(t.Context(), &d.Job, "w", 1, time.Minute))(t)
		if len(tasks) == 0 {
			return given
		}
		task := tasks[0]
		users := must(f.TaskUsers(&task))(t)
		if users == nil {
			if err := f.FindAudience(t.Context(), &task, &d, 1); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for _, v := range f.deliver(t, &task, template, users) {
			if v.Coupon != nil {
				given++
			}
		}
	}
}

func (f fixture) deliver(t *testing.T, task *models.Task, template *models.Template, users []string) []models.Verdict {
	t.Helper()
	slices.Sort(users)
	var batch []models.Claim
	for _, user := range slices.Compact(users) {
		c := f.claim(t, template, user)
		c.New = true
		batch = append(batch, c)
	}
	return must(f.Deliver(t.Context(), task, batch))(t)
}

func (f fixture) distribution(t *testing.T, d models.Distribution, users iter.Seq2[string, error]) models.Distribution {
	t.Helper()
	return must(f.CreateDistribution(t.Context(), f.op(platform()), d, users))(t)
}

func (f fixture) failures(t *testing.T, d models.Distribution) map[string]models.Code {
	t.Helper()
	found := map[string]models.Code{}
	for one, err := range f.Failures(t.Context(), d.ID) {
		if err != nil {
			t.Fatal(err)
		}
		found[one.UserID] = one.Code
	}
	return found
}

func TestAnAudienceIsServedOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		const users = 2345
		batch := make([]models.User, users)
		for i, id := range numbered(users) {
			batch[i] = models.User{UserID: id, Tags: []string{fmt.Sprint("tag", i%3), fmt.Sprint("tag", i%5)}}
			batch[i].Tags = slices.Compact(batch[i].Tags)
		}
		if err := f.ImportUsers(t.Context(), f.op(platform()), "", batch); err != nil {
			t.Fatal(err)
		}
		if err := f.ImportUsers(t.Context(), f.op(platform()), "m1", []models.User{{UserID: "foreign", Tags: []string{"tag1"}}}); err != nil {
			t.Fatal(err)
		}
		tagged := 0
		for i := range users {
			if i%3 == 1 || i%5 == 1 || i%5 == 4 {
				tagged++
			}
		}
		for _, c := range []struct {
			audience models.Audience
			want     int
		}{
			{models.Audience{Kind: models.AudienceAll}, users},
			{models.Audience{Kind: models.AudienceTags, Tags: []string{"tag1", "tag4"}}, tagged},
			{models.Audience{Kind: models.AudienceTags, Tags: []string{"nobody's"}}, 0},
		} {
			template := f.template(t, nil, 1)
			d := f.distribution(t, models.Distribution{TemplateID: template.ID, Audience: c.audience}, nil)
			if n := f.distribute(t, d, template); n != c.want {
				t.Errorf("%v: %d got one, want %d", c.audience, n, c.want)
			}
			f.wantJob(t, d.ID, models.JobDone, int64(c.want), int64(c.want), 0)
		}
		f.sound(t)
	})
}

func TestWhoIsNamedTwiceGetsOne(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		template := f.template(t, nil, 5)
		names := append(numbered(1500), append(numbered(300), "user00001", "user00001", "late")...)
		d := f.distribution(t, models.Distribution{TemplateID: template.ID, Audience: models.Audience{Kind: models.AudienceUsers}}, listed(names...))
		if n := f.distribute(t, d, template); n != 1501 {
			t.Errorf("%d got one", n)
		}
		f.wantJob(t, d.ID, models.JobDone, int64(len(names)), int64(len(names)), 0)
		again := f.distribution(t, models.Distribution{TemplateID: template.ID, Audience: models.Audience{Kind: models.AudienceUsers}}, listed("late"))
		if n := f.distribute(t, again, template); n != 1 {
			t.Errorf("another distribution gave %d", n)
		}
		f.sound(t)
	})
}

func TestWhoCannotBeServedIsSetAside(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		template := f.template(t, new(int64(20)), 1)
		f.commit(t, f.claim(t, template, "user00003"))
		poison := `CREATE TRIGGER poison BEFORE INSERT ON coupons FOR EACH ROW
			BEGIN IF NEW.user_id IN ('user00007', 'user00011') THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'poison'; END IF; END`
		if f.Name() == "sqlite" {
			poison = `CREATE TRIGGER poison BEFORE INSERT ON coupons WHEN NEW.user_id IN ('user00007', 'user00011')
				BEGIN SELECT RAISE(ABORT, 'poison'); END`
		}
		if err := f.Exec(ctx, poison); err != nil {
			t.Fatal(err)
		}
		d := f.distribution(t, models.Distribution{TemplateID: template.ID, Audience: models.Audience{Kind: models.AudienceUsers}}, listed(numbered(25)...))
		if n := f.distribute(t, d, template); n != 19 {
			t.Errorf("%d got one", n)
		}
		f.wantJob(t, d.ID, models.JobDone, 25, 25, 6)
		failures := f.failures(t, d)
		if failures["user00003"] != models.CodeAlreadyClaimed || failures["user00007"] != models.CodeInternal ||
			failures["user00011"] != models.CodeInternal || failures["user00024"] != models.CodeSoldOut || len(failures) != 6 {
			t.Errorf("got %v", failures)
		}
		f.sound(t)
	})
}

func TestTheUsersOfATaskThatIsGivenUpAreListed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		template := f.template(t, nil, 1)
		d := f.distribution(t, models.Distribution{TemplateID: template.ID, Audience: models.Audience{Kind: models.AudienceUsers}}, listed(numbered(1003)...))
		task := lease(t, f.Store, d.Job, "a")
		if err := f.BuryTask(t.Context(), &task, "it was tried too often"); err != nil {
			t.Fatal(err)
		}
		f.distribute(t, d, template)
		f.wantJob(t, d.ID, models.JobFailed, 1003, 1003, task.Units)
		if failures := f.failures(t, d); int64(len(failures)) != task.Units {
			t.Errorf("%d are listed", len(failures))
		}
		f.sound(t)
	})
}

func TestWhatMayBeDistributed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		create := func(actor models.Principal, d models.Distribution) error {
			_, err := f.CreateDistribution(ctx, f.op(actor), d, listed("ann"))
			return err
		}
		byCode := spec(f.rule(t, platform()).ID, nil, 1)
		byCode.Issue = models.IssueCode
		codes := must(f.CreateTemplate(ctx, f.op(platform()), "", byCode))(t)
		wantCode(t, create(platform(), models.Distribution{TemplateID: codes.ID}), models.CodeWrongState) // a draft
		must(f.MoveTemplate(ctx, f.op(platform()), codes.ID, models.ActionPublish))(t)
		wantCode(t, create(platform(), models.Distribution{TemplateID: codes.ID}), models.CodeWrongState)
		open := f.template(t, nil, 1)
		wantField(t, create(merchant("m1"), models.Distribution{TemplateID: open.ID}), "template_id", models.CodeUnknownRef)
		wantField(t, create(platform(), models.Distribution{PackID: 1}), "pack_id", models.CodeUnknownRef)
		if err := create(platform(), models.Distribution{TemplateID: open.ID}); err != nil {
			t.Error(err)
		}
		if all := must(f.Distributions(ctx, platform(), models.Page{Limit: 9}))(t); len(all) != 1 || all[0].TemplateID != open.ID || all[0].Total != 1 {
			t.Errorf("got %+v", all)
		}
		if none := must(f.Distributions(ctx, merchant("m1"), models.Page{Limit: 9}))(t); len(none) != 0 {
			t.Errorf("another merchant sees %+v", none)
		}
	})
}

// TestTwoDistributionsAndClaims_Race: two distributions of one template with
// users in common, pauses in between, and claims of the same users.
func TestTwoDistributionsAndClaims_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		template := f.template(t, new(int64(700)), 1)
		of := models.Distribution{TemplateID: template.ID, Audience: models.Audience{Kind: models.AudienceUsers}, Job: models.Job{Rate: new(int64(models.MaxRate))}}
		var all sync.WaitGroup
		distributions := []models.Distribution{
			f.distribution(t, of, listed(numbered(600)...)), f.distribution(t, of, listed(numbered(900)[300:]...)),
		}
		for _, d := range distributions {
			for range 2 {
				all.Go(func() {
					for !f.finished(t, d.ID) {
						f.step(t, d, template)
					}
				})
			}
		}
		all.Go(func() {
			for i := range 100 {
				if _, err := f.CommitClaims(t.Context(), []models.Claim{f.claim(t, template, fmt.Sprintf("user%05d", i*9))}); err != nil {
					t.Error(err)
				}
			}
		})
		all.Wait()
		if def := must(f.Definition(t.Context(), template.ID))(t); def.Claimed != 700 {
			t.Errorf("claimed are %d of 700", def.Claimed)
		}
		f.sound(t)
	})
}

func (f fixture) finished(t *testing.T, id models.ID) bool {
	t.Helper()
	j := must(f.Job(t.Context(), platform(), id))(t)
	return j.Finished()
}

// step does a task of a distribution, and now and then pauses it meanwhile.
func (f fixture) step(t *testing.T, d models.Distribution, template *models.Template) {
	t.Helper()
	ctx := t.Context()
	tasks, err := f.LeaseTasks(ctx, &d.Job, "w", 1, time.Minute)
	if err != nil {
		t.Error(err)
	}
	if len(tasks) == 0 {
		return
	}
	task := tasks[0]
	var batch []models.Claim
	for _, user := range must(f.TaskUsers(&task))(t) {
		c := f.claim(t, template, user)
		c.New = true
		batch = append(batch, c)
	}
	_, err = f.Deliver(ctx, &task, batch)
	if err != nil && !errors.Is(err, models.ErrLeaseLost) {
		t.Error(err)
	}
}

func TestWebhooksHearOnceOfWhatIsDistributed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		hook := f.listen(t, platform(), models.EventCouponClaimed, models.EventTemplateSoldOut)
		template := f.template(t, new(int64(5)), 1)
		d := f.distribution(t, models.Distribution{TemplateID: template.ID, Audience: models.Audience{Kind: models.AudienceUsers}}, listed(numbered(7)...))
		f.distribute(t, d, template)
		heard := map[models.EventType]int{}
		for _, one := range f.told(t, hook) {
			heard[one.Event.Type]++
		}
		if heard[models.EventCouponClaimed] != 1 || heard[models.EventTemplateSoldOut] != 1 {
			t.Errorf("heard %v", heard)
		}
	})
}
