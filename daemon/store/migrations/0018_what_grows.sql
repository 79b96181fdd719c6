-- A person's number in the log of click-to-call and as somebody's second number, however it was written there: asked for
-- at each access and each erasure, of which retention makes thousands in a night.
CREATE INDEX api_call_logs_of_number ON api_call_logs (group_id, regexp_replace(number_called, '[^0-9+]', '', 'g'))
    WHERE number_called <> '';
CREATE INDEX leads_by_alt_digits ON leads (group_id, regexp_replace(alt_phone, '[^0-9+]', '', 'g'))
    WHERE alt_phone <> '';

-- Agents' time between two instants: what ended before the first is years of intervals.
CREATE INDEX agent_states_by_end ON agent_states (ended_at);
