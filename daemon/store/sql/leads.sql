-- Leads for export, by id.
SELECT l.id, l.list_id, l.group_id, l.e164, l.tz_group, l.first_name, l.last_name, l.company, l.email, l.alt_phone,
    l.address1, l.address2, l.address3, l.city, l.postal_code, l.state, l.country_code, l.comments,
    l.vendor_lead_code, l.status, l.priority, l.consent_at, l.consent_source, l.consent_text_version,
    l.consent_out_of_hours, l.consent_automated, l.running_contract, l.fields, l.created_at, l.eligible_at,
    l.blocked_by, l.claimed_by, l.callback_at, l.callback_agent_id, l.attempts, l.failures, l.recycled,
    l.last_attempt_at, l.last_outcome, l.last_agent_id, l.abandoned_at, l.refused_at
FROM leads l
WHERE (:group_id::bigint IS NULL OR l.group_id = :group_id)
    AND (:list_id::bigint IS NULL OR l.list_id = :list_id)
    AND (:campaign_id::bigint IS NULL
        OR l.list_id IN (SELECT unnest(list_ids) FROM campaigns WHERE id = :campaign_id))
ORDER BY l.id
