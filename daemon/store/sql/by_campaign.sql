-- Calls by campaign; 0 = none (click-to-call).
SELECT campaign_id,
    {call_figures}
FROM attempts
WHERE {call_filters}
GROUP BY 1 ORDER BY 1
