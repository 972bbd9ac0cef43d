-- The same as in ../mysql, where it is explained.

-- +goose Up
CREATE INDEX coupons_by_end ON coupons (expires_at) WHERE status = 'available';

CREATE TABLE reminders (
    due_at    INTEGER NOT NULL,
    coupon_id INTEGER NOT NULL,
    PRIMARY KEY (due_at, coupon_id)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE reminders;
DROP INDEX coupons_by_end;
