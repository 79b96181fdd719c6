-- Calls coming in: what a campaign does with them, who is not let through, and who owes a caller a call.
ALTER TABLE campaigns ADD COLUMN inbound jsonb NOT NULL DEFAULT '{}';

CREATE TABLE blacklist (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT blacklist__group_id REFERENCES groups,
    e164 text NOT NULL,
    reason text NOT NULL DEFAULT '',
    CONSTRAINT blacklist__e164 UNIQUE (group_id, e164)
);

CREATE TABLE missed_calls (
    attempt_id uuid PRIMARY KEY,
    group_id bigint NOT NULL,
    campaign_id bigint NOT NULL,
    owner_agent_id bigint NOT NULL DEFAULT 0,
    at timestamptz NOT NULL,
    due_at timestamptz,
    done_at timestamptz,
    done_by text NOT NULL DEFAULT ''
);
CREATE INDEX missed_calls_open ON missed_calls (group_id, at) WHERE done_at IS NULL;
