-- The ledger by campaign and hour, all sites together. rate = abandoned / answered_live, NULL without a live answer.
SELECT l.campaign_id, l.hour, sum(l.answered_live)::bigint AS answered_live, sum(l.abandoned)::bigint AS abandoned,
    sum(l.connected)::bigint AS connected, sum(l.false_positives) AS false_positives,
    sum(l.abandoned)::double precision / nullif(sum(l.answered_live), 0)::double precision AS rate
FROM ledger l JOIN campaigns c ON c.id = l.campaign_id
WHERE (:group_id::bigint IS NULL OR c.group_id = :group_id)
    AND (:campaign_id::bigint IS NULL OR l.campaign_id = :campaign_id)
    AND (:start::timestamptz IS NULL OR l.hour >= :start)
    AND (:end::timestamptz IS NULL OR l.hour < :end)
GROUP BY 1, 2 ORDER BY 1, 2
