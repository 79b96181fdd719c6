-- Agents' time by minute between :start and :end (both needed): seconds with calls (on_call, on_hold, wrap_up) and ready,
-- and the waits, times ready that a call ended, by the minute of that end. Of a campaign: time with its calls, time ready
-- of all who work for it. Intervals begun more than 4 h before :start count only if still open.
-- Indexes: agent_states_by_time, agent_states_now.
WITH spans AS (
    SELECT s.agent_id, s.state, s.campaign_id, s.campaign_ids, s.started_at, s.ended_at,
        lead(s.attempt_id) OVER spells AS next_attempt, lead(s.campaign_id) OVER spells AS next_campaign
    FROM agent_states s
    WHERE s.started_at < :end::timestamptz
        AND (s.ended_at IS NULL OR (s.started_at > :start::timestamptz - interval '4 hours' AND s.ended_at > :start))
        AND (:group_id::bigint IS NULL OR s.agent_id IN (SELECT id FROM agents WHERE group_id = :group_id))
    WINDOW spells AS (PARTITION BY s.agent_id ORDER BY s.started_at, s.fence, s.n)
), parts AS (
    SELECT m.minute, s.state <> 'ready' AS handling,
        CASE WHEN CASE WHEN s.state = 'ready' THEN :campaign_id::bigint = ANY(s.campaign_ids)
                ELSE s.campaign_id = :campaign_id END OR :campaign_id IS NULL
            THEN extract(epoch FROM
                least(coalesce(s.ended_at, :end), :end, m.minute + interval '1 minute')
                - greatest(s.started_at, :start, m.minute))
            ELSE 0 END AS spent,
        s.state = 'ready' AND s.next_attempt IS NOT NULL AND s.ended_at >= m.minute
            AND s.ended_at < m.minute + interval '1 minute' AND s.ended_at < :end
            AND (:campaign_id IS NULL OR s.next_campaign = :campaign_id) AS waited,
        extract(epoch FROM s.ended_at - s.started_at) AS whole
    FROM spans s CROSS JOIN LATERAL generate_series(
        date_trunc('minute', greatest(s.started_at, :start)), least(coalesce(s.ended_at, :end), :end), interval '1 minute'
    ) AS m(minute)
    WHERE s.state IN ('ready', 'on_call', 'on_hold', 'wrap_up')
)
SELECT minute,
    coalesce(sum(spent) FILTER (WHERE handling), 0)::double precision AS handling_s,
    coalesce(sum(spent) FILTER (WHERE NOT handling), 0)::double precision AS ready_s,
    count(*) FILTER (WHERE waited) AS waits,
    coalesce(sum(whole) FILTER (WHERE waited), 0)::double precision AS waited_s
FROM parts GROUP BY 1
HAVING sum(spent) > 0 OR bool_or(waited)
ORDER BY 1
