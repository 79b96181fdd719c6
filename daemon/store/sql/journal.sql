-- What was done to one thing (`kind` campaign, line, …; `target` its id), newest first, before row `before` if given.
SELECT id, at, site, by, what, detail FROM audit_log
WHERE target = :target::text AND starts_with(what, :kind::text || '.') AND (:before::bigint IS NULL OR id < :before)
ORDER BY id DESC LIMIT coalesce(:limit::bigint, 100)
