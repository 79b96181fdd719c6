-- What calls come to, over whatever set or group of them. Rates 0..1; mean of nothing is NULL.
    count(*) FILTER (WHERE outcome IS DISTINCT FROM 'not_placed') AS attempts,
    count(*) FILTER (WHERE outcome IS NULL) AS in_progress,
    count(*) FILTER (WHERE answered_at IS NOT NULL) AS answered,
    count(*) FILTER (WHERE live) AS live,
    count(*) FILTER (WHERE outcome = 'connected') AS connected,
    count(*) FILTER (WHERE outcome = 'abandoned') AS abandoned,
    count(*) FILTER (WHERE outcome = 'machine') AS machines,
    count(*) FILTER (WHERE sale) AS sales,
    count(*) FILTER (WHERE refused) AS refusals,
    coalesce(sum(talk_s), 0) AS talk_s,
    avg(talk_s) FILTER (WHERE outcome = 'connected') AS talk_mean_s,
    avg(ring_s) AS ring_mean_s,
    avg(wait_s) AS wait_mean_s,
    count(*) FILTER (WHERE answered_at IS NOT NULL)::double precision
        / nullif(count(*) FILTER (WHERE outcome IS DISTINCT FROM 'not_placed'), 0) AS answer_rate
