-- Calls by calendar day in :zone (default Europe/Paris).
SELECT (at AT TIME ZONE coalesce(:zone, 'Europe/Paris'))::date::text AS day,
    {call_figures}
FROM attempts
WHERE {call_filters}
GROUP BY 1 ORDER BY 1
