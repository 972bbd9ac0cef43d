-- The same as in ../mysql, where it is explained.

-- +goose Up
CREATE INDEX coupons_by_end ON coupons (expires_at) WHERE status = 'available';

-- +goose Down
DROP INDEX coupons_by_end;
