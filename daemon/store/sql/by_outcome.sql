-- Calls by outcome; NULL = in progress.
SELECT outcome,
    {call_figures}
FROM attempts
WHERE {call_filters}
GROUP BY 1 ORDER BY 1
