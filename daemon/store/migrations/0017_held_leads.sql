-- The leads behind each count of held leads, page by page: those of a list and a reason in order of their release, those
-- that no instant frees last. A lead ready to be called is not in it.
CREATE INDEX leads_held ON leads (list_id, blocked_by, eligible_at, id) WHERE claimed_by IS NULL AND blocked_by <> '';
