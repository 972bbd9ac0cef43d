-- Checkout: locks on coupons, the budgets that they hold, and what both did.
--
-- Who writes in one of these tables has locked, in this order, the rows of locks
-- by xid, those of budgets by id, those of coupons by id. The rows that hang on
-- a lock or on a budget are locked with it. A new lock is inserted last of all.

-- +goose Up
ALTER TABLE coupons ADD COLUMN lock_id BIGINT NULL COMMENT 'that holds or used it';
ALTER TABLE coupons ADD COLUMN order_id VARCHAR(64) NULL COMMENT 'of that lock';
ALTER TABLE coupons ADD COLUMN used_at BIGINT NULL;
ALTER TABLE coupons ADD CONSTRAINT coupons_lock CHECK ((lock_id IS NOT NULL) = (status IN ('locked', 'used')));
ALTER TABLE coupons ADD CONSTRAINT coupons_order CHECK ((order_id IS NOT NULL) = (status IN ('locked', 'used')));
ALTER TABLE coupons ADD CONSTRAINT coupons_used CHECK ((used_at IS NOT NULL) = (status = 'used'));

-- What a budget is. This row is locked by whoever moves its counters, which
-- stand in budget_periods and budget_users.
CREATE TABLE budgets (
    id             BIGINT       NOT NULL PRIMARY KEY,
    merchant_id    VARCHAR(64)  NOT NULL DEFAULT '' COMMENT 'empty: the platform''s own',
    version        BIGINT       NOT NULL COMMENT 'counts edits; locks leave it alone',
    name           VARCHAR(200) NOT NULL,
    kind           VARCHAR(10)  NOT NULL,
    currency       CHAR(3)      NULL COMMENT 'of an amount; NULL for a count',
    is_limited     BOOLEAN      NOT NULL,
    total          BIGINT       NOT NULL,
    period         VARCHAR(10)  NOT NULL,
    per_user_total BIGINT       NULL COMMENT 'NULL: no limit',
    time_zone      VARCHAR(64)  NOT NULL,
    alert_at_bp    LONGTEXT     NOT NULL,
    created_at     BIGINT       NOT NULL,
    updated_at     BIGINT       NOT NULL,
    KEY budgets_of_merchant (merchant_id, id),
    CONSTRAINT budgets_kind CHECK (kind IN ('amount', 'count')),
    CONSTRAINT budgets_currency CHECK ((currency IS NOT NULL) = (kind = 'amount')),
    CONSTRAINT budgets_period CHECK (period IN ('none', 'day', 'week', 'month')),
    CONSTRAINT budgets_total CHECK (total >= 0 AND (per_user_total IS NULL OR per_user_total >= 1))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- A budget's counters. Those of a period that is over stay: a lock ends, and an
-- order is refunded, in the period of its Try.
CREATE TABLE budget_periods (
    budget_id    BIGINT NOT NULL,
    period_start BIGINT NOT NULL COMMENT '0: no periods',
    used         BIGINT NOT NULL,
    held         BIGINT NOT NULL,
    total        BIGINT NULL COMMENT 'as the budget had it last in this period; NULL: not limited',
    alerted_bp   BIGINT NOT NULL DEFAULT 0 COMMENT 'the highest threshold that was told of',
    PRIMARY KEY (budget_id, period_start),
    CONSTRAINT budget_periods_used CHECK (used >= 0),
    CONSTRAINT budget_periods_held CHECK (held >= 0),
    CONSTRAINT budget_periods_total CHECK (total IS NULL OR used + held <= total)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE budget_users (
    budget_id    BIGINT      NOT NULL,
    period_start BIGINT      NOT NULL,
    user_id      VARCHAR(64) NOT NULL,
    used         BIGINT      NOT NULL,
    held         BIGINT      NOT NULL,
    PRIMARY KEY (budget_id, period_start, user_id),
    CONSTRAINT budget_users_used CHECK (used >= 0),
    CONSTRAINT budget_users_held CHECK (held >= 0)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The ledger, only ever added to. The counters are its sums: held is what was
-- put on hold less what was used or released, used is what was used less what
-- was returned. Its unique key makes the same step twice impossible.
CREATE TABLE budget_usages (
    id           BIGINT      NOT NULL PRIMARY KEY,
    budget_id    BIGINT      NOT NULL,
    period_start BIGINT      NOT NULL,
    lock_id      BIGINT      NOT NULL,
    coupon_id    BIGINT      NOT NULL,
    user_id      VARCHAR(64) NOT NULL,
    step         VARCHAR(10) NOT NULL,
    refund_id    VARCHAR(64) NOT NULL DEFAULT '' COMMENT 'of a return',
    amount       BIGINT      NOT NULL,
    created_at   BIGINT      NOT NULL,
    UNIQUE KEY budget_usages_of_lock (lock_id, coupon_id, budget_id, step, refund_id),
    KEY budget_usages_of_budget (budget_id, id),
    CONSTRAINT budget_usages_step CHECK (step IN ('hold', 'use', 'release', 'return')),
    CONSTRAINT budget_usages_refund CHECK ((refund_id <> '') = (step = 'return')),
    CONSTRAINT budget_usages_amount CHECK (amount >= 1)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE template_budgets (
    template_id BIGINT NOT NULL,
    budget_id   BIGINT NOT NULL,
    position    INT    NOT NULL COMMENT 'in the owner''s list, from 0',
    PRIMARY KEY (template_id, budget_id),
    KEY template_budgets_of_budget (budget_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One row an xid, for ever. A Cancel that came before its Try leaves one without
-- hash, order and user, so that the late Try is refused.
CREATE TABLE locks (
    id         BIGINT       NOT NULL PRIMARY KEY,
    xid        VARCHAR(191) NOT NULL,
    hash       BINARY(32)   NULL COMMENT 'SHA-256 of the request',
    order_id   VARCHAR(64)  NULL,
    user_id    VARCHAR(64)  NULL,
    state      VARCHAR(10)  NOT NULL,
    expires_at BIGINT       NULL,
    cancel_at  BIGINT       NULL COMMENT 'when an expired one was cancelled: no Try after that',
    created_at BIGINT       NOT NULL,
    updated_at BIGINT       NOT NULL,
    UNIQUE KEY locks_by_xid (xid),
    KEY locks_by_end (state, expires_at),
    CONSTRAINT locks_state CHECK (state IN ('locked', 'confirmed', 'cancelled', 'expired')),
    CONSTRAINT locks_tombstone CHECK (state = 'cancelled'
        OR hash IS NOT NULL AND order_id IS NOT NULL AND user_id IS NOT NULL AND expires_at IS NOT NULL)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- What a lock froze at its Try, and what of that was refunded since. Apart from
-- locks, whose rows stay short; locked with them.
CREATE TABLE lock_quotes (
    lock_id         BIGINT   NOT NULL PRIMARY KEY,
    frozen          LONGTEXT NOT NULL COMMENT 'never changes',
    payable         BIGINT   NOT NULL COMMENT 'the lines'' totals: the most that refunds can come to',
    refunds         BIGINT   NOT NULL DEFAULT 0 COMMENT 'how many there were',
    refunded_amount BIGINT   NOT NULL DEFAULT 0,
    refunded_units  LONGTEXT NULL COMMENT 'by line_id',
    CONSTRAINT lock_quotes_refunded CHECK (refunds >= 0 AND refunded_amount >= 0 AND refunded_amount <= payable)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE refunds (
    id         BIGINT      NOT NULL PRIMARY KEY,
    lock_id    BIGINT      NOT NULL,
    refund_id  VARCHAR(64) NOT NULL,
    hash       BINARY(32)  NOT NULL COMMENT 'SHA-256 of the request',
    amount     BIGINT      NOT NULL,
    body       LONGTEXT    NOT NULL COMMENT 'the answer',
    created_at BIGINT      NOT NULL,
    UNIQUE KEY refunds_of_lock (lock_id, refund_id),
    CONSTRAINT refunds_amount CHECK (amount >= 0)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Who did what to which coupon, in which lock, and when.
CREATE TABLE coupon_operations (
    id         BIGINT      NOT NULL PRIMARY KEY,
    coupon_id  BIGINT      NOT NULL,
    lock_id    BIGINT      NOT NULL,
    step       VARCHAR(10) NOT NULL,
    actor      VARCHAR(80) NOT NULL,
    created_at BIGINT      NOT NULL,
    UNIQUE KEY coupon_operations_of_lock (lock_id, coupon_id, step),
    KEY coupon_operations_of_coupon (coupon_id, id),
    CONSTRAINT coupon_operations_step CHECK (step IN ('lock', 'confirm', 'cancel', 'expire', 'return'))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- What is to be told to the outside, written in the transaction of what it
-- tells of.
CREATE TABLE outbox (
    id         BIGINT      NOT NULL PRIMARY KEY,
    kind       VARCHAR(40) NOT NULL,
    payload    LONGTEXT    NOT NULL,
    created_at BIGINT      NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

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
ALTER TABLE coupons DROP CONSTRAINT coupons_used;
ALTER TABLE coupons DROP CONSTRAINT coupons_order;
ALTER TABLE coupons DROP CONSTRAINT coupons_lock;
ALTER TABLE coupons DROP COLUMN used_at;
ALTER TABLE coupons DROP COLUMN order_id;
ALTER TABLE coupons DROP COLUMN lock_id;
