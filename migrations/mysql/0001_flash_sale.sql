-- The first schema: rules, templates, coupons, and what keeps them honest.
--
-- Times are milliseconds since 1970-01-01 UTC: windows and expiries are compared
-- to the millisecond, and a BIGINT has no time zone, no rounding and no dialect.
-- To read one: FROM_UNIXTIME(claimed_at / 1000).
-- Everything is utf8mb4_bin: codes and the callers' own ids are case-sensitive.
-- Ids are made by the application.

-- +goose Up
CREATE TABLE rules (
    id          BIGINT      NOT NULL PRIMARY KEY,
    merchant_id VARCHAR(64) NOT NULL DEFAULT '' COMMENT 'empty: the platform''s own',
    version     INT         NOT NULL COMMENT 'the newest',
    created_at  BIGINT      NOT NULL,
    KEY rules_of_merchant (merchant_id, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE rule_versions (
    rule_id    BIGINT       NOT NULL,
    version    INT          NOT NULL,
    name       VARCHAR(200) NOT NULL,
    kind       VARCHAR(20)  NOT NULL,
    effect     LONGTEXT     NOT NULL,
    scope      LONGTEXT     NOT NULL,
    conditions LONGTEXT     NOT NULL,
    stacking   LONGTEXT     NOT NULL,
    created_at BIGINT       NOT NULL,
    PRIMARY KEY (rule_id, version),
    CONSTRAINT rule_versions_kind CHECK (kind IN
        ('fixed_price', 'buy_x_get_y', 'percent_off', 'amount_off', 'free_shipping', 'free_item'))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE templates (
    id                 BIGINT       NOT NULL PRIMARY KEY,
    merchant_id        VARCHAR(64)  NOT NULL DEFAULT '',
    name               VARCHAR(200) NOT NULL,
    rule_id            BIGINT       NOT NULL,
    rule_version       INT          NOT NULL,
    currency           CHAR(3)      NOT NULL,
    time_zone          VARCHAR(64)  NOT NULL,
    state              VARCHAR(10)  NOT NULL,
    stock              BIGINT       NULL COMMENT 'NULL: no limit',
    claimed            BIGINT       NOT NULL DEFAULT 0,
    per_user_limit     BIGINT       NOT NULL,
    claim_window       LONGTEXT     NULL,
    validity           LONGTEXT     NOT NULL,
    audience           LONGTEXT     NOT NULL,
    issue              VARCHAR(12)  NOT NULL,
    return_policy      LONGTEXT     NOT NULL,
    remind_before_days LONGTEXT     NULL,
    metadata           LONGTEXT     NULL,
    version            BIGINT       NOT NULL COMMENT 'counts edits; claims leave it alone',
    epoch              BIGINT       NOT NULL DEFAULT 0 COMMENT 'a gate''s copy is good for one epoch',
    stock_edits        BIGINT       NOT NULL DEFAULT 0,
    tombstones         BIGINT       NOT NULL DEFAULT 0 COMMENT 'how many claim_tombstones there are',
    created_at         BIGINT       NOT NULL,
    updated_at         BIGINT       NOT NULL,
    KEY templates_of_merchant (merchant_id, id),
    KEY templates_of_rule (rule_id, id),
    KEY templates_by_state (state, id),
    CONSTRAINT templates_state CHECK (state IN ('draft', 'active', 'paused', 'ended')),
    CONSTRAINT templates_issue CHECK (issue IN ('claim', 'code', 'distribution')),
    CONSTRAINT templates_claimed CHECK (claimed >= 0 AND (stock IS NULL OR claimed <= stock)),
    CONSTRAINT templates_limit CHECK (per_user_limit >= 1)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One index serves both "what does this user have of this template" and the
-- user's wallet; its user_seq makes one coupon too many a duplicate key. Nothing
-- looks a coupon up by its code alone, so that has no index: random inserts are
-- what a claim could least afford.
CREATE TABLE coupons (
    id           BIGINT      NOT NULL PRIMARY KEY,
    code         VARCHAR(32) NOT NULL,
    template_id  BIGINT      NOT NULL,
    rule_version INT         NOT NULL,
    user_id      VARCHAR(64) NOT NULL,
    user_seq     BIGINT      NOT NULL COMMENT '1, 2 … within user and template',
    issue_no     BIGINT      NOT NULL COMMENT '1, 2 … within template, no gap',
    status       VARCHAR(10) NOT NULL,
    valid_from   BIGINT      NOT NULL,
    expires_at   BIGINT      NOT NULL,
    claimed_at   BIGINT      NOT NULL,
    UNIQUE KEY coupons_of_user (user_id, template_id, user_seq),
    UNIQUE KEY coupons_in_order (template_id, issue_no),
    CONSTRAINT coupons_status CHECK (status IN ('available', 'locked', 'used', 'expired', 'revoked')),
    CONSTRAINT coupons_counts CHECK (user_seq >= 1 AND issue_no >= 1)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- A claim whose fate nobody knew and that was settled as lost. Should it come
-- after all, it finds its tombstone and is refused.
CREATE TABLE claim_tombstones (
    claim_id    BIGINT NOT NULL PRIMARY KEY,
    template_id BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    KEY claim_tombstones_by_age (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE idempotency_keys (
    id         BINARY(32) NOT NULL PRIMARY KEY COMMENT 'SHA-256 of credential, route and key',
    hash       BINARY(32) NOT NULL COMMENT 'SHA-256 of the request',
    status     INT        NOT NULL,
    body       MEDIUMBLOB NOT NULL,
    created_at BIGINT     NOT NULL,
    KEY idempotency_keys_by_age (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE api_keys (
    id          BIGINT       NOT NULL PRIMARY KEY,
    hash        BINARY(32)   NOT NULL COMMENT 'SHA-256 of the secret, which is kept nowhere',
    role        VARCHAR(10)  NOT NULL,
    merchant_id VARCHAR(64)  NOT NULL DEFAULT '',
    name        VARCHAR(200) NOT NULL DEFAULT '',
    created_at  BIGINT       NOT NULL,
    UNIQUE KEY api_keys_by_hash (hash),
    KEY api_keys_of_merchant (merchant_id, id),
    CONSTRAINT api_keys_role CHECK (role IN ('platform', 'merchant', 'service'))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE audit_log (
    id          BIGINT       NOT NULL PRIMARY KEY,
    at          BIGINT       NOT NULL,
    actor       VARCHAR(80)  NOT NULL,
    role        VARCHAR(10)  NOT NULL,
    merchant_id VARCHAR(64)  NOT NULL DEFAULT '' COMMENT 'whose thing was changed',
    action      VARCHAR(40)  NOT NULL,
    resource    VARCHAR(20)  NOT NULL,
    resource_id BIGINT       NOT NULL,
    request_id  VARCHAR(128) NOT NULL DEFAULT '',
    detail      LONGTEXT     NULL,
    KEY audit_log_of_merchant (merchant_id, id),
    KEY audit_log_of_resource (resource, resource_id, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Who does what alone: worker numbers of id makers ('worker:17') and background
-- jobs. The token grows with every new owner, so that a frozen one who wakes up
-- can be told from its successor.
CREATE TABLE leases (
    name  VARCHAR(64) NOT NULL PRIMARY KEY,
    owner VARCHAR(64) NOT NULL,
    until BIGINT      NOT NULL,
    token BIGINT      NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE leases;
DROP TABLE audit_log;
DROP TABLE api_keys;
DROP TABLE idempotency_keys;
DROP TABLE claim_tombstones;
DROP TABLE coupons;
DROP TABLE templates;
DROP TABLE rule_versions;
DROP TABLE rules;
