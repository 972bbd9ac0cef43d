package bench

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func presses(n int) []*press {
	list := make([]*press, n)
	for i := range list {
		list[i] = &press{user: i}
	}
	return list
}

// handed is a press, and when it was handed out.
type handed struct {
	User  int
	After time.Duration
}

func TestQueueHandsOutAtTheIntendedTimesWhoeverIsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		q := newQueue(presses(4), begin, 10)
		var got []handed
		for p := q.take(t.Context()); p != nil; p = q.take(t.Context()) {
			got = append(got, handed{p.user, time.Since(begin)})
			if want := begin.Add(time.Duration(p.user) * 100 * time.Millisecond); !p.start.Equal(want) {
				t.Errorf("press %d is to start %v after begin", p.user, p.start.Sub(begin))
			}
			if p.user == 1 { // this one takes long: the next is late, the one after is not
				sleep(t.Context(), 150*time.Millisecond)
			}
			q.done()
		}
		want := []handed{{0, 0}, {1, 100 * time.Millisecond}, {2, 250 * time.Millisecond}, {3, 300 * time.Millisecond}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestQueueHandsOutAgainWhenAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		q := newQueue(presses(3), begin, 1)
		var got []handed
		for p := q.take(t.Context()); p != nil; p = q.take(t.Context()) {
			got = append(got, handed{p.user, time.Since(begin)})
			if p.tries++; p.tries > 1 {
				q.done()
				continue
			}
			q.again(p, time.Now().Add(time.Duration(3-p.user)*700*time.Millisecond))
		}
		want := []handed{
			{0, 0},
			{1, time.Second},
			{2, 2 * time.Second},
			{0, 2100 * time.Millisecond},
			{1, 2400 * time.Millisecond},
			{2, 2700 * time.Millisecond},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// A caller that waits for a far-off start must notice what is put back for
// earlier, and that the last press in other hands is done.
func TestQueueWakesTheOneThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		q := newQueue(presses(2), begin, 0.01)
		first := q.take(t.Context())
		got := make(chan handed, 2)
		go func() {
			for p := q.take(t.Context()); p != nil; p = q.take(t.Context()) {
				got <- handed{p.user, time.Since(begin)}
				q.done()
			}
			close(got)
		}()
		synctest.Wait()
		q.again(first, begin.Add(time.Second))
		if diff := cmp.Diff(handed{0, time.Second}, <-got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(handed{1, 100 * time.Second}, <-got); diff != "" {
			t.Error(diff)
		}
		if _, more := <-got; more {
			t.Error("a third press was handed out")
		}
	})
}

func TestQueueEndsWhenStoppedOrCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		ends := []func(*queue){
			func(q *queue) { q.stop() },
			func(*queue) { cancel(nil) },
		}
		for i, end := range ends {
			q := newQueue(presses(3), time.Now().Add(time.Hour), 1)
			ended := make(chan *press, 2)
			for range 2 { // one waits for the press, the other for its turn
				go func() { ended <- q.take(ctx) }()
			}
			end(q)
			if a, b := <-ended, <-ended; a != nil || b != nil {
				t.Errorf("end %d: %v and %v were handed out", i, a, b)
			}
		}
	})
}

func TestPlan(t *testing.T) {
	t.Parallel()
	o := Defaults()
	o.Users = 10_000
	same := func(a, b *press) bool { return a.user == b.user && a.key == b.key }
	first := plan(o)
	if !slices.EqualFunc(first, plan(o), same) {
		t.Error("the same seed gives another plan")
	}
	o.Seed++
	if slices.EqualFunc(first, plan(o), same) {
		t.Error("another seed gives the same plan")
	}

	ofUser, ofKey := map[int][]*press{}, map[int][]*press{}
	for _, p := range first {
		ofUser[p.user] = append(ofUser[p.user], p)
		ofKey[p.key] = append(ofKey[p.key], p)
	}
	if len(ofUser) != o.Users {
		t.Errorf("%d users press, want %d", len(ofUser), o.Users)
	}
	retries := 0
	for key, same := range ofKey {
		retries += len(same) - 1
		if same[0].user != same[len(same)-1].user {
			t.Errorf("key %d is of two users", key)
		}
	}
	doubles := len(ofKey) - o.Users
	if doubles < 900 || doubles > 1100 || retries < 430 || retries > 570 {
		t.Errorf("%d doubles and %d retries of %d users, want about 1000 and 500", doubles, retries, o.Users)
	}
}
