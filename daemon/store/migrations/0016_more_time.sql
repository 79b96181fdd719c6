-- Seconds an agent may add, once, to a wrap-up or preview that runs out; 0 = not allowed.
ALTER TABLE campaigns ADD COLUMN extend_s double precision NOT NULL DEFAULT 30;
