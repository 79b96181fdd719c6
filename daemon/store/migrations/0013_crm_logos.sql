-- A template's logo (YPT-02): "" or a data URL of a PNG or JPEG below 500 KB.
ALTER TABLE crm_templates ADD COLUMN logo text NOT NULL DEFAULT '';
