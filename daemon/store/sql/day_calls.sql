-- What became of calls since an instant, as far as an engine that began under a fence does not count it itself: its
-- site's calls of earlier fences, and all of other sites. What became of those that were open as it began (`open`) it
-- counts, and the sale where the disposition was to come (`forms`). Figures of the day begin with these sums (DASH-01).
-- Calls from more than four hours before `start` are left out. Of all campaigns, or `only` some.
-- Index: attempts_by_time; attempts_of_campaign.
SELECT site = :site::text AS own, campaign_id, agent_id, kind = 'inbound' AS inbound,
    CASE WHEN over AND ended_at >= :start THEN outcome END AS outcome,
    CASE WHEN over AND kind = 'inbound' THEN ended_by ELSE '' END AS ended_by,
    count(*) AS calls,
    count(*) FILTER (WHERE at >= :start) AS began,
    count(*) FILTER (WHERE placed_at >= :start) AS placed,
    count(*) FILTER (WHERE over AND answered_at >= :start) AS answered,
    count(*) FILTER (WHERE over AND connected_at >= :start) AS connected,
    count(*) FILTER (WHERE over AND sale AND NOT disposition_by_default AND disposition_at >= :start
        AND NOT (id = ANY(coalesce(:forms::uuid[], '{}')))) AS sales
FROM (
    SELECT *, NOT (id = ANY(coalesce(:open::uuid[], '{}'))) AS over FROM attempts
    WHERE at >= :start::timestamptz - interval '4 hours' AND at < coalesce(:until::timestamptz, 'infinity')
        AND (site <> :site OR fence < :fence::bigint)
        AND (:only::bigint[] IS NULL OR campaign_id = ANY(:only))) AS known
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
