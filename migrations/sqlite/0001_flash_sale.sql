-- The same tables as in ../mysql, where each is explained. STRICT makes SQLite
-- refuse a value of the wrong type. To read a time:
-- datetime(claimed_at / 1000, 'unixepoch').

-- +goose Up
CREATE TABLE rules (
    id          INTEGER NOT NULL PRIMARY KEY,
    merchant_id TEXT NOT NULL DEFAULT '',
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX rules_of_merchant ON rules (merchant_id, id);

CREATE TABLE rule_versions (
    rule_id    INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    name       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    effect     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    conditions TEXT NOT NULL,
    stacking   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (rule_id, version),
    CONSTRAINT rule_versions_kind CHECK (kind IN
        ('fixed_price', 'buy_x_get_y', 'percent_off', 'amount_off', 'free_shipping', 'free_item'))
) STRICT;

CREATE TABLE templates (
    id                 INTEGER NOT NULL PRIMARY KEY,
    merchant_id        TEXT NOT NULL DEFAULT '',
    name               TEXT NOT NULL,
    rule_id            INTEGER NOT NULL,
    rule_version       INTEGER NOT NULL,
    currency           TEXT NOT NULL,
    time_zone          TEXT NOT NULL,
    state              TEXT NOT NULL,
    stock              INTEGER,
    claimed            INTEGER NOT NULL DEFAULT 0,
    per_user_limit     INTEGER NOT NULL,
    claim_window       TEXT,
    validity           TEXT NOT NULL,
    audience           TEXT NOT NULL,
    issue              TEXT NOT NULL,
    return_policy      TEXT NOT NULL,
    remind_before_days TEXT,
    metadata           TEXT,
    version            INTEGER NOT NULL,
    epoch              INTEGER NOT NULL DEFAULT 0,
    stock_edits        INTEGER NOT NULL DEFAULT 0,
    tombstones         INTEGER NOT NULL DEFAULT 0,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    CONSTRAINT templates_state CHECK (state IN ('draft', 'active', 'paused', 'ended')),
    CONSTRAINT templates_issue CHECK (issue IN ('claim', 'code', 'distribution')),
    CONSTRAINT templates_claimed CHECK (claimed >= 0 AND (stock IS NULL OR claimed <= stock)),
    CONSTRAINT templates_limit CHECK (per_user_limit >= 1)
) STRICT;
CREATE INDEX templates_of_merchant ON templates (merchant_id, id);
CREATE INDEX templates_of_rule ON templates (rule_id, id);
CREATE INDEX templates_by_state ON templates (state, id);

CREATE TABLE coupons (
    id           INTEGER NOT NULL PRIMARY KEY,
    code         TEXT NOT NULL,
    template_id  INTEGER NOT NULL,
    rule_version INTEGER NOT NULL,
    user_id      TEXT NOT NULL,
    user_seq     INTEGER NOT NULL,
    issue_no     INTEGER NOT NULL,
    status       TEXT NOT NULL,
    valid_from   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    claimed_at   INTEGER NOT NULL,
    CONSTRAINT coupons_status CHECK (status IN ('available', 'locked', 'used', 'expired', 'revoked')),
    CONSTRAINT coupons_counts CHECK (user_seq >= 1 AND issue_no >= 1)
) STRICT;
CREATE UNIQUE INDEX coupons_of_user ON coupons (user_id, template_id, user_seq);
CREATE UNIQUE INDEX coupons_in_order ON coupons (template_id, issue_no);

CREATE TABLE claim_tombstones (
    claim_id    INTEGER NOT NULL PRIMARY KEY,
    template_id INTEGER NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX claim_tombstones_by_age ON claim_tombstones (created_at);

CREATE TABLE idempotency_keys (
    id         BLOB NOT NULL PRIMARY KEY,
    hash       BLOB NOT NULL,
    status     INTEGER NOT NULL,
    body       BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE api_keys (
    id          INTEGER NOT NULL PRIMARY KEY,
    hash        BLOB NOT NULL,
    role        TEXT NOT NULL,
    merchant_id TEXT NOT NULL DEFAULT '',
    name        TEXT NOT NULL DEFAULT '',
    created_at  INTEGER NOT NULL,
    CONSTRAINT api_keys_role CHECK (role IN ('platform', 'merchant', 'service'))
) STRICT;
CREATE UNIQUE INDEX api_keys_by_hash ON api_keys (hash);
CREATE INDEX api_keys_of_merchant ON api_keys (merchant_id, id);

CREATE TABLE audit_log (
    id          INTEGER NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL,
    actor       TEXT NOT NULL,
    role        TEXT NOT NULL,
    merchant_id TEXT NOT NULL DEFAULT '',
    action      TEXT NOT NULL,
    resource    TEXT NOT NULL,
    resource_id INTEGER NOT NULL,
    request_id  TEXT NOT NULL DEFAULT '',
    detail      TEXT
) STRICT;
CREATE INDEX audit_log_of_merchant ON audit_log (merchant_id, id);
CREATE INDEX audit_log_of_resource ON audit_log (resource, resource_id, id);

CREATE TABLE leases (
    name  TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    until INTEGER NOT NULL,
    token INTEGER NOT NULL
) STRICT;

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
