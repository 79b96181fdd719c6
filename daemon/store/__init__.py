"""Leads, calls and history: PostgreSQL and its in-memory twin under one contract, and the journal in front of both."""
