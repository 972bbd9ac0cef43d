-- Distributions: coupons for an audience, without claims. How far one has come
-- stands in its job, which has the same id; its parts are the job's tasks.

-- +goose Up
CREATE TABLE distributions (
    id          BIGINT   NOT NULL PRIMARY KEY,
    template_id BIGINT   NULL COMMENT 'or a pack',
    pack_id     BIGINT   NULL,
    audience    LONGTEXT NOT NULL COMMENT 'without its list of users: they stand in the tasks',
    repeats     BIGINT   NOT NULL DEFAULT 0 COMMENT 'users that its list had named before',
    CONSTRAINT distributions_what CHECK ((template_id IS NULL) <> (pack_id IS NULL))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Whom a distribution has dealt with, once for ever: written with the coupons, or
-- with the reason why there are none.
CREATE TABLE distribution_users (
    distribution_id BIGINT      NOT NULL,
    user_id         VARCHAR(64) NOT NULL,
    PRIMARY KEY (distribution_id, user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE distribution_failures (
    distribution_id BIGINT       NOT NULL,
    user_id         VARCHAR(64)  NOT NULL,
    code            VARCHAR(40)  NOT NULL,
    detail          VARCHAR(500) NOT NULL,
    PRIMARY KEY (distribution_id, user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE distribution_failures;
DROP TABLE distribution_users;
DROP TABLE distributions;
