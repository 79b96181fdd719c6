-- What happened between :start and :end (both needed), newest first, :limit at most (500): campaigns steered, links lost
-- and found, agents gone from work, conversations begun. Indexes: audit_log_by_time, agent_states_by_time,
-- attempts_by_time (a conversation begins within ten minutes of its call).
SELECT * FROM (
    (SELECT a.at, 'campaign' AS kind, a.target AS id, a.what, a.by, a.detail
    FROM audit_log a JOIN campaigns c ON c.id::text = a.target
    WHERE a.at >= :start::timestamptz AND a.at < :end::timestamptz
        AND a.what IN ('campaign.tuned', 'campaign.running', 'campaign.paused', 'campaign.stopped')
        AND (:group_id::bigint IS NULL OR c.group_id = :group_id)
        AND (:campaign_id::bigint IS NULL OR c.id = :campaign_id)
    ORDER BY a.at DESC, a.id DESC LIMIT coalesce(:limit::bigint, 500))
    UNION ALL
    (SELECT l.at, 'link', l.site, CASE WHEN l.up THEN 'up' ELSE 'down' END, '', '{}'::jsonb
    FROM link_changes l
    WHERE l.at >= :start AND l.at < :end
    ORDER BY l.at DESC, l.site LIMIT coalesce(:limit, 500))
    UNION ALL
    (SELECT s.started_at, 'agent', s.agent_id::text, s.state, s.by, jsonb_build_object('code', s.code)
    FROM agent_states s JOIN agents g ON g.id = s.agent_id
    WHERE s.started_at >= :start AND s.started_at < :end AND s.state IN ('paused', 'signed_out', 'unreachable')
        AND (:group_id IS NULL OR g.group_id = :group_id)
        AND (:campaign_id IS NULL OR :campaign_id = ANY(s.campaign_ids))
    ORDER BY s.started_at DESC, s.agent_id LIMIT coalesce(:limit, 500))
    UNION ALL
    (SELECT t.connected_at, 'call', t.number::text, 'talking', '',
        jsonb_build_object('campaign_id', t.campaign_id, 'agent_id', t.agent_id)
    FROM attempts t
    WHERE t.at >= :start::timestamptz - interval '10 minutes' AND t.at < :end
        AND t.connected_at >= :start AND t.connected_at < :end
        AND (:group_id IS NULL OR t.group_id = :group_id)
        AND (:campaign_id IS NULL OR t.campaign_id = :campaign_id)
    ORDER BY t.connected_at DESC, t.number LIMIT coalesce(:limit, 500))
) found
ORDER BY at DESC, kind, id LIMIT coalesce(:limit, 500)
