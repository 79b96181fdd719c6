-- How long agents waited and worked since an instant, and in how many calls, as far as an engine that began under a
-- fence does not count it itself. The interval an agent was in as it began (`since`, by place in `agent_ids`) it counts
-- whole, as that one ends. Intervals from more than four hours before `start` are left out. A call taken back from hold
-- is the same call. Of all agents, or `only` some.
-- Index: agent_states_by_time; the key.
WITH known AS NOT MATERIALIZED (
    SELECT * FROM agent_states
    WHERE started_at >= :start::timestamptz - interval '4 hours' AND started_at < coalesce(:until::timestamptz, 'infinity')
        AND (site <> :site::text OR fence < :fence::bigint)
        AND (:only::bigint[] IS NULL OR agent_id = ANY(:only)))
SELECT site = :site AS own, s.agent_id, s.state, s.campaign_id, s.campaign_ids,
    coalesce(sum(extract(epoch FROM s.ended_at - greatest(s.started_at, :start)))
        FILTER (WHERE s.ended_at > :start AND (o.since IS NULL OR s.started_at < o.since)), 0)::float8 AS seconds,
    count(*) FILTER (WHERE s.state = 'on_call' AND s.started_at >= :start AND held.agent_id IS NULL) AS calls
FROM known AS s
LEFT JOIN unnest(:agent_ids::bigint[], :since::timestamptz[]) AS o(agent_id, since) ON o.agent_id = s.agent_id
LEFT JOIN (SELECT agent_id, attempt_id, ended_at FROM known WHERE state = 'on_hold' AND ended_at > started_at) AS held
    ON held.agent_id = s.agent_id AND held.ended_at = s.started_at AND held.attempt_id = s.attempt_id
WHERE s.state IN ('ready', 'on_call', 'on_hold', 'wrap_up')
GROUP BY s.site, s.agent_id, s.state, s.campaign_id, s.campaign_ids ORDER BY 1, 2, 3, 4, 5
