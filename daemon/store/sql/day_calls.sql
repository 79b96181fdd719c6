-- What became of calls since an instant, as far as an engine that began under a fence does not count it itself: its
-- site's calls of earlier fences, and all of other sites. What became of those that were open as it began (`open`) it
-- counts, and the sale where the disposition was to come (`forms`). Figures of the day begin with these sums (DASH-01).
-- Two kinds of rows: by campaign, and by agent (sales). Calls from more than four hours before `start` are left out. Of
-- all campaigns, or `only` some.
-- Index: attempts_by_time; attempts_of_campaign.
SELECT site = :site::text AS own, campaign_id, kind = 'inbound' AS inbound, outcome, ended_by, agent_id,
    count(*) FILTER (WHERE at >= :start) AS began,
    count(*) FILTER (WHERE placed_at >= :start) AS placed,
    count(*) FILTER (WHERE answered_at >= :start AND over) AS answered,
    count(*) FILTER (WHERE connected_at >= :start AND over) AS connected,
    count(*) FILTER (WHERE ended_at >= :start AND over) AS ended,
    count(*) FILTER (WHERE sale AND NOT disposition_by_default AND disposition_at >= :start AND over
        AND NOT (id = ANY(coalesce(:forms::uuid[], '{}')))) AS sales
FROM (
    SELECT *, NOT (id = ANY(coalesce(:open::uuid[], '{}'))) AS over FROM attempts
    WHERE at >= :start::timestamptz - interval '4 hours' AND at < coalesce(:until::timestamptz, 'infinity')
        AND (site <> :site OR fence < :fence::bigint)
        AND (:only::bigint[] IS NULL OR campaign_id = ANY(:only))) AS known
GROUP BY GROUPING SETS ((site, campaign_id, kind, outcome, ended_by), (site, agent_id))
ORDER BY 1, 2, 3, 4, 5, 6
