package store

import (
	"gorm.io/gorm"

	"scrip/models"
)

// owned restricts a list to what the actor may see.
func owned(query *gorm.DB, actor models.Principal) *gorm.DB {
	if merchant, restricted := actor.OwnerFilter(); restricted {
		return query.Where("merchant_id = ?", merchant)
	}
	return query
}

// equals restricts a list to one value of a column; the zero value asks nothing.
func equals[T comparable](query *gorm.DB, column string, value T) *gorm.DB {
	var nothing T
	if value == nothing {
		return query
	}
	return query.Where(column+" = ?", value)
}

// paged takes one page, newest first, by a key that grows with time.
func paged(query *gorm.DB, key string, page models.Page) *gorm.DB {
	if page.Before != 0 {
		query = query.Where(key+" < ?", page.Before)
	}
	return query.Order(key + " DESC").Limit(page.Limit)
}

// convert turns rows into the domain's values.
func convert[R, M any](rows []R, to func(*R) (M, error)) ([]M, error) {
	out := make([]M, len(rows))
	for i := range rows {
		value, err := to(&rows[i])
		if err != nil {
			return nil, err
		}
		out[i] = value
	}
	return out, nil
}
