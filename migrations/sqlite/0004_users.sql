-- The same tables as in ../mysql, where each is explained.

-- +goose Up
CREATE TABLE users (
    merchant_id    TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    locale         TEXT NOT NULL DEFAULT '',
    email          TEXT NOT NULL DEFAULT '',
    phone          TEXT NOT NULL DEFAULT '',
    last_active_at INTEGER,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE user_tags (
    merchant_id TEXT NOT NULL,
    tag         TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    PRIMARY KEY (merchant_id, tag, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_tags_of_user ON user_tags (user_id, merchant_id, tag);

-- +goose Down
DROP TABLE user_tags;
DROP TABLE users;
