-- Recordings: their number within the attempt, their file's name where the PBX left it, and what has become of them.
ALTER TABLE recordings ADD COLUMN number integer NOT NULL DEFAULT 1;
ALTER TABLE recordings ADD COLUMN site text NOT NULL DEFAULT '';
ALTER TABLE recordings ADD COLUMN file text NOT NULL DEFAULT '';
ALTER TABLE recordings ADD COLUMN started_by text NOT NULL DEFAULT '';
-- recording, waiting (for its file to be taken in), kept, purged, missing, failed
ALTER TABLE recordings ADD COLUMN state text NOT NULL DEFAULT 'recording';
CREATE UNIQUE INDEX recordings_once ON recordings (attempt_id, number);
CREATE INDEX recordings_newest ON recordings (group_id, id DESC);
CREATE INDEX recordings_to_do ON recordings (state, started_at) WHERE state IN ('recording', 'waiting', 'kept');
