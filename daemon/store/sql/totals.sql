-- One row: all calls asked for. Rates 0..1; mean of nothing is NULL.
SELECT
    {call_figures}
FROM attempts
WHERE {call_filters}
