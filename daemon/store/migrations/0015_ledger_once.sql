-- What the abandonment ledger holds of an attempt: 0 nothing, 1 its live answer, 2 that answer and its taking back. Two
-- daemons that judged the same call in turn (a leader that died, its standby) then count it once.
ALTER TABLE attempts ADD COLUMN booked smallint NOT NULL DEFAULT 0;
