-- Calls made, by the rule set they were made under (LEGL-05); "" = none (a person asked to be called).
SELECT rule_set, count(*) AS calls, count(DISTINCT e164) AS people, count(*) FILTER (WHERE counted) AS counted,
    count(*) FILTER (WHERE live) AS live, count(*) FILTER (WHERE outcome = 'abandoned') AS abandoned
FROM attempts
WHERE outcome IS DISTINCT FROM 'not_placed' AND kind <> 'inbound'
    AND (:group_id::bigint IS NULL OR group_id = :group_id)
    AND (:campaign_id::bigint IS NULL OR campaign_id = :campaign_id)
    AND (:start::timestamptz IS NULL OR at >= :start)
    AND (:end::timestamptz IS NULL OR at < :end)
GROUP BY 1 ORDER BY 1
