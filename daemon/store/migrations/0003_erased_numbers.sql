-- Numbers a person asked us to forget: what stays of them is a keyed hash, in every table that held the number. The key
-- is a file outside the database. Which hashes there are is kept here, so that a number that comes back is known again.

CREATE TABLE erased_numbers (
    group_id bigint NOT NULL,
    pseudonym text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (group_id, pseudonym)
);

-- Which key the hashes were made with, as a hash of it: another key would leave them unrecognised.
CREATE TABLE pseudonym_key (
    fingerprint text PRIMARY KEY
);

CREATE INDEX attempts_of_number ON attempts (e164);
