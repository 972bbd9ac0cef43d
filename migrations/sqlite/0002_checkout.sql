-- The same tables as in ../mysql, where each is explained. A CHECK that comes
-- with a column may look at the others, too.

-- +goose Up
ALTER TABLE coupons ADD COLUMN lock_id INTEGER
    CONSTRAINT coupons_lock CHECK ((lock_id IS NOT NULL) = (status IN ('locked', 'used')));
ALTER TABLE coupons ADD COLUMN order_id TEXT
    CONSTRAINT coupons_order CHECK ((order_id IS NOT NULL) = (status IN ('locked', 'used')));
ALTER TABLE coupons ADD COLUMN used_at INTEGER
    CONSTRAINT coupons_used CHECK ((used_at IS NOT NULL) = (status = 'used'));

CREATE TABLE budgets (
    id             INTEGER NOT NULL PRIMARY KEY,
    merchant_id    TEXT NOT NULL DEFAULT '',
    version        INTEGER NOT NULL,
    name           TEXT NOT NULL,
    kind           TEXT NOT NULL,
    currency       TEXT,
    is_limited     INTEGER NOT NULL,
    total          INTEGER NOT NULL,
    period         TEXT NOT NULL,
    per_user_total INTEGER,
    time_zone      TEXT NOT NULL,
    alert_at_bp    TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    CONSTRAINT budgets_kind CHECK (kind IN ('amount', 'count')),
    CONSTRAINT budgets_currency CHECK ((currency IS NOT NULL) = (kind = 'amount')),
    CONSTRAINT budgets_limited CHECK (is_limited IN (0, 1)),
    CONSTRAINT budgets_period CHECK (period IN ('none', 'day', 'week', 'month')),
    CONSTRAINT budgets_total CHECK (total >= 0 AND (per_user_total IS NULL OR per_user_total >= 1))
) STRICT;
CREATE INDEX budgets_of_merchant ON budgets (merchant_id, id);

CREATE TABLE budget_periods (
    budget_id    INTEGER NOT NULL,
    period_start INTEGER NOT NULL,
    used         INTEGER NOT NULL,
    held         INTEGER NOT NULL,
    total        INTEGER,
    alerted_bp   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (budget_id, period_start),
    CONSTRAINT budget_periods_used CHECK (used >= 0),
    CONSTRAINT budget_periods_held CHECK (held >= 0),
    CONSTRAINT budget_periods_total CHECK (total IS NULL OR used + held <= total)
) STRICT;

CREATE TABLE budget_users (
    budget_id    INTEGER NOT NULL,
    period_start INTEGER NOT NULL,
    user_id      TEXT NOT NULL,
    used         INTEGER NOT NULL,
    held         INTEGER NOT NULL,
    PRIMARY KEY (budget_id, period_start, user_id),
    CONSTRAINT budget_users_used CHECK (used >= 0),
    CONSTRAINT budget_users_held CHECK (held >= 0)
) STRICT;

CREATE TABLE budget_usages (
    id           INTEGER NOT NULL PRIMARY KEY,
    budget_id    INTEGER NOT NULL,
    period_start INTEGER NOT NULL,
    lock_id      INTEGER NOT NULL,
    coupon_id    INTEGER NOT NULL,
    user_id      TEXT NOT NULL,
    step         TEXT NOT NULL,
    refund_id    TEXT NOT NULL DEFAULT '',
    amount       INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    CONSTRAINT budget_usages_step CHECK (step IN ('hold', 'use', 'release', 'return')),
    CONSTRAINT budget_usages_refund CHECK ((refund_id <> '') = (step = 'return')),
    CONSTRAINT budget_usages_amount CHECK (amount >= 1)
) STRICT;
CREATE UNIQUE INDEX budget_usages_of_lock ON budget_usages (lock_id, coupon_id, budget_id, step, refund_id);
CREATE INDEX budget_usages_of_budget ON budget_usages (budget_id, id);

CREATE TABLE template_budgets (
    template_id INTEGER NOT NULL,
    budget_id   INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    PRIMARY KEY (template_id, budget_id)
) STRICT;
CREATE INDEX template_budgets_of_budget ON template_budgets (budget_id);

CREATE TABLE locks (
    id         INTEGER NOT NULL PRIMARY KEY,
    xid        TEXT NOT NULL,
    hash       BLOB,
    order_id   TEXT,
    user_id    TEXT,
    state      TEXT NOT NULL,
    expires_at INTEGER,
    cancel_at  INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT locks_state CHECK (state IN ('locked', 'confirmed', 'cancelled', 'expired')),
    CONSTRAINT locks_tombstone CHECK (state = 'cancelled'
        OR hash IS NOT NULL AND order_id IS NOT NULL AND user_id IS NOT NULL AND expires_at IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX locks_by_xid ON locks (xid);
CREATE INDEX locks_by_end ON locks (state, expires_at);

CREATE TABLE lock_quotes (
    lock_id         INTEGER NOT NULL PRIMARY KEY,
    frozen          TEXT NOT NULL,
    payable         INTEGER NOT NULL,
    refunds         INTEGER NOT NULL DEFAULT 0,
    refunded_amount INTEGER NOT NULL DEFAULT 0,
    refunded_units  TEXT,
    CONSTRAINT lock_quotes_refunded CHECK (refunds >= 0 AND refunded_amount >= 0 AND refunded_amount <= payable)
) STRICT;

CREATE TABLE refunds (
    id         INTEGER NOT NULL PRIMARY KEY,
    lock_id    INTEGER NOT NULL,
    refund_id  TEXT NOT NULL,
    hash       BLOB NOT NULL,
    amount     INTEGER NOT NULL,
    body       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT refunds_amount CHECK (amount >= 0)
) STRICT;
CREATE UNIQUE INDEX refunds_of_lock ON refunds (lock_id, refund_id);

CREATE TABLE coupon_operations (
    id         INTEGER NOT NULL PRIMARY KEY,
    coupon_id  INTEGER NOT NULL,
    lock_id    INTEGER NOT NULL,
    step       TEXT NOT NULL,
    actor      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT coupon_operations_step CHECK (step IN ('lock', 'confirm', 'cancel', 'expire', 'return'))
) STRICT;
CREATE UNIQUE INDEX coupon_operations_of_lock ON coupon_operations (lock_id, coupon_id, step);
CREATE INDEX coupon_operations_of_coupon ON coupon_operations (coupon_id, id);

CREATE TABLE outbox (
    id         INTEGER NOT NULL PRIMARY KEY,
    kind       TEXT NOT NULL,
    payload    TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE outbox;
DROP TABLE coupon_operations;
DROP TABLE refunds;
DROP TABLE lock_quotes;
DROP TABLE locks;
DROP TABLE template_budgets;
DROP TABLE budget_usages;
DROP TABLE budget_users;
DROP TABLE budget_periods;
DROP TABLE budgets;
ALTER TABLE coupons DROP COLUMN used_at;
ALTER TABLE coupons DROP COLUMN order_id;
ALTER TABLE coupons DROP COLUMN lock_id;
