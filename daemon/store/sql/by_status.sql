-- Calls by the agent's status code; NULL = none.
SELECT disposition,
    {call_figures}
FROM attempts
WHERE {call_filters}
GROUP BY 1 ORDER BY 1
