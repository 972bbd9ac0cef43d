-- Coupons by their end, for the job that notes which have expired.
--
-- All that claims insert into the index goes to its right-hand side: they are
-- available, end on the same few days, and their ids grow. With the status in
-- front it shrinks to what is still to be done, however many coupons expired
-- before or were used (docs/adr/0029).

-- +goose Up
CREATE INDEX coupons_by_end ON coupons (status, expires_at);

-- +goose Down
DROP INDEX coupons_by_end ON coupons;
