"""Calls in sums in the in-memory store: what figures.py says in SQL, said in Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from daemon.calls.rates import billed_s
from daemon.compliance.zones import zone as zone_of
from daemon.store.memory_search import attempts_matching, status_of
from daemon.store.memory_tables import AttemptRow, MemoryTables

STATUSES = ("answered", "no_answer", "busy", "failed", "in_progress")


def _department(t: MemoryTables, row: AttemptRow) -> str:
    lead = t.leads.get(row.lead_id)
    if lead is None or lead.country_code != "FR" or not re.fullmatch(r"[0-9]{5}", lead.postal_code):
        return ""
    code = lead.postal_code
    if code.startswith(("97", "98")):
        return code[:3]
    if code.startswith("20"):
        return "2A" if code[2] in "01" else "2B"
    return code[:2]


def _keys(t: MemoryTables, zone: ZoneInfo) -> dict[str, Callable[[AttemptRow], str]]:
    def local(row: AttemptRow, form: str) -> str:
        return row.at.astimezone(zone).strftime(form)

    def week(row: AttemptRow) -> str:
        day = row.at.astimezone(zone).date()
        return str(day - timedelta(days=day.weekday()))

    return {
        "": lambda row: "",
        "hour": lambda row: local(row, "%Y-%m-%dT%H:00"),
        "hour_of_day": lambda row: local(row, "%H"),
        "day": lambda row: local(row, "%Y-%m-%d"),
        "week": week,
        "campaign": lambda row: str(row.campaign_id),
        "agent": lambda row: str(row.agent_id),
        "line": lambda row: str(row.line_id),
        "outcome": lambda row: row.outcome or "in_progress",
        "status": status_of,
        "disposition": lambda row: row.disposition or "",
        "prefix": lambda row: row.e164[:4],
        "department": lambda row: _department(t, row),
    }


def call_sums(
    t: MemoryTables,
    group_id: int | None,
    filters: Mapping[str, Any],
    by: str,
    zone: str,
    digits: int,
    increments: Sequence[int],
) -> list[dict[str, Any]]:
    """Sums by key and beginning of the number."""
    key = _keys(t, zone_of(zone))[by]
    parts: dict[tuple[str, str], list[AttemptRow]] = {}
    for row in attempts_matching(t, group_id, filters):
        if row.outcome != "not_placed":
            parts.setdefault((key(row), row.e164[:digits]), []).append(row)
    return [
        {"key": name, "prefix": prefix, "calls": len(rows)}
        | {status: sum(status_of(row) == status for row in rows) for status in STATUSES}
        | {
            "talk_s": float(sum(row.talk_s for row in rows)),
            "talked": sum(row.talk_s > 0 for row in rows),
            "billed_s": [sum(_billed(row, step) for row in rows) for step in increments],
        }
        for (name, prefix), rows in sorted(parts.items())
    ]


def _billed(row: AttemptRow, step: int) -> int:
    if row.answered_at is None or row.ended_at is None:
        return 0
    return billed_s((row.ended_at - row.answered_at).total_seconds(), step)
