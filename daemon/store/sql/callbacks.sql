-- Callbacks still owed, by their time (CALB-01).
SELECT k.attempt_id, k.lead_id, k.campaign_id, k.client_id, k.agent_id, k.due_at, k.created_at, k.created_by, k.notes
FROM callbacks k JOIN campaigns c ON c.id = k.campaign_id
WHERE k.done_at IS NULL
    AND (:group_id::bigint IS NULL OR c.group_id = :group_id)
    AND (:campaign_id::bigint IS NULL OR k.campaign_id = :campaign_id)
    AND (:agent_id::bigint IS NULL OR k.agent_id = :agent_id)
    AND (:start::timestamptz IS NULL OR k.due_at >= :start)
    AND (:end::timestamptz IS NULL OR k.due_at < :end)
ORDER BY k.due_at, k.attempt_id
