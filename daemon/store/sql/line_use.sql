-- How often each line was used, and when last: what the strategies go by after a restart (C2C-06).
-- Index: attempts_by_time.
SELECT line_id, count(*) AS calls, max(at) AS last_at
FROM attempts
WHERE line_id <> 0
    AND (:start::timestamptz IS NULL OR at >= :start)
    AND (:end::timestamptz IS NULL OR at < :end)
GROUP BY 1 ORDER BY 1
