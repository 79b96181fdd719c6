-- Consents at the instant :at, by state: of people in the register (a client and a number each), and of leads that came
-- with their own. Valid: given, not older than :valid_days (0 = no age), not past its own end; withdrawn wins over those
-- given before it. Cost: reads the register and the leads that carry a consent once.
WITH register AS (
    SELECT c.client_id, c.e164, max(c.at) AS given, max(c.revoked_at) AS revoked,
        (array_agg(c.until ORDER BY c.at DESC NULLS LAST, c.id DESC))[1] AS until
    FROM consents c JOIN clients k ON k.id = c.client_id
    WHERE :at::timestamptz IS NOT NULL AND (:group_id::bigint IS NULL OR k.group_id = :group_id)
    GROUP BY 1, 2),
withdrawals AS (
    SELECT k.group_id, c.e164, max(c.revoked_at) AS revoked FROM consents c JOIN clients k ON k.id = c.client_id
    WHERE c.revoked_at IS NOT NULL GROUP BY 1, 2),
known AS (
    SELECT 'register' AS kind, given, revoked, until FROM register
    UNION ALL
    SELECT 'leads', l.consent_at, w.revoked, NULL FROM leads l
    LEFT JOIN withdrawals w ON w.group_id = l.group_id AND w.e164 = l.e164
    WHERE l.consent_at IS NOT NULL AND :at::timestamptz IS NOT NULL
        AND (:group_id::bigint IS NULL OR l.group_id = :group_id)),
judged AS (
    SELECT kind, coalesce(revoked <= :at AND (given IS NULL OR given <= revoked), false) AS withdrawn,
        coalesce(given <= :at AND (until IS NULL OR until > :at)
            AND (coalesce(:valid_days::int, 0) = 0 OR given + :valid_days::int * interval '24 hours' > :at), false) AS valid
    FROM known)
SELECT k.kind, count(j.kind) FILTER (WHERE NOT withdrawn AND valid) AS valid,
    count(j.kind) FILTER (WHERE NOT withdrawn AND NOT valid) AS expired,
    count(j.kind) FILTER (WHERE withdrawn) AS withdrawn
FROM (VALUES ('leads'), ('register')) AS k(kind) LEFT JOIN judged j ON j.kind = k.kind GROUP BY 1 ORDER BY 1
