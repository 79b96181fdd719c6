-- Calls held back one by one, newest first (LEGL-05): whose, by which rule, until when. The rows that refused_by_rule
-- counts; `before_…` is the last row of the page before. Cost: the refusals of those campaigns within the time asked for.
SELECT r.at, r.site, r.fence, r.n, r.lead_id, r.campaign_id, r.rule, r.rule_set, r.clause, r.until,
    l.list_id, l.e164, l.first_name, l.last_name, l.company
FROM refusals r JOIN campaigns c ON c.id = r.campaign_id LEFT JOIN leads l ON l.id = r.lead_id
WHERE (:group_id::bigint IS NULL OR c.group_id = :group_id)
    AND (:campaign_id::bigint IS NULL OR r.campaign_id = :campaign_id)
    AND (:start::timestamptz IS NULL OR r.at >= :start)
    AND (:end::timestamptz IS NULL OR r.at < :end)
    AND (:rule::text IS NULL OR r.rule = :rule)
    AND (:rule_set::text IS NULL OR r.rule_set = :rule_set)
    AND (:before_at::timestamptz IS NULL
        OR (r.at, r.site, r.fence, r.n) < (:before_at, :before_site::text, :before_fence::bigint, :before_n::bigint))
ORDER BY r.at DESC, r.site DESC, r.fence DESC, r.n DESC LIMIT :limit::bigint
