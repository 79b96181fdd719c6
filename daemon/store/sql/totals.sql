-- One row: all calls asked for. Rates 0..1; mean of nothing is NULL.
SELECT
    count(*) FILTER (WHERE outcome IS DISTINCT FROM 'not_placed') AS attempts,
    count(*) FILTER (WHERE outcome IS NULL) AS in_progress,
    count(*) FILTER (WHERE answered_at IS NOT NULL) AS answered,
    count(*) FILTER (WHERE live) AS live,
    count(*) FILTER (WHERE outcome = 'connected') AS connected,
    count(*) FILTER (WHERE outcome = 'abandoned') AS abandoned,
    count(*) FILTER (WHERE outcome = 'machine') AS machines,
    count(*) FILTER (WHERE sale) AS sales,
    count(*) FILTER (WHERE refused) AS refusals,
    coalesce(sum(talk_s), 0) AS talk_s,
    avg(talk_s) FILTER (WHERE outcome = 'connected') AS talk_mean_s,
    avg(ring_s) AS ring_mean_s,
    avg(wait_s) AS wait_mean_s,
    count(*) FILTER (WHERE answered_at IS NOT NULL)::double precision
        / nullif(count(*) FILTER (WHERE outcome IS DISTINCT FROM 'not_placed'), 0) AS answer_rate
FROM attempts
WHERE (:group_id::bigint IS NULL OR group_id = :group_id)
    AND (:campaign_id::bigint IS NULL OR campaign_id = :campaign_id)
    AND (:agent_id::bigint IS NULL OR agent_id = :agent_id)
    AND (:line_id::bigint IS NULL OR line_id = :line_id)
    AND (:start::timestamptz IS NULL OR at >= :start)
    AND (:end::timestamptz IS NULL OR at < :end)
