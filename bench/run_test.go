package bench_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"scrip/bench"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small is a sale that takes no time.
func small(url string) bench.Options {
	o := bench.Defaults()
	o.URL, o.Key = url, "sk_test"
	o.Users, o.Stock, o.Concurrency = 400, 100, 16
	o.Doubles, o.Retries = 0.3, 0.2
	o.Timeout, o.Patience = 10*time.Second, 20*time.Second
	return o
}

func hold(t *testing.T, o bench.Options) (bench.Report, string) {
	t.Helper()
	var out bytes.Buffer
	report, err := bench.Run(t.Context(), o, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return report, out.String()
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return lines[len(lines)-1]
}

func TestAnHonestServerPasses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		flaws  flaws
		back   time.Duration
		change func(*bench.Options)
		check  func(t *testing.T, r bench.Report)
	}{
		"in peace": {check: func(t *testing.T, r bench.Report) {
			t.Helper()
			if r.Decided != r.Presses || r.Presses < 550 || r.Presses > 650 {
				t.Errorf("%d of %d presses decided; 400 users, 120 doubles and 80 retries were asked for", r.Decided, r.Presses)
			}
			if n := answers(r, "201"); n != 100 {
				t.Errorf("%d coupons granted anew, want 100", n)
			}
			if answers(r, "201 (replayed)") == 0 || answers(r, "409 already_claimed") == 0 || answers(r, "409 sold_out (replayed)") == 0 {
				t.Errorf("no retries or no doubles among %v", r.Answers)
			}
		}},
		"at a rate": {change: func(o *bench.Options) { o.Rate = 2000 }, check: func(t *testing.T, r bench.Report) {
			t.Helper()
			if least := time.Duration(r.Presses-1) * time.Second / 2000; r.Elapsed < least {
				t.Errorf("all was over after %v, before the last press was intended at %v", r.Elapsed, least)
			}
		}},
		"fewer contenders than coupons": {change: func(o *bench.Options) { o.Users = 60 }},
		"busy at times": {flaws: flaws{busy: 7}, check: func(t *testing.T, r bench.Report) {
			t.Helper()
			if answers(r, "503 busy") == 0 {
				t.Error("it never was")
			}
		}},
		"connections break": {flaws: flaws{drop: 9}, check: func(t *testing.T, r bench.Report) {
			t.Helper()
			if answers(r, "connection lost") == 0 {
				t.Errorf("none did: %v", r.Answers)
			}
		}},
		"outcomes unknown at first": {flaws: flaws{unknown: 5}, check: func(t *testing.T, r bench.Report) {
			t.Helper()
			if answers(r, "503 outcome_unknown") == 0 || r.Unknown > 0 {
				t.Errorf("%d unknown at the end, of %v", r.Unknown, r.Answers)
			}
		}},
		"outcomes unknown for ever": {
			flaws:  flaws{mute: "7"},
			change: func(o *bench.Options) { o.Patience = time.Second },
			check: func(t *testing.T, r bench.Report) {
				t.Helper()
				if r.Unknown == 0 || r.Lost > 0 || r.Unasked > 0 {
					t.Errorf("%d unknown, %d lost, %d unasked", r.Unknown, r.Lost, r.Unasked)
				}
			},
		},
		"killed in the middle": {
			flaws: flaws{dieAt: 90}, back: 100 * time.Millisecond,
			check: func(t *testing.T, r bench.Report) {
				t.Helper()
				if answers(r, "connection refused")+answers(r, "connection lost") == 0 {
					t.Errorf("nobody noticed: %v", r.Answers)
				}
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := small((&fake{flaws: test.flaws}).serve(t, test.back))
			if test.change != nil {
				test.change(&o)
			}
			report, out := hold(t, o)
			if !report.OK || report.Sold != min(o.Stock, o.Users) {
				t.Errorf("not OK:\n%s", out)
			}
			if test.check != nil {
				test.check(t, report)
			}
		})
	}
}

// answers is how many requests were answered so.
func answers(r bench.Report, what string) int64 {
	for _, answer := range r.Answers {
		if answer.String() == what {
			return answer.Count
		}
	}
	return 0
}

func TestAWrongServerIsCaught(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		flaws  flaws
		caught func(bench.Proof) bool
		last   string
	}{
		"too many sold": {
			flaws{oversell: 5},
			func(p bench.Proof) bool { return p.Over == 5 },
			"sold 105 of 100, 5 over, 0 lost, 0 twice",
		},
		"too few sold": {
			flaws{hoard: 3},
			func(p bench.Proof) bool { return p.Unsold == 3 },
			"sold 97 of 100, 0 over, 0 lost, 0 twice",
		},
		"a number left out": {
			flaws{skip: 40},
			func(p bench.Proof) bool { return p.Gaps == 1 },
			"sold 100 of 100, 0 over, 0 lost, 0 twice",
		},
		"a row for nobody": {
			flaws{invent: true},
			func(p bench.Proof) bool { return p.Unasked == 1 },
			"sold 100 of 100, 0 over, 0 lost, 0 twice",
		},
		"an acknowledged coupon without a row": {flaws{forget: 100}, func(p bench.Proof) bool { return p.Lost >= 1 }, ""},
		"a coupon in another's hands":          {flaws{misplace: 60}, func(p bench.Proof) bool { return p.Lost == 1 && p.Unasked == 0 }, "sold 100 of 100, 0 over, 1 lost, 0 twice"},
		"an answer that names another":         {flaws{mistake: 60}, func(p bench.Proof) bool { return p.Amiss >= 1 }, ""},
		"two coupons for one user":             {flaws{second: 60}, func(p bench.Proof) bool { return p.Twice == 1 && p.Unasked == 1 }, "sold 100 of 100, 0 over, 0 lost, 1 twice"},
		"one coupon for two users":             {flaws{share: 60}, func(p bench.Proof) bool { return p.Twice >= 1 }, ""},
		"refused without cause":                {flaws{slander: 50}, func(p bench.Proof) bool { return p.Denied >= 1 }, ""},
		"keys not remembered":                  {flaws{amnesia: true}, func(p bench.Proof) bool { return p.Fickle >= 1 }, "sold 100 of 100, 0 over, 0 lost, 0 twice"},
		"a wrong count":                        {flaws{miscount: true}, func(p bench.Proof) bool { return p.Amiss >= 1 }, "sold 100 of 100, 0 over, 0 lost, 0 twice"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report, out := hold(t, small((&fake{flaws: test.flaws}).serve(t, 0)))
			if report.OK || !test.caught(report.Proof) {
				t.Errorf("not caught: %+v", report.Proof)
			}
			if got := lastLine(out); test.last != "" && got != test.last {
				t.Errorf("the last line is %q, want %q", got, test.last)
			}
			if !strings.Contains(out, "\nwrong: ") {
				t.Errorf("the report does not say what is wrong:\n%s", out)
			}
		})
	}
}

func TestWhatIsPrinted(t *testing.T) {
	t.Parallel()
	o := small((&fake{}).serve(t, 0))
	o.Users, o.Stock, o.Concurrency, o.Doubles, o.Retries = 1200, 1100, 1, 0, 0
	_, out := hold(t, o)
	number := regexp.MustCompile(`\d+\.\d|[\d,]+ a second`)
	var got []string
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(line, " granted\n") { // how many of those there are depends on the machine
			got = append(got, number.ReplaceAllString(line, "#"))
		}
	}
	want := `1,200 contenders for 1,100 coupons of template 2: 1,200 presses, 1 at a time
1,200 of 1,200 presses decided in # s: #; the last coupon went after # s
latency from the intended start: p50 # ms, p95 # ms, p99 # ms, p#.9 # ms, max # ms
answers:
  201                                     1,100
  409 sold_out                              100
sold 1,100 of 1,100, 0 over, 0 lost, 0 twice
`
	want = strings.ReplaceAll(want, "p#.9", "p#")
	if diff := cmp.Diff(want, strings.Join(got, "")); diff != "" {
		t.Error(diff)
	}
}

func TestAServerThatStaysAwayEndsTheRun(t *testing.T) {
	t.Parallel()
	o := small((&fake{flaws: flaws{dieAt: 50}}).serve(t, 0))
	o.Patience = 200 * time.Millisecond
	report, err := bench.Run(t.Context(), o, io.Discard)
	if err == nil || report.OK {
		t.Fatal("there was nobody to prove anything")
	}
	if report.Decided == 0 || report.Unmade == 0 || report.Decided+report.Unknown+report.Refused+report.Unmade != report.Presses {
		t.Errorf("%d decided, %d unknown, %d refused and %d unmade do not make sense of %d presses",
			report.Decided, report.Unknown, report.Refused, report.Unmade, report.Presses)
	}
}

func TestTheContextEndsTheRun(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	f := &fake{flaws: flaws{dieAt: 50}}
	url := f.serve(t, 0)
	f.down = func() { cancel(cause) }
	o := small(url)
	o.Rate = 1000 // so that callers wait for what is intended later
	report, err := bench.Run(ctx, o, io.Discard)
	if !errors.Is(err, cause) || report.OK || report.Unmade == 0 {
		t.Errorf("got %v, %d presses unmade", err, report.Unmade)
	}
}

func TestOptionsAreRefusedAllAtOnce(t *testing.T) {
	t.Parallel()
	o := bench.Defaults()
	o.URL, o.Users, o.Doubles, o.Rate = "http://192.0.2.1", 0, 1.5, -1
	_, err := bench.Run(t.Context(), o, io.Discard)
	if err == nil {
		t.Fatal("taken")
	}
	for _, word := range []string{"not this machine", "API key", "users", "doubles", "rate"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is missing from %q", word, err)
		}
	}
}

func TestOnlyThisMachineUnlessAllowed(t *testing.T) {
	t.Parallel()
	local := map[string]bool{
		"http://127.0.0.1:1": true, "http://localhost:1": true, "http://[::1]:1": true, "http://127.9.9.9:1": true,
		"http://192.0.2.1:1": false, "http://scrip.test": false, "http://localhost.scrip.test": false, "http://127.0.0.1.scrip.test": false,
	}
	// The context has ended, so that nothing goes out.
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(nil)
	for url, want := range local {
		for _, allow := range []bool{false, true} {
			o := small(url)
			o.AllowRemote = allow
			_, err := bench.Run(ctx, o, io.Discard)
			if refused := strings.Contains(err.Error(), "not this machine"); refused != (!want && !allow) {
				t.Errorf("%s, remote allowed %v: %v", url, allow, err)
			}
		}
	}
}
