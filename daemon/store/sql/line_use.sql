-- How often each line was used, and when last: what the strategies go by after a restart (C2C-06); and how often it
-- carried the call to the network, as the engine counts it; not those
-- that ended from `until` on, which it counts itself.
-- Index: attempts_by_time.
SELECT line_id, count(*) AS calls, max(at) AS last_at,
    count(*) FILTER (WHERE ended_at < coalesce(:until::timestamptz, 'infinity') AND (answered_at IS NOT NULL
        OR placed_at IS NOT NULL AND outcome NOT IN ('congestion', 'failed', 'cancelled', 'not_placed'))) AS succeeded
FROM attempts
WHERE line_id <> 0
    AND (:start::timestamptz IS NULL OR at >= :start)
    AND (:end::timestamptz IS NULL OR at < :end)
GROUP BY 1 ORDER BY 1
