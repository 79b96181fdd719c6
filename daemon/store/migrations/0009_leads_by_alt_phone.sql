-- A person is looked for by either number; few leads have a second one.
CREATE INDEX leads_by_alt_phone ON leads (alt_phone) WHERE alt_phone <> '';

-- A lead's history shows its callbacks, those done too.
CREATE INDEX callbacks_by_lead ON callbacks (lead_id);
