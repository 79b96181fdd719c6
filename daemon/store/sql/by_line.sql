-- Calls by line.
SELECT line_id,
    {call_figures}
FROM attempts
WHERE {call_filters}
GROUP BY 1 ORDER BY 1
