-- Calls for export, by number.
SELECT id, number, site, kind, group_id, campaign_id, client_id, lead_id, line_id, agent_id, e164, caller_id,
    rule_set, at, placed_at, answered_at, connected_at, ended_at, outcome, cause, tech_cause, ended_by,
    ring_s, wait_s, talk_s, amd, counted, live, disposition, disposition_at, disposition_by_default, notes,
    sale, refused, final
FROM attempts
WHERE {call_filters}
ORDER BY number
