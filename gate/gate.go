// Package gate is the filter in front of the database: it turns away at once
// the claims that the database would refuse, and lets the others through. All
// Redis of this program is here, as Lua scripts (see lua/copy.lua for the
// keys), beside a twin that keeps the same counters in this process.
//
// Of each template the gate holds a copy of the counters: units left, who has
// as many as one may have, and what is pending. A copy is one of
//
//	cold      there is none to decide by: Reserve says so, and the rest does nothing
//	loading   Begin came, Open did not yet: cold to Reserve, but takes in what it is told
//	open      it decides
//
// and belongs to one epoch of the template's row. Only a newer epoch may
// replace a copy, so whoever finds it cold first raises the epoch in the row,
// reads the counters in the same transaction, and then calls Begin, Load and
// Open. What commits under the new epoch is told by Finish like anything else;
// what is told before Begin is lost, and shows as a unit too many.
//
// The gate is never believed against the database. It may lose everything, and
// the worst that follows is a slower or an early no. What it must not do is to
// lose a part unseen: that would be a no for ever, or for all. So a copy also
// belongs to one history of one Redis server, and is cold after a restart, on a
// promoted replica, and (a rebuild for nothing, but rare) when a server gets
// its first replica. Eviction must be off; see Redis.Check.
//
// A reservation whose reply was lost stays pending until it is confirmed or
// released; Touched and Pending lead to it.
package gate

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"scrip/models"
)

// ErrAway wraps every error of this package: the gate could not be reached,
// did not answer in time, or answered with an error. What was asked of it may
// have been done all the same.
var ErrAway = errors.New("the gate is away")

// maxBatch bounds one script call: Redis does nothing else meanwhile, and
// Lua's unpack takes a few thousand values at most.
const maxBatch = 1000

// mostUnits is more than any stock. What is above it stands for no limit.
const mostUnits = int64(1) << 51

// batch is what one script call judges: requests of one epoch of one template.
type batch struct {
	template models.ID
	epoch    int64
	at       []int // their places among all requests, in order
}

// inBatches groups n requests by template and epoch. Within a batch those of the
// lower rank come first, else it keeps their order.
func inBatches(n int, of func(i int) (template models.ID, epoch int64, rank int)) []batch {
	at := make([]int, n)
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int {
		templateA, epochA, rankA := of(a)
		templateB, epochB, rankB := of(b)
		return cmp.Or(cmp.Compare(templateA, templateB), cmp.Compare(epochA, epochB), cmp.Compare(rankA, rankB))
	})
	var all []batch
	for len(at) > 0 {
		template, epoch, _ := of(at[0])
		size := 1
		for ; size < min(len(at), maxBatch); size++ {
			if t, e, _ := of(at[size]); t != template || e != epoch {
				break
			}
		}
		all = append(all, batch{template: template, epoch: epoch, at: at[:size]})
		at = at[size:]
	}
	return all
}

func reservationBatches(asks []models.Reservation) []batch {
	return inBatches(len(asks), func(i int) (models.ID, int64, int) { return asks[i].TemplateID, asks[i].Epoch, 0 })
}

// outcomeBatches puts the confirms first: they are most, and the script takes
// them all at once.
func outcomeBatches(outcomes []models.GateOutcome) []batch {
	return inBatches(len(outcomes), func(i int) (models.ID, int64, int) {
		o := &outcomes[i]
		if o.Step == models.GateConfirm {
			return o.TemplateID, o.Epoch, 0
		}
		return o.TemplateID, o.Epoch, 1
	})
}

// A pending claim is noted as "claim user". Sorting by that breaks ties.

func pendingName(claim models.ID, user string) string { return claim.String() + " " + user }

func parsePendingName(name string) (models.ID, string, error) {
	claim, user, _ := strings.Cut(name, " ")
	id, err := models.ParseID(claim)
	return id, user, err
}

// pendingNames writes the names of a whole batch into one piece of memory.
func pendingNames(n int, of func(i int) (models.ID, string)) []string {
	const idLen = len("9223372036854775807 ")
	size := n * idLen
	for i := range n {
		_, user := of(i)
		size += len(user)
	}
	var all strings.Builder
	all.Grow(size) // never grows again, so what was cut off it stays valid
	var digits [idLen]byte
	names := make([]string, n)
	for i := range names {
		claim, user := of(i)
		start := all.Len()
		all.Write(strconv.AppendInt(digits[:0], int64(claim), 10))
		all.WriteByte(' ')
		all.WriteString(user)
		names[i] = all.String()[start:]
	}
	return names
}

// touchEvery is the precision of Touched, in milliseconds.
const touchEvery = 1000

// touches lets each template through once in touchEvery. It is safe for
// concurrent use.
type touches struct {
	mu     sync.Mutex
	period int64
	seen   map[models.ID]struct{}
}

// due reports whether the template's touch has yet to be written down.
func (t *touches) due(template models.ID, ms int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if period := ms / touchEvery; period != t.period || t.seen == nil {
		t.period, t.seen = period, map[models.ID]struct{}{}
	}
	if _, found := t.seen[template]; found {
		return false
	}
	t.seen[template] = struct{}{}
	return true
}

// undo makes the template due again: writing it down failed.
func (t *touches) undo(template models.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.seen, template)
}

// touchedSince is the oldest touch that stands for a reservation since then.
func touchedSince(since time.Time) int64 { return since.UnixMilli() - touchEvery }
