"""Agents: their states, the intervals these make, and who is chosen for a call. Pure."""
