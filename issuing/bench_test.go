package issuing_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver of sql.Open

	"scrip/enginetest"
	"scrip/gate"
	"scrip/issuing"
	"scrip/jobs"
	"scrip/models"
	"scrip/store"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m).Run()) }

// BenchmarkDistribution gives a coupon to each of b.N users, and in between adds
// as many rows to the same table by nothing but multi-row inserts:
//
//	go test ./issuing -run '^$' -bench Distribution -benchtime 1000000x
//
// ratio is how many times as fast the distribution is; 0.5 is promised.
func BenchmarkDistribution(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) store.Options{
		"sqlite": func(b *testing.B) store.Options { b.Helper(); return store.Options{DataDir: b.TempDir()} },
		"mysql":  func(b *testing.B) store.Options { b.Helper(); return store.Options{DSN: enginetest.MySQLDSN(b)} },
	} {
		b.Run(name, func(b *testing.B) { benchmarkDistribution(b, open(b)) })
	}
}

const (
	benchRound = 100_000 // users, between two looks at the bare insert
	bareRows   = 1000    // in one statement and transaction, as in a task
)

func benchmarkDistribution(b *testing.B, opts store.Options) {
	b.Helper()
	opts.MaxOpenConns, opts.Patient = 8, true
	st, err := store.Open(b.Context(), opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = st.Close(context.Background()) })
	raw := rawPool(b, opts)
	template := benchTemplate(b, st)
	var bare, ours time.Duration
	for from := 0; from < b.N; from += benchRound {
		n := min(benchRound, b.N-from)
		importUsers(b, st, from, n)
		start := time.Now()
		bareInsert(b, raw, from, n)
		bare += time.Since(start)
		start = time.Now()
		distribute(b, st, template, from, n)
		ours += time.Since(start)
	}
	if _, err := raw.ExecContext(b.Context(), "DELETE FROM coupons WHERE template_id = 1"); err != nil {
		b.Fatal(err)
	}
	if _, broken, err := st.Check(b.Context()); err != nil || len(broken) > 0 {
		b.Errorf("%.1000v, %v", broken, err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(b.N)/ours.Seconds(), "users/s")
	b.ReportMetric(float64(b.N)/bare.Seconds(), "bare-rows/s")
	b.ReportMetric(bare.Seconds()/ours.Seconds(), "ratio")
}

func rawPool(b *testing.B, opts store.Options) *sql.DB {
	b.Helper()
	driver, source := "sqlite", "file:"+filepath.Join(opts.DataDir, store.FileName)+"?_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)&_txlock=immediate"
	if opts.DSN != "" {
		driver, source = "mysql", opts.DSN+"?interpolateParams=true"
		if strings.Contains(opts.DSN, "?") {
			source = opts.DSN + "&interpolateParams=true"
		}
	}
	pool, err := sql.Open(driver, source)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = pool.Close() })
	return pool
}

func benchTemplate(b *testing.B, st *store.Store) models.Template {
	b.Helper()
	op := models.Op{Actor: models.Principal{Role: models.RolePlatform}, At: st.Now()}
	rule, err := st.CreateRule(b.Context(), op, models.Rule{
		Name: "10 off", Kind: models.KindPercentOff, Stacking: models.DefaultStacking(),
		Effect: models.Effect{PercentOffBP: new(int64(1000))},
	})
	if err != nil {
		b.Fatal(err)
	}
	spec := models.TemplateSpec{
		Name: "gift", RuleID: rule.ID, Currency: "USD", PerUserLimit: 1,
		Validity: models.Validity{DaysAfterClaim: new(7)}, ReturnPolicy: models.DefaultReturnPolicy(),
	}
	spec.Normalize()
	made, err := st.CreateTemplate(b.Context(), op, "", spec)
	if err == nil {
		made, err = st.MoveTemplate(b.Context(), op, made.ID, models.ActionPublish)
	}
	if err != nil {
		b.Fatal(err)
	}
	return made
}

func userName(i int) string { return fmt.Sprintf("user-%08d", i) }

func importUsers(b *testing.B, st *store.Store, from, n int) {
	b.Helper()
	op := models.Op{Actor: models.Principal{Role: models.RolePlatform}, At: st.Now()}
	for at := from; at < from+n; at += bareRows {
		var users []models.User
		for i := at; i < min(at+bareRows, from+n); i++ {
			users = append(users, models.User{UserID: userName(i), Tags: []string{fmt.Sprint("round", from)}})
		}
		if err := st.ImportUsers(b.Context(), op, "", users); err != nil {
			b.Fatal(err)
		}
	}
}

// bareInsert adds coupons as a program would that does nothing else.
func bareInsert(b *testing.B, raw *sql.DB, from, n int) {
	b.Helper()
	const row = ",(?,?,?,1,?,1,?,'available',1,2,1)"
	for at := from; at < from+n; at += bareRows {
		var args []any
		for i := at; i < min(at+bareRows, from+n); i++ {
			args = append(args, i+1, models.NewCode(), 1, userName(i), i+1)
		}
		_, err := raw.ExecContext(b.Context(), `INSERT INTO coupons (id, code, template_id, rule_version, user_id, user_seq, issue_no,
			status, valid_from, expires_at, claimed_at) VALUES `+strings.Repeat(row, len(args)/5)[1:], args...)
		if err != nil {
			b.Fatal(err)
		}
	}
}

// distribute runs a distribution to the users of a round to its end.
func distribute(b *testing.B, st *store.Store, template models.Template, from, n int) {
	b.Helper()
	quiet := slog.New(slog.DiscardHandler)
	do := &issuing.Distributions{Store: st, Gate: gate.NewMemory(time.Now), Log: quiet}
	op := models.Op{Actor: models.Principal{Role: models.RolePlatform}, At: st.Now()}
	d, err := st.CreateDistribution(b.Context(), op, models.Distribution{
		TemplateID: template.ID, Audience: models.Audience{Kind: models.AudienceTags, Tags: []string{fmt.Sprint("round", from)}},
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	worker := &jobs.Worker{Store: st, Owner: "bench", Kinds: jobs.Kinds{models.JobDistribution: do.Do}}
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for {
				job, err := st.Job(b.Context(), op.Actor, d.ID)
				if err != nil || job.Finished() {
					return
				}
				if _, _, err := worker.Step(b.Context()); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	if job, err := st.Job(b.Context(), op.Actor, d.ID); err != nil || job.Done != int64(n) || job.Failed > 0 {
		b.Fatalf("%+v, %v", job, err)
	}
}
