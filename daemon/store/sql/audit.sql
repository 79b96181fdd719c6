-- Who did what, newest first (no group: for administrators and the command line only).
SELECT id, at, site, by, what, target, detail FROM audit_log
WHERE (:start::timestamptz IS NULL OR at >= :start) AND (:end::timestamptz IS NULL OR at < :end)
ORDER BY id DESC LIMIT coalesce(:limit::bigint, 1000)
