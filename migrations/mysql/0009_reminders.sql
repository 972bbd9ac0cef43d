-- What happens to coupons at a time: they expire, and before that their users
-- are reminded (docs/adr/0029). Claims insert into both, and nearly in order:
-- coupons of one sale end on the same few days, and ids grow.

-- +goose Up
-- The index is of what is still to be done: with the status in front it shrinks
-- by what is used or has expired.
CREATE INDEX coupons_by_end ON coupons (status, expires_at);

-- When the user of an available coupon is to be reminded of it, once for each
-- of its template's remind_before_days that is still to come. Who writes here
-- has locked the coupon. That ten coupons give one message is seen to when it is
-- sent: a unique key over user, template and day would be filled at random.
CREATE TABLE reminders (
    due_at    BIGINT NOT NULL,
    coupon_id BIGINT NOT NULL,
    PRIMARY KEY (due_at, coupon_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE reminders;
DROP INDEX coupons_by_end ON coupons;
