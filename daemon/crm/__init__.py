"""Doors to other software: CRM templates and journals, telephony providers' notifications, webhooks."""
