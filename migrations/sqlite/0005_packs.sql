-- The same tables as in ../mysql, where each is explained.

-- +goose Up
CREATE TABLE packs (
    id          INTEGER NOT NULL PRIMARY KEY,
    merchant_id TEXT NOT NULL DEFAULT '',
    name        TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX packs_of_merchant ON packs (merchant_id, id);

CREATE TABLE pack_items (
    pack_id     INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    template_id INTEGER NOT NULL,
    quantity    INTEGER NOT NULL,
    PRIMARY KEY (pack_id, position),
    CONSTRAINT pack_items_once UNIQUE (pack_id, template_id),
    CONSTRAINT pack_items_quantity CHECK (quantity >= 1)
) STRICT;

CREATE TABLE pack_claims (
    id         INTEGER NOT NULL PRIMARY KEY,
    pack_id    INTEGER NOT NULL,
    user_id    TEXT NOT NULL,
    claimed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX pack_claims_of_pack ON pack_claims (pack_id, user_id);

CREATE TABLE pack_coupons (
    pack_claim_id INTEGER NOT NULL,
    coupon_id     INTEGER NOT NULL,
    PRIMARY KEY (pack_claim_id, coupon_id)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE pack_coupons;
DROP TABLE pack_claims;
DROP TABLE pack_items;
DROP TABLE packs;
