-- How many leads of a list are in which state, kept as sums of changes: the pages and the engine ask every few seconds,
-- and counting ten million rows takes that long. Each statement on leads appends what it changed (no row is contended
-- for); whoever reads many rows folds them into one. Waiting leads whose instant is past are told apart when read.

CREATE TABLE lead_counts (
    list_id bigint NOT NULL,
    state text NOT NULL,
    reason text NOT NULL,
    n bigint NOT NULL
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
CREATE INDEX lead_counts_of_list ON lead_counts (list_id, state, reason) INCLUDE (n);

CREATE FUNCTION count_new_leads() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO lead_counts (list_id, state, reason, n)
    SELECT list_id,
        CASE WHEN claimed_by IS NOT NULL THEN 'claimed' WHEN eligible_at IS NOT NULL THEN 'waiting'
            WHEN blocked_by <> '' THEN 'blocked' ELSE 'ready' END,
        CASE WHEN claimed_by IS NULL THEN blocked_by ELSE '' END, count(*)
    FROM after_rows GROUP BY 1, 2, 3;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_changed_leads() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO lead_counts (list_id, state, reason, n)
    SELECT list_id,
        CASE WHEN claimed_by IS NOT NULL THEN 'claimed' WHEN eligible_at IS NOT NULL THEN 'waiting'
            WHEN blocked_by <> '' THEN 'blocked' ELSE 'ready' END,
        CASE WHEN claimed_by IS NULL THEN blocked_by ELSE '' END, sum(d)
    FROM (
        SELECT list_id, claimed_by, eligible_at, blocked_by, 1 AS d FROM after_rows
        UNION ALL SELECT list_id, claimed_by, eligible_at, blocked_by, -1 FROM before_rows) c
    GROUP BY 1, 2, 3 HAVING sum(d) <> 0;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_gone_leads() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO lead_counts (list_id, state, reason, n)
    SELECT list_id,
        CASE WHEN claimed_by IS NOT NULL THEN 'claimed' WHEN eligible_at IS NOT NULL THEN 'waiting'
            WHEN blocked_by <> '' THEN 'blocked' ELSE 'ready' END,
        CASE WHEN claimed_by IS NULL THEN blocked_by ELSE '' END, -count(*)
    FROM before_rows GROUP BY 1, 2, 3;
    RETURN NULL;
END
$$;

LOCK TABLE leads IN SHARE ROW EXCLUSIVE MODE;
CREATE TRIGGER leads_counted_new AFTER INSERT ON leads
    REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION count_new_leads();
CREATE TRIGGER leads_counted_changed AFTER UPDATE ON leads
    REFERENCING NEW TABLE AS after_rows OLD TABLE AS before_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_changed_leads();
CREATE TRIGGER leads_counted_gone AFTER DELETE ON leads
    REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION count_gone_leads();

INSERT INTO lead_counts (list_id, state, reason, n)
SELECT list_id,
    CASE WHEN claimed_by IS NOT NULL THEN 'claimed' WHEN eligible_at IS NOT NULL THEN 'waiting'
        WHEN blocked_by <> '' THEN 'blocked' ELSE 'ready' END,
    CASE WHEN claimed_by IS NULL THEN blocked_by ELSE '' END, count(*)
FROM leads GROUP BY 1, 2, 3;
