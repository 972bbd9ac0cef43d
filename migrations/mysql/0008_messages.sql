-- Messages: what happened, told to merchants' servers, and texts, told to users.
--
-- Both are written in the transaction of their cause. What is told of in the
-- outbox becomes one delivery for each webhook that asks for it; a message has
-- its deliveries from the start. A delivery is leased, sent and marked; who was
-- cut off in between sends it again under the same id.

-- +goose Up
ALTER TABLE outbox ADD COLUMN merchant_id VARCHAR(64) NOT NULL DEFAULT '' COMMENT 'whose thing it is about';
ALTER TABLE outbox ADD COLUMN relayed_at BIGINT NULL COMMENT 'when its deliveries were made';
ALTER TABLE outbox ADD KEY outbox_to_relay (relayed_at, id);
ALTER TABLE outbox ADD KEY outbox_by_age (created_at);

ALTER TABLE distributions ADD COLUMN notice LONGTEXT NULL COMMENT 'what its users are told';

CREATE TABLE webhooks (
    id          BIGINT         NOT NULL PRIMARY KEY,
    merchant_id VARCHAR(64)    NOT NULL DEFAULT '' COMMENT 'empty: the platform''s, which hears of all',
    url         VARCHAR(2000)  NOT NULL,
    events      LONGTEXT       NOT NULL,
    secret      VARBINARY(255) NOT NULL,
    state       VARCHAR(10)    NOT NULL,
    created_at  BIGINT         NOT NULL,
    disabled_at BIGINT         NULL,
    KEY webhooks_of_merchant (merchant_id, id),
    CONSTRAINT webhooks_state CHECK (state IN ('active', 'disabled')),
    CONSTRAINT webhooks_disabled CHECK ((disabled_at IS NOT NULL) = (state = 'disabled'))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- A text, once for all who get it. Its name keeps a repeated cause from making
-- it twice.
CREATE TABLE message_contents (
    id          BIGINT       NOT NULL PRIMARY KEY,
    merchant_id VARCHAR(64)  NOT NULL DEFAULT '',
    name        VARCHAR(100) NOT NULL COMMENT 'kind and id of the cause',
    kind        VARCHAR(20)  NOT NULL,
    notice      LONGTEXT     NOT NULL COMMENT 'channels, and the text in each language',
    facts       LONGTEXT     NOT NULL COMMENT 'what its placeholders stand for, the same for all',
    about       LONGTEXT     NOT NULL COMMENT 'ids of what it is about',
    created_at  BIGINT       NOT NULL,
    UNIQUE KEY message_contents_by_name (name)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One user's copy. Of one content a user gets one message for each occasion, such
-- as the day of a reminder.
CREATE TABLE messages (
    user_id    VARCHAR(64) NOT NULL,
    id         BIGINT      NOT NULL,
    content_id BIGINT      NOT NULL,
    occasion   BIGINT      NOT NULL,
    facts      LONGTEXT    NULL COMMENT 'what the content''s placeholders stand for, for this user',
    inbox      BOOLEAN     NOT NULL COMMENT 'false: it only goes out by other channels',
    created_at BIGINT      NOT NULL,
    read_at    BIGINT      NULL,
    PRIMARY KEY (user_id, id),
    UNIQUE KEY messages_of_content (user_id, content_id, occasion),
    KEY messages_by_age (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- queue is where a delivery waits: 'mail', 'sms', or 'webhook:' and an id; NULL once
-- it waits no more. Nothing in one queue is held up by what is in another.
CREATE TABLE deliveries (
    id          BIGINT       NOT NULL PRIMARY KEY,
    queue       VARCHAR(40)  NULL,
    channel     VARCHAR(10)  NOT NULL,
    user_id     VARCHAR(64)  NULL COMMENT 'of the message',
    message_id  BIGINT       NULL,
    webhook_id  BIGINT       NULL,
    event_id    BIGINT       NULL COMMENT 'in the outbox',
    state       VARCHAR(10)  NOT NULL,
    attempts    INT          NOT NULL DEFAULT 0 COMMENT 'begun',
    not_before  BIGINT       NOT NULL COMMENT 'when it may be leased; the end of the lease while it is',
    token       BIGINT       NOT NULL DEFAULT 0 COMMENT 'of the lease, greater than all before it',
    error       VARCHAR(200) NULL COMMENT 'of the last attempt',
    created_at  BIGINT       NOT NULL,
    finished_at BIGINT       NULL,
    KEY deliveries_waiting (queue, not_before),
    KEY deliveries_by_age (created_at),
    UNIQUE KEY deliveries_of_event (webhook_id, event_id),
    CONSTRAINT deliveries_channel CHECK (channel IN ('mail', 'sms', 'webhook')),
    CONSTRAINT deliveries_state CHECK (state IN ('waiting', 'sent', 'failed')),
    CONSTRAINT deliveries_queue CHECK ((queue IS NOT NULL) = (state = 'waiting')),
    CONSTRAINT deliveries_finished CHECK ((finished_at IS NOT NULL) = (state <> 'waiting')),
    CONSTRAINT deliveries_what CHECK ((channel = 'webhook') = (webhook_id IS NOT NULL AND event_id IS NOT NULL)
        AND (channel <> 'webhook') = (user_id IS NOT NULL AND message_id IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE deliveries;
DROP TABLE messages;
DROP TABLE message_contents;
DROP TABLE webhooks;
ALTER TABLE distributions DROP COLUMN notice;
ALTER TABLE outbox DROP KEY outbox_by_age;
ALTER TABLE outbox DROP KEY outbox_to_relay;
ALTER TABLE outbox DROP COLUMN relayed_at;
ALTER TABLE outbox DROP COLUMN merchant_id;
