-- Machine detection by campaign: thresholds other than the PBX's, and whether who is not sure meets an agent.
ALTER TABLE campaigns ADD COLUMN amd_settings jsonb NOT NULL DEFAULT '{}';
