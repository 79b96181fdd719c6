"""How a campaign's leads stand: what the engine, the pages and the command line say of them in the same words."""

from __future__ import annotations

from datetime import datetime

import msgspec


class LeadCounts(msgspec.Struct, frozen=True, kw_only=True):
    """`by_reason`: all leads of the campaign by what holds them; `due` are held by nothing. `next_at`: the next instant
    at which one that waits falls due by itself; None if none does, or if some are due already (nobody asks then)."""

    by_reason: dict[str, int]
    next_at: datetime | None = None
