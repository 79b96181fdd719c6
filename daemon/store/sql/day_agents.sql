-- How long agents waited and worked since an instant, and in how many calls, as far as an engine that began under a
-- fence does not count it itself. The interval an agent was in as it began (`since`, by place in `agent_ids`) it counts
-- whole, as that one ends. Intervals from more than four hours before `start` are left out.
-- Of all agents, or `only` some. Index: agent_states_by_time; the key.
SELECT site = :site::text AS own, s.agent_id, state, campaign_id, campaign_ids,
    coalesce(sum(extract(epoch FROM ended_at - greatest(started_at, :start)))
        FILTER (WHERE ended_at > :start AND (o.since IS NULL OR started_at < o.since)), 0)::float8 AS seconds,
    count(DISTINCT attempt_id) FILTER (WHERE state = 'on_call' AND started_at >= :start) AS calls
FROM agent_states AS s
LEFT JOIN unnest(:agent_ids::bigint[], :since::timestamptz[]) AS o(agent_id, since) ON o.agent_id = s.agent_id
WHERE started_at >= :start::timestamptz - interval '4 hours' AND started_at < coalesce(:until::timestamptz, 'infinity')
    AND (site <> :site OR fence < :fence::bigint) AND (:only::bigint[] IS NULL OR s.agent_id = ANY(:only))
    AND state IN ('ready', 'on_call', 'on_hold', 'wrap_up')
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
