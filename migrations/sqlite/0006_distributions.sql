-- The same tables as in ../mysql, where each is explained.

-- +goose Up
CREATE TABLE distributions (
    id          INTEGER NOT NULL PRIMARY KEY,
    template_id INTEGER,
    pack_id     INTEGER,
    audience    TEXT NOT NULL,
    repeats     INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT distributions_what CHECK ((template_id IS NULL) <> (pack_id IS NULL))
) STRICT;

CREATE TABLE distribution_users (
    distribution_id INTEGER NOT NULL,
    user_id         TEXT NOT NULL,
    PRIMARY KEY (distribution_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE distribution_failures (
    distribution_id INTEGER NOT NULL,
    user_id         TEXT NOT NULL,
    code            TEXT NOT NULL,
    detail          TEXT NOT NULL,
    PRIMARY KEY (distribution_id, user_id)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE distribution_failures;
DROP TABLE distribution_users;
DROP TABLE distributions;
