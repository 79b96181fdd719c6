-- How many numbers each client's red list has now, how many of them came within the time asked for, and how often one
-- was taken off in it (from the audit log).
SELECT c.id AS client_id, count(d.e164) AS size,
    count(d.e164) FILTER (WHERE (:start::timestamptz IS NULL OR d.at >= :start)
        AND (:end::timestamptz IS NULL OR d.at < :end)) AS added,
    (SELECT count(*) FROM audit_log a WHERE a.what = 'red_list.off' AND a.target = 'client:' || c.id
        AND (:start::timestamptz IS NULL OR a.at >= :start)
        AND (:end::timestamptz IS NULL OR a.at < :end)) AS removed
FROM clients c LEFT JOIN dnc d ON d.client_id = c.id
WHERE (:group_id::bigint IS NULL OR c.group_id = :group_id) GROUP BY 1 ORDER BY 1
