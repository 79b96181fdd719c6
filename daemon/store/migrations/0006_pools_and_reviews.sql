-- Caller IDs are used in sets; a campaign may be declared to call companies alone.
ALTER TABLE caller_ids ADD COLUMN pool text NOT NULL DEFAULT '';
ALTER TABLE campaigns
    ADD COLUMN caller_id_pool text NOT NULL DEFAULT '',
    ADD COLUMN business boolean NOT NULL DEFAULT false;

-- Lists whose leads must be looked through for consent: the rules of a campaign that works them have changed.
CREATE TABLE list_reviews (
    list_id bigint PRIMARY KEY,
    after_id bigint NOT NULL DEFAULT 0,
    asked_at timestamptz NOT NULL
);
