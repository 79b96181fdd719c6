-- What an agent is typing about a call: one draft an agent, gone with the disposition, the sign-out, or
-- when another is kept a day later.
CREATE TABLE desk_drafts (
    agent_id bigint PRIMARY KEY,
    attempt_id uuid NOT NULL,
    body jsonb NOT NULL,
    saved_at timestamptz NOT NULL
);
CREATE INDEX desk_drafts_by_time ON desk_drafts (saved_at);
