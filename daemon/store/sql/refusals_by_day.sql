-- Calls that the law, a consent or a rule of the operator forbade (LEGL-05), by day in :zone (default Europe/Paris).
SELECT (r.at AT TIME ZONE coalesce(:zone, 'Europe/Paris'))::date::text AS day, r.campaign_id, r.rule_set, r.rule, count(*) AS refusals
FROM refusals r JOIN campaigns c ON c.id = r.campaign_id
WHERE (:group_id::bigint IS NULL OR c.group_id = :group_id)
    AND (:campaign_id::bigint IS NULL OR r.campaign_id = :campaign_id)
    AND (:start::timestamptz IS NULL OR r.at >= :start)
    AND (:end::timestamptz IS NULL OR r.at < :end)
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
