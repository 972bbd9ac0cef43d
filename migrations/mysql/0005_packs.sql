-- Packs: templates that are claimed together. A pack never changes, so nothing
-- locks it.

-- +goose Up
CREATE TABLE packs (
    id          BIGINT       NOT NULL PRIMARY KEY,
    merchant_id VARCHAR(64)  NOT NULL DEFAULT '' COMMENT 'empty: the platform''s own',
    name        VARCHAR(200) NOT NULL,
    created_at  BIGINT       NOT NULL,
    KEY packs_of_merchant (merchant_id, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE pack_items (
    pack_id     BIGINT NOT NULL,
    position    INT    NOT NULL COMMENT 'in the owner''s list, from 0',
    template_id BIGINT NOT NULL,
    quantity    BIGINT NOT NULL,
    PRIMARY KEY (pack_id, position),
    UNIQUE KEY pack_items_once (pack_id, template_id),
    CONSTRAINT pack_items_quantity CHECK (quantity >= 1)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Who got a pack, and which coupons with it: written with the coupons.
CREATE TABLE pack_claims (
    id         BIGINT      NOT NULL PRIMARY KEY,
    pack_id    BIGINT      NOT NULL,
    user_id    VARCHAR(64) NOT NULL,
    claimed_at BIGINT      NOT NULL,
    KEY pack_claims_of_pack (pack_id, user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE pack_coupons (
    pack_claim_id BIGINT NOT NULL,
    coupon_id     BIGINT NOT NULL,
    PRIMARY KEY (pack_claim_id, coupon_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE pack_coupons;
DROP TABLE pack_claims;
DROP TABLE pack_items;
DROP TABLE packs;
