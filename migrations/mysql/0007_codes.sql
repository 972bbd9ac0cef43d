-- Claim codes: handed out before there is a coupon, to be claimed by.
--
-- Of a code the database has a keyed hash, to find it by, and its text only
-- sealed: for the one export (docs/adr/0025). Who claims by a code has locked its
-- template's row first, so that no two ever contend for the rows here.

-- +goose Up

-- The key of hashes and seals: one row. Made by whoever starts first, and kept
-- under the key in the configuration, if there is one.
CREATE TABLE code_keys (
    id         INT            NOT NULL PRIMARY KEY,
    wrapped    BOOLEAN        NOT NULL COMMENT 'by codes.key; else it lies here as it is',
    data_key   VARBINARY(200) NOT NULL,
    created_at BIGINT         NOT NULL,
    CONSTRAINT code_keys_single CHECK (id = 1)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- A batch of single-use codes, whose id is that of the job that makes them; or
-- one shared code: a batch of one, without a pattern.
CREATE TABLE code_batches (
    id          BIGINT         NOT NULL PRIMARY KEY,
    template_id BIGINT         NOT NULL,
    total       BIGINT         NOT NULL COMMENT 'codes, once the job is done',
    usage_limit BIGINT         NOT NULL COMMENT 'coupons by each of them',
    used        BIGINT         NOT NULL DEFAULT 0 COMMENT 'coupons by all of them',
    prefix      VARCHAR(20)    NULL,
    length      INT            NULL COMMENT 'behind the prefix, with the check character',
    charset     VARCHAR(64)    NULL,
    family      VARCHAR(32)    NULL COMMENT 'prefix as it is compared, and length: codes that one guess may hit',
    sealed      VARBINARY(200) NULL COMMENT 'the text of a shared code',
    created_at  BIGINT         NOT NULL,
    KEY code_batches_of_template (template_id, id),
    KEY code_batches_of_family (family),
    CONSTRAINT code_batches_counts CHECK (total >= 1 AND usage_limit >= 1 AND used >= 0 AND used <= total * usage_limit),
    CONSTRAINT code_batches_kind CHECK ((sealed IS NULL) = (prefix IS NOT NULL) AND (prefix IS NULL) = (length IS NULL)
        AND (prefix IS NULL) = (charset IS NULL) AND (prefix IS NULL) = (family IS NULL)
        AND (sealed IS NULL OR total = 1))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- By their hash alone: five million random keys in one tree are dear enough.
CREATE TABLE codes (
    hash        BINARY(16) NOT NULL PRIMARY KEY COMMENT 'the first half of HMAC-SHA-256',
    batch_id    BIGINT     NOT NULL,
    usage_limit INT        NOT NULL,
    used        INT        NOT NULL DEFAULT 0,
    CONSTRAINT codes_used CHECK (used >= 0 AND used <= usage_limit)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The texts of a batch, sealed a task at a time.
CREATE TABLE code_chunks (
    batch_id BIGINT     NOT NULL,
    seq      BIGINT     NOT NULL COMMENT 'the task''s',
    codes    INT        NOT NULL,
    sealed   MEDIUMBLOB NOT NULL COMMENT 'AES-256-GCM; nonce first',
    PRIMARY KEY (batch_id, seq)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE code_uses (
    coupon_id BIGINT     NOT NULL PRIMARY KEY,
    hash      BINARY(16) NOT NULL COMMENT 'of the code that it was claimed by'
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE code_uses;
DROP TABLE code_chunks;
DROP TABLE codes;
DROP TABLE code_batches;
DROP TABLE code_keys;
