package gate

import (
	"context"

	"scrip/models"
)

// Begin starts a rebuild: it wipes the template's copy and marks it as loading
// load.Epoch. False if there is, or was, a copy of that epoch or a newer one.
// load.Left is not used yet. From now on the copy takes records of that epoch,
// and stock edits.
func (r *Redis) Begin(ctx context.Context, load models.GateLoad) (bool, error) {
	args := append(r.scripts.begin.on(load.TemplateID, 4), &load.Epoch, &load.Limit, &load.Stock, &load.StockEdits)
	begun, err := r.yes(ctx, r.slow, r.scripts.begin, args)
	return begun, away("begin", err)
}

// Load adds what users hold, while loading that epoch with that limit; else
// false. A user may come in several chunks, with a part in each; a chunk must
// not come twice.
func (r *Redis) Load(
	ctx context.Context, template models.ID, epoch, limit int64, holders []models.Holder,
) (bool, error) {
	var calls []*call
	for first := true; first || len(holders) > 0; first = false {
		size := min(len(holders), maxBatch)
		args := r.scripts.load.on(template, 2+2*size)
		args = append(args, &epoch, &limit)
		for i := range holders[:size] {
			args = append(args, &holders[i].UserID, &holders[i].Count)
		}
		calls = append(calls, r.scripts.load.call(ctx, args))
		holders = holders[size:]
	}
	loaded := true
	err := r.within(ctx, r.slow, func(ctx context.Context) error {
		if err := r.run(ctx, calls); err != nil {
			return err
		}
		for _, c := range calls {
			yes, err := c.Bool()
			if err != nil {
				return err
			}
			loaded = loaded && yes
		}
		return nil
	})
	return loaded && err == nil, away("load", err)
}

// Open ends a rebuild: the copy decides from now on. load is how things stood
// when the epoch began; what was recorded since, and a newer stock, come on
// top. False unless exactly load.Epoch is being loaded.
func (r *Redis) Open(ctx context.Context, load models.GateLoad) (bool, error) {
	args := append(r.scripts.open.on(load.TemplateID, 4), &load.Epoch, &load.Left, &load.Stock, &load.StockEdits)
	opened, err := r.yes(ctx, r.slow, r.scripts.open, args)
	return opened, away("open", err)
}

// SetStock tells a copy of that epoch that the template has so many units in
// all since the edit with that number. An edit older than what the copy knows
// does nothing, so they may come in any order, and again. Setting a stock where
// there was none, or lifting it, makes the copy cold.
func (r *Redis) SetStock(ctx context.Context, template models.ID, epoch, edit, stock int64) error {
	args := append(r.scripts.stock.on(template, 3), &epoch, &edit, &stock)
	_, err := r.one(ctx, r.timeout, r.scripts.stock, args)
	return away("stock", err)
}
