-- Calls and minutes by class of dear destination (foreign, overseas) between two instants: what the toll-fraud cap
-- counts. Click-to-call and test calls by their number; third parties of transfers and conferences by the step that
-- rang them, to the end of their call. Calls still going on count from their beginning to
-- :end, as their answer is written down at their end.
WITH rung AS (
    SELECT CASE WHEN a.e164 ~ '^\+(262|508|590|594|596|681|687|689)' THEN 'overseas' ELSE 'foreign' END AS destination,
        CASE WHEN a.outcome IS NULL THEN coalesce(a.answered_at, a.at) ELSE a.answered_at END AS since,
        a.ended_at AS until
    FROM attempts a
    WHERE a.kind IN ('click2call', 'test') AND a.e164 LIKE '+%' AND a.e164 NOT LIKE '+33%'
        AND a.outcome IS DISTINCT FROM 'not_placed' AND a.outcome IS DISTINCT FROM 'agent_no_answer'
        AND (:group_id::bigint IS NULL OR a.group_id = :group_id)
        AND (:start::timestamptz IS NULL OR a.at >= :start) AND (:end::timestamptz IS NULL OR a.at <= :end)
    UNION ALL
    SELECT e.detail->>'destination', e.at, a.ended_at
    FROM call_event e JOIN attempts a ON a.id = e.attempt_id
    WHERE e.kind IN ('consult', 'transfer') AND e.detail ? 'destination'
        AND (:group_id::bigint IS NULL OR a.group_id = :group_id)
        AND (:start::timestamptz IS NULL OR e.at >= :start) AND (:end::timestamptz IS NULL OR e.at <= :end))
SELECT destination, count(*) AS calls,
    coalesce(sum(greatest(0, extract(epoch FROM coalesce(until, :end) - since)) / 60), 0)::double precision AS minutes
FROM rung GROUP BY 1 ORDER BY 1
