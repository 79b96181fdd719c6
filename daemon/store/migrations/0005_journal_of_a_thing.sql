-- The journal of one campaign, line or agent is read by its id.
CREATE INDEX audit_log_by_target ON audit_log (target, id);
