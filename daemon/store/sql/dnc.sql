-- The red lists, by client and number.
SELECT d.client_id, d.e164, d.at, d.by, d.source FROM dnc d JOIN clients c ON c.id = d.client_id
WHERE (:group_id::bigint IS NULL OR c.group_id = :group_id) AND (:client_id::bigint IS NULL OR d.client_id = :client_id)
ORDER BY 1, 2
