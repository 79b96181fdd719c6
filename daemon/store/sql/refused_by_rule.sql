-- Calls held back, by rule (LEGL-05): how often, and how many people.
SELECT r.rule_set, r.rule, count(*) AS refusals, count(DISTINCT r.lead_id) AS people
FROM refusals r JOIN campaigns c ON c.id = r.campaign_id
WHERE (:group_id::bigint IS NULL OR c.group_id = :group_id)
    AND (:campaign_id::bigint IS NULL OR r.campaign_id = :campaign_id)
    AND (:start::timestamptz IS NULL OR r.at >= :start)
    AND (:end::timestamptz IS NULL OR r.at < :end)
GROUP BY 1, 2 ORDER BY 1, 2
