-- Configuration. Identity ids here only; everything that happens has ids of ours.
-- A uniqueness rule is named <table>__<field>: the field is what the operator is told.

CREATE TABLE groups (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    code text NOT NULL,
    name text NOT NULL DEFAULT '',
    c2c_strategy text NOT NULL DEFAULT 'round_robin',
    c2c_per_hour integer NOT NULL DEFAULT 1000,
    cors_origins text[] NOT NULL DEFAULT '{}',
    click2call_rules text NOT NULL DEFAULT '',
    CONSTRAINT groups__code UNIQUE (code)
);

CREATE TABLE clients (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT clients__group_id REFERENCES groups,
    name text NOT NULL,
    CONSTRAINT clients__name UNIQUE (group_id, name)
);

CREATE TABLE lines (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT lines__group_id REFERENCES groups,
    site text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL DEFAULT 'trunk',
    endpoint text NOT NULL,
    capacity integer NOT NULL DEFAULT 1,
    enabled boolean NOT NULL DEFAULT true,
    priority integer NOT NULL DEFAULT 5,
    minutes_per_month integer NOT NULL DEFAULT 0,
    resting_until timestamptz,
    CONSTRAINT lines__name UNIQUE (group_id, name)
);

CREATE TABLE caller_ids (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT caller_ids__group_id REFERENCES groups,
    e164 text NOT NULL,
    name text NOT NULL DEFAULT '',
    enabled boolean NOT NULL DEFAULT true,
    daily_cap integer NOT NULL DEFAULT 0,
    CONSTRAINT caller_ids__e164 UNIQUE (e164)
);

CREATE TABLE campaigns (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT campaigns__group_id REFERENCES groups,
    client_id bigint NOT NULL CONSTRAINT campaigns__client_id REFERENCES clients,
    name text NOT NULL,
    site text NOT NULL,
    mode text NOT NULL DEFAULT 'progressive',
    level integer NOT NULL DEFAULT 1,
    speed integer NOT NULL DEFAULT 5,
    state text NOT NULL DEFAULT 'stopped',
    rule_set text NOT NULL DEFAULT 'fr-b2c-2026',
    zone text NOT NULL DEFAULT 'Europe/Paris',
    list_ids bigint[] NOT NULL DEFAULT '{}',
    line_ids bigint[] NOT NULL DEFAULT '{}',
    strategy text NOT NULL DEFAULT 'priority',
    caller_id_ids bigint[] NOT NULL DEFAULT '{}',
    agent_ids bigint[] NOT NULL DEFAULT '{}',
    priority integer NOT NULL DEFAULT 5,
    "order" text NOT NULL DEFAULT 'oldest',
    attempts_max integer NOT NULL DEFAULT 4,
    gap_min_s double precision NOT NULL DEFAULT 14400,
    ring_timeout_s double precision NOT NULL DEFAULT 25,
    wrap_up_max_s double precision NOT NULL DEFAULT 60,
    max_channels integer NOT NULL DEFAULT 0,
    calls_per_second double precision NOT NULL DEFAULT 5,
    abandonment_rate_max double precision NOT NULL DEFAULT 0.03,
    pool_ledger boolean NOT NULL DEFAULT false,
    amd boolean NOT NULL DEFAULT false,
    safe_message text NOT NULL DEFAULT '',
    voicemail_message text NOT NULL DEFAULT '',
    recording boolean NOT NULL DEFAULT false,
    pause_mode text NOT NULL DEFAULT 'optional',
    default_status text NOT NULL DEFAULT 'INJOIGN',
    preview_timeout_s double precision NOT NULL DEFAULT 60,
    hours jsonb NOT NULL DEFAULT '[]',
    recycling jsonb NOT NULL DEFAULT '[]',
    running_contract boolean NOT NULL DEFAULT false,
    screen_pop_url text NOT NULL DEFAULT '',
    script text NOT NULL DEFAULT '',
    CONSTRAINT campaigns__name UNIQUE (group_id, name)
);

CREATE TABLE statuses (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT statuses__group_id REFERENCES groups,
    campaign_id bigint NOT NULL DEFAULT 0,
    code text NOT NULL,
    name text NOT NULL,
    category text NOT NULL DEFAULT 'Commercial',
    sale boolean NOT NULL DEFAULT false,
    machine boolean NOT NULL DEFAULT false,
    callback boolean NOT NULL DEFAULT false,
    not_interested boolean NOT NULL DEFAULT false,
    final boolean NOT NULL DEFAULT false,
    not_workable boolean NOT NULL DEFAULT false,
    sort integer NOT NULL DEFAULT 0,
    CONSTRAINT statuses__code UNIQUE (group_id, campaign_id, code)
);

CREATE TABLE pause_codes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT pause_codes__group_id REFERENCES groups,
    code text NOT NULL,
    name text NOT NULL,
    expected_s double precision NOT NULL DEFAULT 600,
    CONSTRAINT pause_codes__code UNIQUE (group_id, code)
);

CREATE TABLE lists (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT lists__group_id REFERENCES groups,
    name text NOT NULL,
    active boolean NOT NULL DEFAULT true,
    rank integer NOT NULL DEFAULT 0,
    CONSTRAINT lists__name UNIQUE (group_id, name)
);

CREATE TABLE agents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT agents__group_id REFERENCES groups,
    site text NOT NULL,
    login text NOT NULL,
    name text NOT NULL,
    extension text NOT NULL,
    nailed boolean NOT NULL DEFAULT true,
    enabled boolean NOT NULL DEFAULT true,
    skills jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT agents__login UNIQUE (group_id, login)
);

CREATE TABLE api_tokens (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT api_tokens__group_id REFERENCES groups,
    kind text NOT NULL DEFAULT 'operator',
    name text NOT NULL,
    role text NOT NULL DEFAULT 'supervisor',
    all_groups boolean NOT NULL DEFAULT false,
    campaign_ids bigint[] NOT NULL DEFAULT '{}',
    agent_id bigint NOT NULL DEFAULT 0,
    sha256 text NOT NULL DEFAULT '',
    tail text NOT NULL DEFAULT '',
    expires_at timestamptz,
    disabled_at timestamptz,
    last_used_at timestamptz,
    created_at timestamptz
);
CREATE UNIQUE INDEX api_tokens__sha256 ON api_tokens (sha256) WHERE sha256 <> '';

CREATE TABLE import_profiles (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT import_profiles__group_id REFERENCES groups,
    name text NOT NULL,
    mapping jsonb NOT NULL DEFAULT '{}',
    options jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT import_profiles__name UNIQUE (group_id, name)
);

-- Who may act on a site's PBX. The only table that lives by the database's clock.
CREATE TABLE site_leases (
    site text PRIMARY KEY,
    holder text NOT NULL,
    fence bigint NOT NULL,
    until timestamptz NOT NULL
);

CREATE TABLE sites (
    site text PRIMARY KEY,
    up boolean NOT NULL,
    code text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    mode text NOT NULL DEFAULT '',
    changed_at timestamptz NOT NULL
);

-- How far each (site, fence) has been applied: a fact at or below the mark is passed over.
CREATE TABLE fact_marks (
    site text NOT NULL,
    fence bigint NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (site, fence)
);

-- Leads. One row a person and list; its state belongs to the row, so a list worked by two campaigns is one shared pool.
--   ready      claimed_by IS NULL, blocked_by = '', eligible_at IS NULL: in the order indexes, claimable now
--   waiting    eligible_at set (blocked_by says why, '' = its gap): becomes ready when the instant is past
--   blocked    blocked_by set without an instant: until the reason is lifted
--   claimed    claimed_by names the site whose daemon holds it (hopper or call)
-- turn: 0 callback, 1 hot, 2 recycled high, 3 normal, 4 recycled low; within a turn, the campaign's order.
CREATE TABLE leads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    list_id bigint NOT NULL,
    group_id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    eligible_at timestamptz,
    callback_at timestamptz,
    last_attempt_at timestamptz,
    abandoned_at timestamptz,
    refused_at timestamptz,
    consent_at timestamptz,
    claimed_fence bigint NOT NULL DEFAULT 0,
    claimed_campaign_id bigint NOT NULL DEFAULT 0,
    callback_agent_id bigint NOT NULL DEFAULT 0,
    last_agent_id bigint NOT NULL DEFAULT 0,
    priority integer NOT NULL DEFAULT 5,
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    recycled integer NOT NULL DEFAULT 0,
    turn smallint NOT NULL DEFAULT 3,
    running_contract boolean NOT NULL DEFAULT false,
    consent_out_of_hours boolean NOT NULL DEFAULT false,
    consent_automated boolean NOT NULL DEFAULT false,
    e164 text NOT NULL,
    tz_group text NOT NULL DEFAULT 'Europe/Paris',
    blocked_by text NOT NULL DEFAULT '',
    claimed_by text,
    first_name text NOT NULL DEFAULT '',
    last_name text NOT NULL DEFAULT '',
    company text NOT NULL DEFAULT '',
    email text NOT NULL DEFAULT '',
    alt_phone text NOT NULL DEFAULT '',
    address1 text NOT NULL DEFAULT '',
    address2 text NOT NULL DEFAULT '',
    address3 text NOT NULL DEFAULT '',
    city text NOT NULL DEFAULT '',
    postal_code text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT '',
    country_code text NOT NULL DEFAULT 'FR',
    comments text NOT NULL DEFAULT '',
    vendor_lead_code text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT '',
    last_outcome text NOT NULL DEFAULT '',
    consent_source text NOT NULL DEFAULT '',
    consent_text_version text NOT NULL DEFAULT '',
    fields jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE INDEX leads_ready_by_id ON leads (list_id, tz_group, turn, id)
    WHERE claimed_by IS NULL AND blocked_by = '' AND eligible_at IS NULL;
CREATE INDEX leads_ready_by_chance ON leads (list_id, tz_group, turn, ((id * 2654435761) & 4294967295), id)
    WHERE claimed_by IS NULL AND blocked_by = '' AND eligible_at IS NULL;
CREATE INDEX leads_ready_by_priority ON leads (list_id, tz_group, turn, priority DESC, id)
    WHERE claimed_by IS NULL AND blocked_by = '' AND eligible_at IS NULL;
CREATE INDEX leads_ready_by_attempts ON leads (list_id, tz_group, turn, attempts, id)
    WHERE claimed_by IS NULL AND blocked_by = '' AND eligible_at IS NULL;
CREATE INDEX leads_waiting ON leads (list_id, turn, eligible_at, id)
    WHERE claimed_by IS NULL AND eligible_at IS NOT NULL;
CREATE INDEX leads_claimed ON leads (claimed_by) WHERE claimed_by IS NOT NULL;
CREATE INDEX leads_by_number ON leads (e164, group_id);
CREATE INDEX leads_by_list ON leads (list_id, tz_group, blocked_by);
CREATE UNIQUE INDEX leads__vendor_lead_code ON leads (list_id, vendor_lead_code) WHERE vendor_lead_code <> '';

-- An attempt is inserted as an intent, before anything leaves for the PBX, and completed once.
CREATE TABLE attempts (
    id uuid PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,
    site text NOT NULL,
    fence bigint NOT NULL,
    kind text NOT NULL,
    group_id bigint NOT NULL,
    campaign_id bigint NOT NULL,
    client_id bigint NOT NULL,
    lead_id bigint NOT NULL,
    line_id bigint NOT NULL,
    agent_id bigint NOT NULL,
    e164 text NOT NULL,
    caller_id text NOT NULL,
    rule_set text NOT NULL,
    at timestamptz NOT NULL,
    placed_at timestamptz,
    answered_at timestamptz,
    connected_at timestamptz,
    ended_at timestamptz,
    outcome text,
    outcome_fence bigint,
    cause integer NOT NULL DEFAULT 0,
    tech_cause integer,
    ended_by text NOT NULL DEFAULT '',
    ring_s double precision,
    wait_s double precision,
    talk_s double precision NOT NULL DEFAULT 0,
    amd text NOT NULL DEFAULT '',
    counted boolean,
    live boolean NOT NULL DEFAULT false,
    disposition text,
    disposition_at timestamptz,
    disposition_by_default boolean NOT NULL DEFAULT false,
    notes text NOT NULL DEFAULT '',
    sale boolean NOT NULL DEFAULT false,
    refused boolean NOT NULL DEFAULT false,
    final boolean NOT NULL DEFAULT false
);
-- At most one live attempt a person, whatever daemon, campaign or list wants it.
CREATE UNIQUE INDEX attempts_one_live ON attempts (client_id, e164, group_id) WHERE outcome IS NULL AND kind <> 'inbound';
CREATE UNIQUE INDEX attempts__number ON attempts (number);
CREATE INDEX attempts_open ON attempts (site) WHERE outcome IS NULL;
CREATE INDEX attempts_of_person ON attempts (client_id, e164, at);
CREATE INDEX attempts_of_lead ON attempts (lead_id) WHERE lead_id <> 0;
CREATE INDEX attempts_of_campaign ON attempts (campaign_id, at);
CREATE INDEX attempts_by_time ON attempts (at);
CREATE INDEX attempts_of_group ON attempts (group_id, number);

-- Ids closed before their row was seen: an intent still on its way when its end was applied must not come alive.
CREATE TABLE attempt_voids (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL
);

CREATE TABLE call_event (
    site text NOT NULL,
    fence bigint NOT NULL,
    n bigint NOT NULL,
    at timestamptz NOT NULL,
    attempt_id uuid NOT NULL,
    campaign_id bigint NOT NULL,
    agent_id bigint NOT NULL DEFAULT 0,
    kind text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (site, fence, n, at)
) PARTITION BY RANGE (at);
CREATE INDEX call_event_of_attempt ON call_event (attempt_id);

CREATE TABLE agent_states (
    agent_id bigint NOT NULL,
    site text NOT NULL,
    fence bigint NOT NULL,
    n bigint NOT NULL,
    state text NOT NULL,
    code text NOT NULL DEFAULT '',
    campaign_id bigint NOT NULL DEFAULT 0,
    attempt_id uuid,
    leg text NOT NULL DEFAULT '',
    campaign_ids bigint[] NOT NULL DEFAULT '{}',
    by text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (agent_id, started_at, fence, n)
);
CREATE UNIQUE INDEX agent_states_now ON agent_states (agent_id) WHERE ended_at IS NULL;
CREATE INDEX agent_states_by_time ON agent_states (started_at);

CREATE TABLE callbacks (
    attempt_id uuid PRIMARY KEY,
    lead_id bigint NOT NULL,
    campaign_id bigint NOT NULL,
    client_id bigint NOT NULL,
    agent_id bigint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    created_by bigint NOT NULL DEFAULT 0,
    done_at timestamptz,
    notes text NOT NULL DEFAULT ''
);
CREATE INDEX callbacks_due ON callbacks (campaign_id, due_at) WHERE done_at IS NULL;
CREATE INDEX callbacks_of_lead ON callbacks (lead_id) WHERE done_at IS NULL;

CREATE TABLE dnc (
    client_id bigint NOT NULL,
    e164 text NOT NULL,
    at timestamptz NOT NULL,
    by text NOT NULL DEFAULT '',
    source text NOT NULL DEFAULT '',
    PRIMARY KEY (client_id, e164)
);

CREATE TABLE consents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id bigint NOT NULL,
    e164 text NOT NULL,
    at timestamptz,
    until timestamptz,
    revoked_at timestamptz,
    source text NOT NULL DEFAULT '',
    text_version text NOT NULL DEFAULT '',
    proof text NOT NULL DEFAULT '',
    ip text NOT NULL DEFAULT '',
    out_of_hours boolean NOT NULL DEFAULT false,
    automated boolean NOT NULL DEFAULT false
);
CREATE INDEX consents_of_person ON consents (client_id, e164);

CREATE TABLE refusals (
    site text NOT NULL,
    fence bigint NOT NULL,
    n bigint NOT NULL,
    at timestamptz NOT NULL,
    lead_id bigint NOT NULL,
    campaign_id bigint NOT NULL,
    client_id bigint NOT NULL,
    rule text NOT NULL,
    clause text NOT NULL,
    rule_set text NOT NULL,
    until timestamptz,
    PRIMARY KEY (site, fence, n)
);
CREATE INDEX refusals_of_campaign ON refusals (campaign_id, at);
CREATE INDEX refusals_of_lead ON refusals (lead_id);

CREATE TABLE recordings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    attempt_id uuid NOT NULL,
    group_id bigint NOT NULL,
    path text NOT NULL,
    started_at timestamptz NOT NULL,
    duration_s double precision,
    bytes bigint,
    muted jsonb NOT NULL DEFAULT '[]',
    purged_at timestamptz
);
CREATE INDEX recordings_of_attempt ON recordings (attempt_id);

CREATE TABLE ledger (
    campaign_id bigint NOT NULL,
    site text NOT NULL,
    hour timestamptz NOT NULL,
    answered_live bigint NOT NULL DEFAULT 0,
    abandoned bigint NOT NULL DEFAULT 0,
    connected bigint NOT NULL DEFAULT 0,
    false_positives double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (campaign_id, hour, site)
);

CREATE TABLE pacing_decisions (
    site text NOT NULL,
    fence bigint NOT NULL,
    n bigint NOT NULL,
    at timestamptz NOT NULL,
    campaign_id bigint NOT NULL,
    count integer NOT NULL,
    "limit" text NOT NULL,
    figures jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (site, fence, n)
);
CREATE INDEX pacing_decisions_of_campaign ON pacing_decisions (campaign_id, at);

CREATE TABLE link_changes (
    site text NOT NULL,
    fence bigint NOT NULL,
    n bigint NOT NULL,
    at timestamptz NOT NULL,
    up boolean NOT NULL,
    code text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    mode text NOT NULL DEFAULT '',
    PRIMARY KEY (site, fence, n)
);

-- SELECT * FROM api_call_logs ORDER BY created_at DESC LIMIT 10 is documented and works as is (C2C-10).
CREATE TABLE api_call_logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL,
    group_id bigint NOT NULL DEFAULT 0,
    token_id bigint NOT NULL DEFAULT 0,
    endpoint text NOT NULL DEFAULT '',
    number_called text NOT NULL DEFAULT '',
    phone_line_used text NOT NULL DEFAULT '',
    call_id bigint,
    success boolean NOT NULL DEFAULT false,
    status integer NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT '',
    ip_address text NOT NULL DEFAULT '',
    response_time_ms double precision NOT NULL DEFAULT 0
);
CREATE INDEX api_call_logs_by_time ON api_call_logs (created_at);
CREATE INDEX api_call_logs_of_group ON api_call_logs (group_id, created_at);

-- Who wants to be told (CRMI-03); the secret itself is in a file named here, never in the database.
CREATE TABLE webhooks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    group_id bigint NOT NULL CONSTRAINT webhooks__group_id REFERENCES groups,
    name text NOT NULL,
    url text NOT NULL,
    topics text[] NOT NULL DEFAULT '{}',
    secret_file text NOT NULL DEFAULT '',
    enabled boolean NOT NULL DEFAULT true,
    CONSTRAINT webhooks__name UNIQUE (group_id, name)
);

CREATE TABLE outbox (
    webhook_id bigint NOT NULL CONSTRAINT outbox__webhook_id REFERENCES webhooks ON DELETE CASCADE,
    site text NOT NULL,
    fence bigint NOT NULL,
    n bigint NOT NULL,
    at timestamptz NOT NULL,
    topic text NOT NULL,
    attempt_id uuid,
    payload jsonb NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    error text NOT NULL DEFAULT '',
    dead_at timestamptz,
    PRIMARY KEY (webhook_id, site, fence, n)
);
CREATE INDEX outbox_due ON outbox (next_at) WHERE dead_at IS NULL;

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site text NOT NULL,
    fence bigint NOT NULL,
    n bigint NOT NULL,
    at timestamptz NOT NULL,
    by text NOT NULL,
    what text NOT NULL,
    target text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_by_time ON audit_log (at);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
