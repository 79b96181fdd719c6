-- Which rows of configuration have changed, and in which transaction: daemons that share the database ask for those of
-- transactions that were not over when they last asked, and read only these rows again. A row that is gone stays named
-- here: whoever has it in memory must hear of it. One row for each that there ever was, however often it changes.
CREATE TABLE changed_rows (
    table_name text NOT NULL,
    row_id bigint NOT NULL,
    xid bigint NOT NULL,
    PRIMARY KEY (table_name, row_id)
);
CREATE INDEX changed_rows_by_xid ON changed_rows (xid);

CREATE FUNCTION note_changed_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changed_rows (table_name, row_id, xid)
    SELECT TG_TABLE_NAME, id, pg_current_xact_id()::text::bigint FROM touched_rows ORDER BY id
    ON CONFLICT (table_name, row_id) DO UPDATE SET xid = EXCLUDED.xid;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['groups', 'statuses', 'pause_codes', 'blacklist', 'caller_ids', 'lines', 'lists',
            'campaigns', 'agents'] LOOP
        EXECUTE format('CREATE TRIGGER %I AFTER INSERT ON %I REFERENCING NEW TABLE AS touched_rows
            FOR EACH STATEMENT EXECUTE FUNCTION note_changed_rows()', name || '_told_new', name);
        EXECUTE format('CREATE TRIGGER %I AFTER UPDATE ON %I REFERENCING NEW TABLE AS touched_rows
            FOR EACH STATEMENT EXECUTE FUNCTION note_changed_rows()', name || '_told_changed', name);
        EXECUTE format('CREATE TRIGGER %I AFTER DELETE ON %I REFERENCING OLD TABLE AS touched_rows
            FOR EACH STATEMENT EXECUTE FUNCTION note_changed_rows()', name || '_told_gone', name);
    END LOOP;
END
$$;
