-- Zadarma's cloud PBX: a group's link, whose extension is whose, and the calls its notifications tell of.
CREATE TABLE zadarma_links (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT zadarma_links_of__group_id REFERENCES groups,
    key text NOT NULL DEFAULT '',
    sealed text NOT NULL DEFAULT '',
    enabled boolean NOT NULL DEFAULT false,
    addresses text[] NOT NULL DEFAULT '{}',
    api_url text NOT NULL DEFAULT '',
    create_lead boolean NOT NULL DEFAULT false,
    redirect boolean NOT NULL DEFAULT false,
    show_name boolean NOT NULL DEFAULT false,
    call_back boolean NOT NULL DEFAULT false,
    blacklist boolean NOT NULL DEFAULT false,
    list_id bigint NOT NULL DEFAULT 0,
    missed_call_owner text NOT NULL DEFAULT 'pool',
    default_agent_id bigint NOT NULL DEFAULT 0,
    feed_url text NOT NULL DEFAULT '',
    CONSTRAINT zadarma_links__group_id UNIQUE (group_id)
);

CREATE TABLE zadarma_users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT zadarma_users__group_id REFERENCES groups,
    link_id bigint NOT NULL CONSTRAINT zadarma_users__link_id REFERENCES zadarma_links,
    agent_id bigint NOT NULL,
    extension text NOT NULL,
    CONSTRAINT zadarma_users__extension UNIQUE (link_id, extension),
    CONSTRAINT zadarma_users__agent_id UNIQUE (link_id, agent_id)
);

CREATE TABLE zadarma_calls (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT zadarma_calls__group_id REFERENCES groups,
    link_id bigint NOT NULL CONSTRAINT zadarma_calls__link_id REFERENCES zadarma_links,
    pbx_call_id text NOT NULL,
    at timestamptz NOT NULL,
    day text NOT NULL,
    direction text NOT NULL,
    state text NOT NULL DEFAULT 'begun',
    e164 text NOT NULL DEFAULT '',
    extension text NOT NULL DEFAULT '',
    agent_id bigint NOT NULL DEFAULT 0,
    lead_id bigint NOT NULL DEFAULT 0,
    disposition text NOT NULL DEFAULT '',
    duration_s integer NOT NULL DEFAULT 0,
    task text NOT NULL DEFAULT '',
    owner_agent_id bigint NOT NULL DEFAULT 0,
    due_at timestamptz,
    recording_id text NOT NULL DEFAULT '',
    recording_state text NOT NULL DEFAULT '',
    recording_url text NOT NULL DEFAULT '',
    recording_until text NOT NULL DEFAULT '',
    fetch_at timestamptz,
    fetch_tries integer NOT NULL DEFAULT 0,
    events jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT zadarma_calls__pbx_call_id UNIQUE (link_id, pbx_call_id)
);
CREATE INDEX zadarma_calls_by_day ON zadarma_calls (link_id, day);
CREATE INDEX zadarma_calls_by_number ON zadarma_calls (group_id, e164);
CREATE INDEX zadarma_calls_tasks ON zadarma_calls (group_id, id) WHERE task = 'open';
CREATE INDEX zadarma_calls_due ON zadarma_calls (link_id, fetch_at) WHERE recording_state = 'due';
