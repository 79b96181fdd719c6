-- Calls by clock hour of their attempt (as an instant), the hours without calls left out. Index: attempts_by_time.
SELECT date_trunc('hour', at) AS hour,
    {call_figures}
FROM attempts
WHERE {call_filters}
GROUP BY 1 ORDER BY 1
