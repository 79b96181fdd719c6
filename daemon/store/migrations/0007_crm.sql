-- The CRM side: uploaded templates, integrations, their people, tickets, and one journal row a call and integration.
CREATE TABLE crm_templates (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT crm_templates__group_id REFERENCES groups,
    key text NOT NULL,
    name text NOT NULL,
    source text NOT NULL,
    CONSTRAINT crm_templates__key UNIQUE (group_id, key)
);

CREATE TABLE integrations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT integrations__group_id REFERENCES groups,
    name text NOT NULL,
    key text NOT NULL,
    source text NOT NULL,
    enabled boolean NOT NULL DEFAULT false,
    journal boolean NOT NULL DEFAULT false,
    fields jsonb NOT NULL DEFAULT '{}',
    sealed text NOT NULL DEFAULT '',
    options jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT integrations__name UNIQUE (group_id, name)
);

CREATE TABLE crm_users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT crm_users__group_id REFERENCES groups,
    integration_id bigint NOT NULL CONSTRAINT crm_users__integration_id REFERENCES integrations,
    crm_id text NOT NULL,
    first_name text NOT NULL DEFAULT '',
    last_name text NOT NULL DEFAULT '',
    email text NOT NULL DEFAULT '',
    agent_id bigint NOT NULL DEFAULT 0,
    CONSTRAINT crm_users__crm_id UNIQUE (integration_id, crm_id)
);

CREATE TABLE crm_tickets (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT crm_tickets__group_id REFERENCES groups,
    integration_id bigint NOT NULL CONSTRAINT crm_tickets__integration_id REFERENCES integrations,
    attempt_id text NOT NULL,
    ticket_id text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'sending',
    CONSTRAINT crm_tickets__attempt_id UNIQUE (integration_id, attempt_id)
);

-- Put in with the fact that ended the call, in its transaction. state: pending, sending, done, doubt, dead, skipped.
CREATE TABLE crm_journal (
    integration_id bigint NOT NULL CONSTRAINT crm_journal__integration_id REFERENCES integrations ON DELETE CASCADE,
    attempt_id uuid NOT NULL,
    agent_id bigint NOT NULL,
    site text NOT NULL,
    at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'pending',
    tries integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    error text NOT NULL DEFAULT '',
    journal_id text NOT NULL DEFAULT '',
    done_at timestamptz,
    PRIMARY KEY (integration_id, attempt_id, agent_id)
);
CREATE INDEX crm_journal_due ON crm_journal (integration_id, next_at) WHERE state IN ('pending', 'doubt');
CREATE INDEX crm_journal_sending ON crm_journal (site) WHERE state = 'sending';
CREATE INDEX crm_journal_by_time ON crm_journal (integration_id, at, attempt_id);
