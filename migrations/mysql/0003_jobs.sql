-- Long work: a job, cut into tasks that workers of any instance lease.
--
-- A task's transaction locks the task's row first and the job's row last, with
-- all that the task is about in between, in the order of 0002. Whoever pauses or
-- cancels a job locks the job's row alone; so from then on no task of it commits.

-- +goose Up
CREATE TABLE jobs (
    id          BIGINT        NOT NULL PRIMARY KEY,
    kind        VARCHAR(20)   NOT NULL,
    merchant_id VARCHAR(64)   NOT NULL DEFAULT '' COMMENT 'empty: the platform''s own',
    state       VARCHAR(10)   NOT NULL,
    total       BIGINT        NOT NULL COMMENT 'units of work that its tasks were made for',
    done        BIGINT        NOT NULL DEFAULT 0 COMMENT 'of total, dealt with',
    failed      BIGINT        NOT NULL DEFAULT 0 COMMENT 'of done, in vain',
    rate        BIGINT        NULL COMMENT 'units a second; NULL: no limit',
    next_at     BIGINT        NOT NULL DEFAULT 0 COMMENT 'when the rate lets the next task begin',
    error       VARCHAR(1000) NULL,
    created_at  BIGINT        NOT NULL,
    updated_at  BIGINT        NOT NULL,
    finished_at BIGINT        NULL,
    KEY jobs_of_merchant (merchant_id, id),
    KEY jobs_by_state (state, id),
    CONSTRAINT jobs_kind CHECK (kind IN ('codes', 'distribution')),
    CONSTRAINT jobs_state CHECK (state IN ('queued', 'running', 'paused', 'done', 'failed', 'cancelled')),
    CONSTRAINT jobs_counts CHECK (0 <= failed AND failed <= done AND done <= total),
    CONSTRAINT jobs_rate CHECK (rate IS NULL OR rate >= 1),
    CONSTRAINT jobs_finished CHECK ((finished_at IS NOT NULL) = (state IN ('done', 'failed', 'cancelled')))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The token grows with every lease. Whoever commits a task names the token under
-- which it leased it, so one that was frozen past its lease commits nothing.
CREATE TABLE tasks (
    job_id      BIGINT      NOT NULL,
    seq         BIGINT      NOT NULL COMMENT 'within the job, from 1',
    state       VARCHAR(10) NOT NULL,
    units       BIGINT      NOT NULL COMMENT 'of the job''s total',
    owner       VARCHAR(64) NOT NULL DEFAULT '' COMMENT 'the last that leased it',
    token       BIGINT      NOT NULL DEFAULT 0,
    lease_until BIGINT      NOT NULL DEFAULT 0,
    attempts    BIGINT      NOT NULL DEFAULT 0 COMMENT 'leases that ended in a failure, or in none',
    not_before  BIGINT      NOT NULL DEFAULT 0,
    args        LONGTEXT    NULL COMMENT 'what to do; NULL once it is done',
    PRIMARY KEY (job_id, seq),
    KEY tasks_to_do (job_id, state, lease_until),
    CONSTRAINT tasks_state CHECK (state IN ('ready', 'done', 'dead')),
    CONSTRAINT tasks_units CHECK (units >= 0)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE tasks;
DROP TABLE jobs;
