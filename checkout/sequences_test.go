package checkout_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"scrip/jobs"
	"scrip/models"
)

// protocol is what the steps of one lock come to, said once more and simply.
type protocol struct {
	state     models.LockState
	cancelled bool // though it had expired
}

// step returns what the caller is told; of an expiry nobody is told.
func (p *protocol) step(name string) string {
	switch {
	case name == "expire":
		if p.state == models.LockLocked {
			p.state = models.LockExpired
		}
		return ""
	case name == "try" && p.cancelled:
		return string(models.CodeLockCancelled)
	case name == "cancel" && p.state == models.LockExpired:
		p.cancelled = true
	case name == "try" && p.state == "":
		p.state = models.LockLocked
	case name == "confirm" && p.state == "":
		return string(models.CodeNotFound)
	case name == "confirm" && p.state == models.LockLocked:
		p.state = models.LockConfirmed
	case name == "cancel" && (p.state == "" || p.state == models.LockLocked):
		p.state = models.LockCancelled
	case name == "cancel" && p.state == models.LockConfirmed:
		return string(models.CodeLockConfirmed)
	case name != "cancel" && p.state == models.LockCancelled:
		return string(models.CodeLockCancelled)
	case name == "confirm" && p.state == models.LockExpired:
		return string(models.CodeLockExpired)
	}
	return string(p.state)
}

func (p *protocol) coupon() models.CouponStatus {
	switch p.state {
	case models.LockLocked:
		return models.CouponLocked
	case models.LockConfirmed:
		return models.CouponUsed
	case models.LockCancelled, models.LockExpired:
	}
	return models.CouponAvailable
}

// TestEverySequence of up to four steps of one lock, one after the other.
func TestEverySequence(t *testing.T) {
	t.Parallel()
	const longest = 4
	var sequences [][]string
	latest := [][]string{nil}
	for range longest {
		var longer [][]string
		for _, head := range latest {
			for _, last := range []string{"try", "confirm", "cancel", "expire"} {
				longer = append(longer, slices.Concat(head, []string{last}))
			}
		}
		sequences, latest = append(sequences, longer...), longer
	}
	onBoth(t, func(t *testing.T, w world) {
		job := jobs.Expire{Store: w.Store, Now: w.Now}
		budget := w.budget(t, models.BudgetSpec{Kind: models.BudgetCount, Total: 1_000_000})
		coupons := w.issue(t, w.template(t, models.Rule{}, budget.ID), sameUser(len(sequences))...)
		for i, sequence := range sequences {
			var model protocol
			for at, name := range sequence {
				got, want := "", model.step(name)
				if name == "expire" {
					w.pass(sequenceTTL)
					if _, _, err := job.Step(t.Context()); err != nil {
						t.Fatal(err)
					}
				} else {
					got = steps()[name](t.Context(), w, coupons[i])
				}
				if got != want {
					t.Fatalf("%s: step %d is told %q, want %q", strings.Join(sequence, ", "), at+1, got, want)
				}
			}
			w.holds(t, coupons[i], model.coupon())
		}
		w.sound(t)
	})
}

// sequenceTTL is short, for the test's clock may not pass a minute.
const sequenceTTL = 10 * time.Millisecond
