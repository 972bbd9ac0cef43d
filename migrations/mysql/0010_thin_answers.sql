-- An answer to a claim is kept as a reference to its coupon, and answers lie in
-- the order of their time.
--
-- Claims of a flash sale carry a key each. With the answer's text in a row whose
-- place is a hash, each claim dirtied a page of its own, and what that costs
-- grew with the table. Now a row is short and is put behind the last one; only
-- the index over the hashes is filled at random, with some 60 bytes each.

-- +goose Up
CREATE TABLE idempotency_answers (
    id         BINARY(32) NOT NULL COMMENT 'SHA-256 of credential, route and key',
    hash       BINARY(32) NOT NULL COMMENT 'SHA-256 of the request',
    status     INT        NOT NULL COMMENT '0 with a coupon',
    body       MEDIUMBLOB NULL,
    coupon_id  BIGINT     NULL COMMENT 'that was granted: the answer is made of it anew',
    expires_at BIGINT     NULL COMMENT 'when that coupon was to expire; it may have been extended since',
    created_at BIGINT     NOT NULL,
    PRIMARY KEY (created_at, id),
    UNIQUE KEY idempotency_answers_by_key (id),
    CONSTRAINT idempotency_answers_body CHECK ((body IS NULL) = (coupon_id IS NOT NULL)),
    CONSTRAINT idempotency_answers_coupon CHECK ((coupon_id IS NULL) = (expires_at IS NULL))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
INSERT INTO idempotency_answers (id, hash, status, body, created_at)
    SELECT id, hash, status, body, created_at FROM idempotency_keys;
DROP TABLE idempotency_keys;

-- +goose Down
CREATE TABLE idempotency_keys (
    id         BINARY(32) NOT NULL PRIMARY KEY,
    hash       BINARY(32) NOT NULL,
    status     INT        NOT NULL,
    body       MEDIUMBLOB NOT NULL,
    created_at BIGINT     NOT NULL,
    KEY idempotency_keys_by_age (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
INSERT INTO idempotency_keys (id, hash, status, body, created_at)
    SELECT id, hash, status, body, created_at FROM idempotency_answers WHERE body IS NOT NULL;
DROP TABLE idempotency_answers;
