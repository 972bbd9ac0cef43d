-- Messages: what happened, told to merchants' servers, and texts, told to users.
--
-- Both are written in the transaction of their cause. What is told of in the
-- outbox becomes one delivery for each webhook that asks for it; a message has
-- its deliveries from the start. A delivery is leased, sent and marked; who was
-- cut off in between sends it again under the same id.

-- +goose Up
ALTER TABLE outbox ADD COLUMN merchant_id TEXT NOT NULL DEFAULT ''; -- whose thing it is about
ALTER TABLE outbox ADD COLUMN relayed_at INTEGER NULL; -- when its deliveries were made
CREATE INDEX outbox_to_relay ON outbox (relayed_at, id);
CREATE INDEX outbox_by_age ON outbox (created_at);

ALTER TABLE distributions ADD COLUMN notice TEXT NULL; -- what its users are told

CREATE TABLE webhooks (
    id          INTEGER NOT NULL PRIMARY KEY,
    merchant_id TEXT NOT NULL DEFAULT '', -- empty: the platform's, which hears of all
    url         TEXT NOT NULL,
    events      TEXT NOT NULL,
    secret      BLOB NOT NULL,
    state       TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    disabled_at INTEGER NULL,
    CONSTRAINT webhooks_state CHECK (state IN ('active', 'disabled')),
    CONSTRAINT webhooks_disabled CHECK ((disabled_at IS NOT NULL) = (state = 'disabled'))
) STRICT;
CREATE INDEX webhooks_of_merchant ON webhooks (merchant_id, id);

-- A text, once for all who get it. Its name keeps a repeated cause from making
-- it twice.
CREATE TABLE message_contents (
    id          INTEGER NOT NULL PRIMARY KEY,
    merchant_id TEXT NOT NULL DEFAULT '',
    name        TEXT NOT NULL, -- kind and id of the cause
    kind        TEXT NOT NULL,
    notice      TEXT NOT NULL, -- channels, and the text in each language
    facts       TEXT NOT NULL, -- what its placeholders stand for, the same for all
    about       TEXT NOT NULL, -- ids of what it is about
    created_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX message_contents_by_name ON message_contents (name);

-- One user's copy. Of one content a user gets one message for each occasion, such
-- as the day of a reminder.
CREATE TABLE messages (
    user_id    TEXT NOT NULL,
    id         INTEGER NOT NULL,
    content_id INTEGER NOT NULL,
    occasion   INTEGER NOT NULL,
    facts      TEXT NULL, -- what the content's placeholders stand for, for this user
    inbox      INTEGER NOT NULL, -- 0: it only goes out by other channels
    created_at INTEGER NOT NULL,
    read_at    INTEGER NULL,
    PRIMARY KEY (user_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX messages_of_content ON messages (user_id, content_id, occasion);
CREATE INDEX messages_by_age ON messages (created_at);

-- queue is where a delivery waits: 'mail', 'sms', or 'webhook:' and an id; NULL once
-- it waits no more. Nothing in one queue is held up by what is in another.
CREATE TABLE deliveries (
    id          INTEGER NOT NULL PRIMARY KEY,
    queue       TEXT NULL,
    channel     TEXT NOT NULL,
    user_id     TEXT NULL, -- of the message
    message_id  INTEGER NULL,
    webhook_id  INTEGER NULL,
    event_id    INTEGER NULL, -- in the outbox
    state       TEXT NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0, -- begun
    not_before  INTEGER NOT NULL, -- when it may be leased; the end of the lease while it is
    token       INTEGER NOT NULL DEFAULT 0, -- of the lease, greater than all before it
    error       TEXT NULL, -- of the last attempt
    created_at  INTEGER NOT NULL,
    finished_at INTEGER NULL,
    CONSTRAINT deliveries_channel CHECK (channel IN ('mail', 'sms', 'webhook')),
    CONSTRAINT deliveries_state CHECK (state IN ('waiting', 'sent', 'failed')),
    CONSTRAINT deliveries_queue CHECK ((queue IS NOT NULL) = (state = 'waiting')),
    CONSTRAINT deliveries_finished CHECK ((finished_at IS NOT NULL) = (state <> 'waiting')),
    CONSTRAINT deliveries_what CHECK ((channel = 'webhook') = (webhook_id IS NOT NULL AND event_id IS NOT NULL)
        AND (channel <> 'webhook') = (user_id IS NOT NULL AND message_id IS NOT NULL))
) STRICT;
CREATE INDEX deliveries_waiting ON deliveries (queue, not_before);
CREATE INDEX deliveries_by_age ON deliveries (created_at);
CREATE UNIQUE INDEX deliveries_of_event ON deliveries (webhook_id, event_id);

-- +goose Down
DROP TABLE deliveries;
DROP TABLE messages;
DROP TABLE message_contents;
DROP TABLE webhooks;
ALTER TABLE distributions DROP COLUMN notice;
DROP INDEX outbox_by_age;
DROP INDEX outbox_to_relay;
ALTER TABLE outbox DROP COLUMN relayed_at;
ALTER TABLE outbox DROP COLUMN merchant_id;
