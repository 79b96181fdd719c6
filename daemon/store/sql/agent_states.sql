-- Agents' states, one row an interval, by agent and time; the last is open. Index: agent_states_pkey.
SELECT s.agent_id, s.started_at, s.ended_at, s.state, s.code, s.campaign_id, s.attempt_id, s.by
FROM agent_states s
WHERE (:agent_id::bigint IS NULL OR s.agent_id = :agent_id)
    AND (:group_id::bigint IS NULL OR s.agent_id IN (SELECT id FROM agents WHERE group_id = :group_id))
    AND (:start::timestamptz IS NULL OR s.ended_at IS NULL OR s.ended_at > :start)
    AND (:end::timestamptz IS NULL OR s.started_at < :end)
ORDER BY s.agent_id, s.started_at, s.fence, s.n
