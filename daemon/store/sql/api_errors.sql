-- Click-to-call errors, the most frequent first.
SELECT error, count(*) AS calls, max(created_at) AS last_at
FROM api_call_logs
WHERE (:group_id::bigint IS NULL OR group_id = :group_id)
    AND (:start::timestamptz IS NULL OR created_at >= :start)
    AND (:end::timestamptz IS NULL OR created_at < :end)
    AND NOT success
GROUP BY 1 ORDER BY 2 DESC, 1
