-- Calls placed by campaign and minute, and what became of them; 0 = no campaign. Index: attempts_by_time.
SELECT campaign_id, date_trunc('minute', at) AS minute,
    count(*) FILTER (WHERE outcome IS DISTINCT FROM 'not_placed') AS placed,
    count(*) FILTER (WHERE outcome = 'connected') AS connected,
    count(*) FILTER (WHERE live) AS live,
    count(*) FILTER (WHERE outcome = 'abandoned') AS abandoned
FROM attempts
WHERE at >= :start::timestamptz AND at < :end::timestamptz
    AND (:group_id::bigint IS NULL OR group_id = :group_id)
    AND (:campaign_id::bigint IS NULL OR campaign_id = :campaign_id)
GROUP BY 1, 2 ORDER BY 2, 1
