-- The same tables as in ../mysql, where each is explained.

-- +goose Up
CREATE TABLE code_keys (
    id         INTEGER NOT NULL PRIMARY KEY,
    wrapped    INTEGER NOT NULL,
    data_key   BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT code_keys_single CHECK (id = 1),
    CONSTRAINT code_keys_wrapped CHECK (wrapped IN (0, 1))
) STRICT;

CREATE TABLE code_batches (
    id          INTEGER NOT NULL PRIMARY KEY,
    template_id INTEGER NOT NULL,
    total       INTEGER NOT NULL,
    usage_limit INTEGER NOT NULL,
    used        INTEGER NOT NULL DEFAULT 0,
    prefix      TEXT,
    length      INTEGER,
    charset     TEXT,
    family      TEXT,
    sealed      BLOB,
    created_at  INTEGER NOT NULL,
    CONSTRAINT code_batches_counts CHECK (total >= 1 AND usage_limit >= 1 AND used >= 0 AND used <= total * usage_limit),
    CONSTRAINT code_batches_kind CHECK ((sealed IS NULL) = (prefix IS NOT NULL) AND (prefix IS NULL) = (length IS NULL)
        AND (prefix IS NULL) = (charset IS NULL) AND (prefix IS NULL) = (family IS NULL)
        AND (sealed IS NULL OR total = 1))
) STRICT;
CREATE INDEX code_batches_of_template ON code_batches (template_id, id);
CREATE INDEX code_batches_of_family ON code_batches (family);

CREATE TABLE codes (
    hash        BLOB NOT NULL PRIMARY KEY,
    batch_id    INTEGER NOT NULL,
    usage_limit INTEGER NOT NULL,
    used        INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT codes_used CHECK (used >= 0 AND used <= usage_limit)
) STRICT, WITHOUT ROWID;

CREATE TABLE code_chunks (
    batch_id INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    codes    INTEGER NOT NULL,
    sealed   BLOB NOT NULL,
    PRIMARY KEY (batch_id, seq)
) STRICT;

CREATE TABLE code_uses (
    coupon_id INTEGER NOT NULL PRIMARY KEY,
    hash      BLOB NOT NULL
) STRICT;

-- +goose Down
DROP TABLE code_uses;
DROP TABLE code_chunks;
DROP TABLE codes;
DROP TABLE code_batches;
DROP TABLE code_keys;
