package gate

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"scrip/models"
)

// phase is where a copy is in its life: loading by Begin, from wherever it was;
// open by Open; cold when a stock is set where there was none, or lifted.
type phase uint8

const (
	never phase = iota // cold, and always was
	cold
	loading
	open
)

// counters is one template's copy in memory: what lua/copy.lua keeps in Redis.
// It is safe for concurrent use; each method is one script.
type counters struct {
	mu    sync.Mutex
	phase phase
	epoch int64
	limit int64
	stock int64
	edits int64 // the newest edit that is in stock
	moves int64
	holdings
}

// holdings is what a rebuild wipes.
type holdings struct {
	left    int64                  // while loading: minus what was recorded meanwhile
	units   map[string]int64       // by user
	full    int64                  // users with as many as one may have
	pending map[pendingClaim]int64 // since when, in milliseconds
}

type pendingClaim struct {
	claim models.ID
	user  string
}

func noHoldings() holdings {
	return holdings{units: map[string]int64{}, pending: map[pendingClaim]int64{}}
}

func (c *counters) reserve(asks []models.Reservation, b batch, ms int64, answers []models.GateAnswer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.pending)
	for _, at := range b.at {
		if c.phase != open || c.epoch != b.epoch {
			answers[at] = models.GateCold
			continue
		}
		answers[at] = c.reserveOne(&asks[at], ms)
	}
	if len(c.pending) != before {
		c.moves++
	}
}

func (c *counters) reserveOne(ask *models.Reservation, ms int64) models.GateAnswer {
	key := pendingClaim{claim: ask.ClaimID, user: ask.UserID}
	if _, again := c.pending[key]; again {
		return models.GateTaken
	}
	switch {
	case c.units[ask.UserID] >= c.limit:
		return models.GateLimit
	case c.left > 0:
		c.count(ask.UserID, 1)
		c.give(-1)
		c.pending[key] = ms
		return models.GateTaken
	case len(c.pending) > 0:
		return models.GateBusy
	}
	return models.GateSoldOut
}

func (c *counters) finish(outcomes []models.GateOutcome, b batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase < loading || c.epoch != b.epoch {
		return
	}
	changed := false
	for _, at := range b.at {
		changed = c.finishOne(&outcomes[at]) || changed
	}
	if changed {
		c.moves++
	}
}

func (c *counters) finishOne(outcome *models.GateOutcome) (changed bool) {
	key := pendingClaim{claim: outcome.ClaimID, user: outcome.UserID}
	_, waiting := c.pending[key]
	delete(c.pending, key)
	switch {
	case waiting && outcome.Step == models.GateRelease:
		c.count(outcome.UserID, -1)
		c.give(1)
	case !waiting && outcome.Step == models.GateRecord:
		c.count(outcome.UserID, 1)
		c.give(-1)
		return true
	}
	return waiting
}

func limited(units int64) bool { return units <= mostUnits }

// give changes what is left, where there is a stock.
func (c *counters) give(units int64) {
	if limited(c.left) {
		c.left += units
	}
}

// count changes what the user has.
func (c *counters) count(user string, more int64) {
	c.setUnits(user, max(0, c.units[user]+more))
}

func (c *counters) setUnits(user string, units int64) {
	if c.units[user] >= c.limit {
		c.full--
	}
	if units >= c.limit {
		c.full++
	}
	if units == 0 {
		delete(c.units, user)
		return
	}
	c.units[user] = units
}

func (c *counters) begin(load models.GateLoad) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != never && c.epoch >= load.Epoch {
		return false
	}
	c.phase, c.epoch, c.limit, c.stock, c.edits = loading, load.Epoch, load.Limit, load.Stock, load.StockEdits
	c.holdings = noHoldings()
	c.moves++
	return true
}

func (c *counters) load(epoch, limit int64, holders []models.Holder) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != loading || c.epoch != epoch || c.limit != limit {
		return false
	}
	for _, holder := range holders {
		c.count(holder.UserID, holder.Count)
	}
	c.moves += int64((len(holders) + maxBatch - 1) / maxBatch) // as many calls as Redis gets
	return true
}

func (c *counters) open(load models.GateLoad) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != loading || c.epoch != load.Epoch {
		return false
	}
	recorded := c.left
	c.left = load.Left
	if c.edits <= load.StockEdits {
		c.stock, c.edits = load.Stock, load.StockEdits
	} else if !c.restock(load.Stock) {
		return false
	}
	c.give(recorded)
	c.phase = open
	c.moves++
	return true
}

// restock brings what is left from the stock before to the present one. If it
// cannot tell, the copy is cold.
func (c *counters) restock(before int64) bool {
	switch {
	case before == c.stock:
	case limited(before) && limited(c.stock):
		c.give(c.stock - before)
	default:
		c.forget()
		return false
	}
	return true
}

func (c *counters) setStock(epoch, edit, stock int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase < loading || c.epoch != epoch || edit <= c.edits {
		return
	}
	before := c.stock
	c.stock, c.edits = stock, edit
	if c.phase == loading || c.restock(before) {
		c.moves++
	}
}

// forget makes the copy cold. Epoch and moves stay: only a newer epoch may follow.
func (c *counters) forget() {
	c.phase, c.holdings = cold, holdings{}
	c.moves++
}

func (c *counters) oldest(before int64, most int) []models.PendingClaim {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != open || most <= 0 {
		return nil
	}
	var found []models.PendingClaim
	for key, ms := range c.pending {
		if ms < before {
			found = append(found, models.PendingClaim{ClaimID: key.claim, UserID: key.user, Since: time.UnixMilli(ms).UTC()})
		}
	}
	slices.SortFunc(found, func(a, b models.PendingClaim) int {
		return cmp.Or(a.Since.Compare(b.Since),
			cmp.Compare(pendingName(a.ClaimID, a.UserID), pendingName(b.ClaimID, b.UserID)))
	})
	return found[:min(most, len(found))]
}

func (c *counters) state() models.GateState {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := models.GateState{Moves: c.moves}
	if c.phase < loading {
		return state
	}
	state.Epoch, state.Pending, state.Users = c.epoch, int64(len(c.pending)), c.full
	if c.phase == open {
		state.Open, state.Left = true, c.left
	}
	return state
}
