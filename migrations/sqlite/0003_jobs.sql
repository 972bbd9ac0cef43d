-- The same tables as in ../mysql, where each is explained.

-- +goose Up
CREATE TABLE jobs (
    id          INTEGER NOT NULL PRIMARY KEY,
    kind        TEXT NOT NULL,
    merchant_id TEXT NOT NULL DEFAULT '',
    state       TEXT NOT NULL,
    total       INTEGER NOT NULL,
    done        INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    rate        INTEGER,
    next_at     INTEGER NOT NULL DEFAULT 0,
    error       TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    finished_at INTEGER,
    CONSTRAINT jobs_kind CHECK (kind IN ('codes', 'distribution')),
    CONSTRAINT jobs_state CHECK (state IN ('queued', 'running', 'paused', 'done', 'failed', 'cancelled')),
    CONSTRAINT jobs_counts CHECK (0 <= failed AND failed <= done AND done <= total),
    CONSTRAINT jobs_rate CHECK (rate IS NULL OR rate >= 1),
    CONSTRAINT jobs_finished CHECK ((finished_at IS NOT NULL) = (state IN ('done', 'failed', 'cancelled')))
) STRICT;
CREATE INDEX jobs_of_merchant ON jobs (merchant_id, id);
CREATE INDEX jobs_by_state ON jobs (state, id);

CREATE TABLE tasks (
    job_id      INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    state       TEXT NOT NULL,
    units       INTEGER NOT NULL,
    owner       TEXT NOT NULL DEFAULT '',
    token       INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    not_before  INTEGER NOT NULL DEFAULT 0,
    args        TEXT,
    PRIMARY KEY (job_id, seq),
    CONSTRAINT tasks_state CHECK (state IN ('ready', 'done', 'dead')),
    CONSTRAINT tasks_units CHECK (units >= 0)
) STRICT;
CREATE INDEX tasks_to_do ON tasks (job_id, state, lease_until);

-- +goose Down
DROP TABLE tasks;
DROP TABLE jobs;
