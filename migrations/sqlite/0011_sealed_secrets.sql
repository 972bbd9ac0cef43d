-- The secrets of webhooks are sealed, as the texts of claim codes are.
--
-- The key is not here, so what lies here in the clear is sealed by whoever starts
-- first. The column has another name: an instance of before, that still runs,
-- fails on it and leaves its deliveries to the others. It would sign them with
-- what is sealed.

-- +goose Up
ALTER TABLE webhooks RENAME COLUMN secret TO sealed; -- the secret, under AES-256-GCM; nonce first

-- +goose Down
DELETE FROM webhooks; -- nothing here can open their secrets: they have to be made anew
ALTER TABLE webhooks RENAME COLUMN sealed TO secret;
