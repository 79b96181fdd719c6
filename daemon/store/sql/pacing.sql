-- Sampled pacing decisions with their figures, by time.
SELECT p.at, p.site, p.campaign_id, p.count, p."limit", p.figures
FROM pacing_decisions p JOIN campaigns c ON c.id = p.campaign_id
WHERE (:group_id::bigint IS NULL OR c.group_id = :group_id)
    AND (:campaign_id::bigint IS NULL OR p.campaign_id = :campaign_id)
    AND (:start::timestamptz IS NULL OR p.at >= :start)
    AND (:end::timestamptz IS NULL OR p.at < :end)
ORDER BY p.at, p.site, p.fence, p.n
