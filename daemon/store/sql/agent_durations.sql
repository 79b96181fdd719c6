-- Seconds by agent, state and code between :start and :end (both needed); an open interval runs to :end.
SELECT s.agent_id, s.state, s.code, count(*) AS times,
    sum(extract(epoch FROM least(coalesce(s.ended_at, :end), :end) - greatest(s.started_at, :start)))::double precision
        AS seconds
FROM agent_states s
WHERE (:agent_id::bigint IS NULL OR s.agent_id = :agent_id)
    AND (:group_id::bigint IS NULL OR s.agent_id IN (SELECT id FROM agents WHERE group_id = :group_id))
    AND (s.ended_at IS NULL OR s.ended_at > :start::timestamptz) AND s.started_at < :end::timestamptz
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
