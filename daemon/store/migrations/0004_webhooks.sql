-- Webhooks (CRMI-03). A webhook's secrets are derived from a key that is a file outside the database, its id and this
-- generation; after a rotation the generation before stays good until `previous_until`. `key_id` tells which key.
ALTER TABLE webhooks
    ADD COLUMN generation integer NOT NULL DEFAULT 1,
    ADD COLUMN previous_until timestamptz,
    ADD COLUMN key_id text NOT NULL DEFAULT '';

-- Until when a row is tried; NULL = a day after what it tells of. A replay sets it anew.
ALTER TABLE outbox ADD COLUMN expires_at timestamptz;

CREATE INDEX outbox_due_of_webhook ON outbox (webhook_id, next_at) WHERE dead_at IS NULL;
CREATE INDEX outbox_of_call ON outbox (webhook_id, attempt_id, fence, n) WHERE dead_at IS NULL;
CREATE INDEX outbox_dead ON outbox (webhook_id, at, fence, n) WHERE dead_at IS NOT NULL;
