-- The audience: what a merchant, or the platform, knows of users. Each keeps its
-- own; a user of two merchants has two rows.
--
-- Written in this order: users by (merchant_id, user_id), then their tags.

-- +goose Up
CREATE TABLE users (
    merchant_id    VARCHAR(64)  NOT NULL COMMENT 'empty: the platform''s own',
    user_id        VARCHAR(64)  NOT NULL,
    locale         VARCHAR(35)  NOT NULL DEFAULT '' COMMENT 'BCP 47; empty, as the next two: not known',
    email          VARCHAR(254) NOT NULL DEFAULT '',
    phone          VARCHAR(16)  NOT NULL DEFAULT '' COMMENT 'E.164',
    last_active_at BIGINT       NULL,
    created_at     BIGINT       NOT NULL,
    updated_at     BIGINT       NOT NULL,
    PRIMARY KEY (merchant_id, user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- By tag for distributions, which walk along the key; by user for claims.
CREATE TABLE user_tags (
    merchant_id VARCHAR(64) NOT NULL,
    tag         VARCHAR(64) NOT NULL,
    user_id     VARCHAR(64) NOT NULL,
    PRIMARY KEY (merchant_id, tag, user_id),
    KEY user_tags_of_user (user_id, merchant_id, tag)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE user_tags;
DROP TABLE users;
