-- See mysql/0010_thin_answers.sql.

-- +goose Up
CREATE TABLE idempotency_answers (
    id         BLOB NOT NULL,
    hash       BLOB NOT NULL,
    status     INTEGER NOT NULL,
    body       BLOB NULL,
    coupon_id  INTEGER NULL,
    expires_at INTEGER NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (created_at, id),
    CONSTRAINT idempotency_answers_body CHECK ((body IS NULL) = (coupon_id IS NOT NULL)),
    CONSTRAINT idempotency_answers_coupon CHECK ((coupon_id IS NULL) = (expires_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX idempotency_answers_by_key ON idempotency_answers (id);
INSERT INTO idempotency_answers (id, hash, status, body, created_at)
    SELECT id, hash, status, body, created_at FROM idempotency_keys;
DROP TABLE idempotency_keys;

-- +goose Down
CREATE TABLE idempotency_keys (
    id         BLOB NOT NULL PRIMARY KEY,
    hash       BLOB NOT NULL,
    status     INTEGER NOT NULL,
    body       BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
INSERT INTO idempotency_keys (id, hash, status, body, created_at)
    SELECT id, hash, status, body, created_at FROM idempotency_answers WHERE body IS NOT NULL;
DROP TABLE idempotency_answers;
