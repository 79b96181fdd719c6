-- The calls asked for: a filter that is not given leaves nothing out.
(:group_id::bigint IS NULL OR group_id = :group_id)
    AND (:campaign_id::bigint IS NULL OR campaign_id = :campaign_id)
    AND (:agent_id::bigint IS NULL OR agent_id = :agent_id)
    AND (:line_id::bigint IS NULL OR line_id = :line_id)
    AND (:start::timestamptz IS NULL OR at >= :start)
    AND (:end::timestamptz IS NULL OR at < :end)
