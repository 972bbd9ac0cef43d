package store_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"scrip/models"
	"scrip/store"
)

// byCodes makes an active template that is issued by codes.
func (f fixture) byCodes(t *testing.T, actor models.Principal, limit int64) *models.Template {
	t.Helper()
	s := spec(f.rule(t, actor).ID, nil, limit)
	s.Issue = models.IssueCode
	draft := must(f.CreateTemplate(t.Context(), f.op(actor), actor.MerchantID, s))(t)
	active := must(f.MoveTemplate(t.Context(), f.op(actor), draft.ID, models.ActionPublish))(t)
	return &active
}

// hashOf stands for the keyed hash.
func hashOf(code string) models.CodeHash {
	sum := sha256.Sum256([]byte(code))
	return models.CodeHash(sum[:16])
}

func defaults() models.CodePattern {
	p := models.CodePattern{}
	p.Normalize()
	return p
}

// batch makes a job of codes, so many in a task.
func (f fixture) batch(t *testing.T, template *models.Template, count, perTask int64) models.Job {
	t.Helper()
	return must(f.CreateCodes(t.Context(), f.op(platform()), template.ID, count, defaults(), perTask))(t)
}

// make does one task of a job, with these codes.
func (f fixture) makeCodes(t *testing.T, job models.Job, codes ...string) error {
	t.Helper()
	task := lease(t, f.Store, job, "w")
	return f.MakeCodes(t.Context(), &task, chunkOf(task, codes...))
}

func chunkOf(task models.Task, codes ...string) models.CodeChunk {
	chunk := models.CodeChunk{Batch: task.JobID, Seq: task.Seq, Sealed: []byte(strings.Join(codes, "\n"))}
	for _, code := range codes {
		chunk.Hashes = append(chunk.Hashes, hashOf(code))
	}
	return chunk
}

// share makes "word" a shared code.
func (f fixture) share(t *testing.T, template *models.Template, limit int64) {
	t.Helper()
	seal := func(models.ID) []byte { return []byte("word") }
	must(f.CreateSharedCode(t.Context(), f.op(platform()), template.ID, limit, hashOf("word"), seal))(t)
}

// claimBy is a user's wish by a code.
func (f fixture) claimBy(t *testing.T, template *models.Template, user, code string) models.Claim {
	t.Helper()
	c := f.claim(t, template, user)
	c.By = new(hashOf(code))
	return c
}

func TestCodesAreMadeTaskByTask(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx, tpl := t.Context(), f.byCodes(t, platform(), 1)
		job := f.batch(t, tpl, 6, 2)
		f.wantJob(t, job.ID, models.JobQueued, 0, 6, 0)
		if err := f.makeCodes(t, job, "a", "b"); err != nil {
			t.Fatal(err)
		}
		f.sound(t)

		task := lease(t, f.Store, job, "w")
		for _, taken := range []models.CodeChunk{chunkOf(task, "c", "b"), chunkOf(task, "c", "c")} {
			if err := f.MakeCodes(ctx, &task, taken); !errors.Is(err, models.ErrCodeTaken) {
				t.Errorf("a code was made twice: %v", err)
			}
		}
		f.wantJob(t, job.ID, models.JobRunning, 2, 6, 0)
		if err := f.MakeCodes(ctx, &task, chunkOf(task, "c", "d")); err != nil {
			t.Fatal(err)
		}
		if err := f.MakeCodes(ctx, &task, chunkOf(task, "x", "y")); !errors.Is(err, models.ErrLeaseLost) {
			t.Errorf("a task was done twice: %v", err)
		}
		if err := f.makeCodes(t, job, "e", "f"); err != nil {
			t.Fatal(err)
		}
		f.wantJob(t, job.ID, models.JobDone, 6, 6, 0)
		f.share(t, tpl, 3)
		f.sound(t)

		batches := must(f.CodeBatches(ctx, platform(), tpl.ID, models.Page{Limit: 10}))(t)
		if len(batches) != 2 || batches[1].ID != job.ID || batches[1].Count != 6 || *batches[1].Pattern != defaults() ||
			batches[0].Pattern != nil || string(batches[0].Sealed) != "word" || batches[0].UsageLimit != 3 {
			t.Errorf("got %+v", batches)
		}
		var shown []string
		for after := int64(0); after < 3; {
			chunks := must(f.CodeChunks(ctx, job.ID, after, 1))(t)
			if len(chunks) != 1 {
				t.Fatalf("after chunk %d there are %d", after, len(chunks))
			}
			shown, after = append(shown, string(chunks[0].Sealed)), chunks[0].Seq
		}
		if got := len(strings.Split(strings.Join(shown, "\n"), "\n")); got != 6 {
			t.Errorf("shown are %q", shown)
		}
		if n := must(f.CountCodes(ctx, job.ID, []models.CodeHash{hashOf("a"), hashOf("b"), hashOf("word"), hashOf("z")}))(t); n != 2 {
			t.Errorf("counted %d", n)
		}
	})
}

func TestWhoMayMakeCodesOfWhat(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		own, plain := f.byCodes(t, merchant("m1"), 1), f.template(t, nil, 1)
		ended := f.byCodes(t, platform(), 1)
		must(f.MoveTemplate(ctx, f.op(platform()), ended.ID, models.ActionEnd))(t)
		both := func(actor models.Principal, template models.ID, code models.Code) {
			t.Helper()
			_, err := f.CreateCodes(ctx, f.op(actor), template, 5, defaults(), 5)
			wantCode(t, err, code)
			_, err = f.CreateSharedCode(ctx, f.op(actor), template, 5, hashOf("w"), func(models.ID) []byte { return []byte("w") })
			wantCode(t, err, code)
		}
		both(merchant("m2"), own.ID, models.CodeNotFound)
		both(platform(), 1, models.CodeNotFound)
		both(platform(), plain.ID, models.CodeWrongState)
		both(platform(), ended.ID, models.CodeWrongState)
		_, err := f.CodeBatches(ctx, merchant("m2"), own.ID, models.Page{Limit: 1})
		wantCode(t, err, models.CodeNotFound)
		wantCode(t, f.ExportCodes(ctx, f.op(merchant("m2")), own.ID), models.CodeNotFound)

		must(f.CreateCodes(ctx, f.op(merchant("m1")), own.ID, 5, defaults(), 5))(t)
		f.share(t, own, 5)
		if err := f.ExportCodes(ctx, f.op(merchant("m1")), own.ID); err != nil {
			t.Error(err)
		}
		_, err = f.CreateSharedCode(ctx, f.op(platform()), f.byCodes(t, platform(), 1).ID, 9, hashOf("word"), func(models.ID) []byte { return []byte("x") })
		wantCode(t, err, models.CodeNotUnique)
		var actions []string
		for _, entry := range must(f.Audit(ctx, merchant("m1"), models.AuditFilter{Resource: "template"}, models.Page{Limit: 10}))(t) {
			actions = append(actions, entry.Action)
		}
		for _, want := range []string{"codes.create", "codes.share", "codes.export"} {
			if !slices.Contains(actions, want) {
				t.Errorf("%s is not in the audit log: %v", want, actions)
			}
		}
		f.sound(t)
	})
}

func TestScarceCodesAreRefusedWithThoseIssuedBefore(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.byCodes(t, platform(), 1)
		create := func(prefix string, count int64) error {
			p := models.CodePattern{Prefix: prefix, Length: 8}
			p.Normalize()
			_, err := f.CreateCodes(t.Context(), f.op(platform()), tpl.ID, count, p, 2000)
			return err
		}
		if err := create("ol-1", 2000); err != nil {
			t.Error(err)
		}
		wantCode(t, create("0I-L", 1000), models.CodeInvalid) // the same to whoever types it
		for _, fits := range []int64{900, 71} {
			if err := create("OLI", fits); err != nil {
				t.Error(err)
			}
		}
		wantCode(t, create("OLI", 1), models.CodeInvalid)
		if err := create("OLI-X", 1000); err != nil {
			t.Errorf("of another prefix: %v", err)
		}
	})
}

func TestATemplateWithCodesStaysIssuedByThem(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		s := spec(f.rule(t, platform()).ID, nil, 1)
		s.Issue = models.IssueCode
		draft := must(f.CreateTemplate(ctx, f.op(platform()), "", s))(t)
		f.share(t, &draft, 1)
		edit := func(t *models.Template) error { t.Issue = models.IssueClaim; return nil }
		_, err := f.EditTemplate(ctx, f.op(platform()), draft.ID, draft.Version, edit)
		wantCode(t, err, models.CodeWrongState)
	})
}

func TestClaimsByCode(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx, tpl := t.Context(), f.byCodes(t, platform(), 2)
		job := f.batch(t, tpl, 3, 3)
		if err := f.makeCodes(t, job, "a", "b", "c"); err != nil {
			t.Fatal(err)
		}
		f.share(t, tpl, 3)
		verdicts := must(f.CommitClaims(ctx, []models.Claim{
			f.claimBy(t, tpl, "ann", "a"),
			f.claimBy(t, tpl, "bob", "a"), // the loser of a race comes again, and then knows
			f.claimBy(t, tpl, "bob", "b"),
			f.claimBy(t, tpl, "cid", "word"),
			f.claimBy(t, tpl, "ann", "word"),
			f.claimBy(t, tpl, "ann", "c"), // has two
			f.claimBy(t, tpl, "dan", "nonsense"),
			f.claimBy(t, tpl, "dan", "word"),
			f.claimBy(t, tpl, "eve", "word"),
		}))(t)
		for i, want := range []string{"coupon", "stale", "coupon", "coupon", "coupon", "refused", "stale", "coupon", "stale"} {
			v := verdicts[i]
			got := map[bool]string{v.Coupon != nil: "coupon", v.Stale: "stale", v.Refused != nil: "refused"}[true]
			if got != want {
				t.Errorf("claim %d: %s, want %s", i, got, want)
			}
		}
		look := func(code, user string) models.CodeLookup {
			return must(f.LookUpCode(ctx, hashOf(code), user))(t)
		}
		if got := look("a", "ann"); got.TemplateID != tpl.ID || got.Used != 1 || got.UsageLimit != 1 || !slices.Equal(got.Own, []models.ID{verdicts[0].Coupon.ID}) {
			t.Errorf("got %+v", got)
		}
		if got := look("a", "bob"); got.Used != 1 || len(got.Own) != 0 {
			t.Errorf("got %+v", got)
		}
		if got := look("word", "ann"); got.Used != 3 || got.UsageLimit != 3 || !slices.Equal(got.Own, []models.ID{verdicts[4].Coupon.ID}) {
			t.Errorf("got %+v", got)
		}
		if got := look("nonsense", "ann"); got.TemplateID != 0 || len(got.Own) != 0 {
			t.Errorf("got %+v", got)
		}
		batches := must(f.CodeBatches(ctx, platform(), tpl.ID, models.Page{Limit: 10}))(t)
		if batches[0].Used != 3 || batches[1].Used != 2 {
			t.Errorf("got %+v", batches)
		}
		f.sound(t)
	})
}

func TestASharedCodeServesAsOftenAsItMay_Race(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		tpl := f.byCodes(t, platform(), 1)
		const limit, users = 25, 60
		f.share(t, tpl, limit)
		stores := []*store.Store{f.Store, f.another(t)}
		var coupons atomic.Int64
		var contenders sync.WaitGroup
		for i := range users {
			claim := f.claimBy(t, tpl, fmt.Sprint("user", i), "word")
			contenders.Go(func() {
				verdicts, err := stores[i%2].CommitClaims(t.Context(), []models.Claim{claim})
				switch {
				case err != nil:
					t.Error(err)
				case verdicts[0].Coupon != nil:
					coupons.Add(1)
				case !verdicts[0].Stale:
					t.Errorf("got %+v", verdicts[0])
				}
			})
		}
		contenders.Wait()
		if n := coupons.Load(); n != limit {
			t.Errorf("%d coupons by a code for %d", n, limit)
		}
		f.sound(t)
	})
}

func TestTheFirstCodeKeyIsKept(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		if _, found, err := f.CodeKey(ctx); found || err != nil {
			t.Errorf("there is one already: %v", err)
		}
		first, second := models.CodeKey{Text: []byte("one")}, models.CodeKey{Wrapped: true, Text: []byte("two")}
		want := func(want models.CodeKey) {
			t.Helper()
			got, found, err := f.CodeKey(ctx)
			if !found || err != nil || got.Wrapped != want.Wrapped || string(got.Text) != string(want.Text) {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		}
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		do(f.KeepCodeKey(ctx, first))
		do(f.KeepCodeKey(ctx, second))
		want(first)
		do(f.RewrapCodeKey(ctx, second, second)) // somebody else was faster
		want(first)
		do(f.RewrapCodeKey(ctx, first, second))
		want(second)
	})
}

func TestACheckFindsWhatIsWrongWithCodes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, f fixture) {
		ctx, tpl := t.Context(), f.byCodes(t, platform(), 1)
		job := f.batch(t, tpl, 2, 2)
		if err := f.makeCodes(t, job, "a", "b"); err != nil {
			t.Fatal(err)
		}
		other := f.byCodes(t, platform(), 1)
		f.share(t, other, 3)
		must(f.CommitClaims(ctx, []models.Claim{f.claimBy(t, tpl, "ann", "a"), f.claimBy(t, other, "bob", "word")}))(t)
		f.sound(t)
		for _, c := range []struct{ sabotage, repair, want string }{
			{"UPDATE code_batches SET used = used - 1 WHERE sealed IS NULL", "UPDATE code_batches SET used = used + 1 WHERE sealed IS NULL", "used as often as they"},
			{"UPDATE jobs SET done = done - 1", "UPDATE jobs SET done = done + 1", "as many as its job has made"},
			{"UPDATE code_batches SET total = total + 1 WHERE sealed IS NULL", "UPDATE code_batches SET total = total - 1 WHERE sealed IS NULL", "a job of its size"},
			{"UPDATE code_chunks SET codes = codes - 1", "UPDATE code_chunks SET codes = codes + 1", "sealed, for the export"},
			{"UPDATE codes SET usage_limit = usage_limit + 1", "UPDATE codes SET usage_limit = usage_limit - 1", "serves more often"},
			{"UPDATE codes SET used = used + 1 WHERE usage_limit = 3", "UPDATE codes SET used = used - 1 WHERE usage_limit = 3", "once for each coupon"},
			{"UPDATE codes SET used = 1 WHERE used = 0", "UPDATE codes SET used = 0 WHERE used = 1 AND hash NOT IN (SELECT hash FROM code_uses)", "all uses of codes"},
			{"UPDATE coupons SET template_id = -template_id", "UPDATE coupons SET template_id = -template_id", "a coupon of its template"},
			{"DELETE FROM code_uses", "", "was claimed by one"},
		} {
			if err := f.Exec(ctx, c.sabotage); err != nil {
				t.Fatalf("%s: %v", c.sabotage, err)
			}
			_, broken, err := f.Check(ctx)
			seen := slices.ContainsFunc(broken, func(v store.Violation) bool { return strings.Contains(v.Invariant, c.want) })
			if err != nil || !seen {
				t.Errorf("%s: not seen as %q but as %v (%v)", c.sabotage, c.want, broken, err)
			}
			if c.repair == "" {
				continue
			}
			if err := f.Exec(ctx, c.repair); err != nil {
				t.Fatalf("%s: %v", c.repair, err)
			}
			f.sound(t)
		}
		for _, forbidden := range []string{
			"UPDATE codes SET used = 2 WHERE usage_limit = 1", "UPDATE codes SET used = -1", "UPDATE code_batches SET used = 5 WHERE sealed IS NULL",
			"UPDATE code_batches SET sealed = NULL WHERE sealed IS NOT NULL", "UPDATE code_keys SET id = 2",
		} {
			if strings.Contains(forbidden, "code_keys") {
				if err := f.KeepCodeKey(ctx, models.CodeKey{Text: []byte("k")}); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Exec(ctx, forbidden); err == nil {
				t.Errorf("the database itself lets pass: %s", forbidden)
			}
		}
	})
}
