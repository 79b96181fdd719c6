-- Click-to-call requests by the line used ("" = none was found).
SELECT phone_line_used, count(*) AS calls, count(*) FILTER (WHERE success) AS succeeded, max(created_at) AS last_at,
    avg(response_time_ms) AS response_mean_ms
FROM api_call_logs
WHERE (:group_id::bigint IS NULL OR group_id = :group_id)
    AND (:start::timestamptz IS NULL OR created_at >= :start)
    AND (:end::timestamptz IS NULL OR created_at < :end)
GROUP BY 1 ORDER BY 1
