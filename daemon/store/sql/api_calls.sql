-- One row: click-to-call requests (C2C-07, C2C-11). response_ms is their sum, response_mean_ms their mean.
SELECT count(*) AS calls, count(*) FILTER (WHERE success) AS succeeded,
    coalesce(sum(response_time_ms), 0) AS response_ms, avg(response_time_ms) AS response_mean_ms,
    count(*) FILTER (WHERE success)::double precision / nullif(count(*), 0) AS success_rate
FROM api_call_logs
WHERE (:group_id::bigint IS NULL OR group_id = :group_id)
    AND (:start::timestamptz IS NULL OR created_at >= :start)
    AND (:end::timestamptz IS NULL OR created_at < :end)
