"""Searches of the store in memory: leads, and attempts, under the filters that the PostgreSQL store takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daemon.calls.records import Campaign
from daemon.ports import Page
from daemon.store.memory_tables import AttemptRow, LeadRow, MemoryTables
from daemon.store.privacy import written
from daemon.store.tables import ATTEMPT_FILTERS, ATTEMPT_ROW, LEAD_FILTERS, LEAD_ROW, check_filters


def _page(rows: Sequence[Any], columns: Sequence[str], key: str, limit: int, after: str | None) -> Page:
    before = int(after) if after else 1 << 62
    rows = sorted((row for row in rows if getattr(row, key) < before), key=lambda row: -getattr(row, key))
    shown = [{name: getattr(row, name) for name in columns} for row in rows[:limit]]
    return Page(rows=shown, next_after=str(shown[-1][key]) if len(rows) > limit else None)


def search_leads(
    tables: MemoryTables, group_id: int, filters: Mapping[str, Any], limit: int, after: str | None
) -> Page:
    """Newest first."""
    wanted = check_filters(filters, LEAD_FILTERS)
    rows = [
        row
        for row in tables.leads.values()
        if row.group_id == group_id and all(_lead_matches(tables, row, *item) for item in wanted.items())
    ]
    return _page(rows, LEAD_ROW, "id", limit, after)


def _lead_matches(tables: MemoryTables, row: LeadRow, name: str, value: Any) -> bool:
    match name:
        case "campaign_id":
            campaign = tables.config[Campaign].get(value)
            return isinstance(campaign, Campaign) and row.list_id in campaign.list_ids
        case "q":
            return str(value).lower() in f"{row.first_name} {row.last_name} {row.company}".lower()
        case "phone":
            return row.e164 == value or re.sub(r"[^0-9+]", "", row.alt_phone) in written(value)
        case "email":
            return row.email.lower() == str(value).lower()
        case "outcome":
            return row.last_outcome == str(value)
        case "agent_id":
            return row.last_agent_id == int(value)
        case "last_attempt_from":
            return row.last_attempt_at is not None and bool(row.last_attempt_at >= value)
        case "last_attempt_to":
            return row.last_attempt_at is not None and bool(row.last_attempt_at < value)
        case _:
            return bool(getattr(row, name) == value)


def status_of(row: AttemptRow) -> str:
    """What became of a call in one word, as the call statistics filter by it (TELC-06)."""
    if row.outcome is None:
        return "in_progress"
    if row.answered_at is not None:
        return "answered"
    return {"no_answer": "no_answer", "cancelled": "no_answer", "busy": "busy"}.get(row.outcome, "failed")


_ATTEMPT_TESTS: dict[str, Callable[[AttemptRow, Any], bool]] = {
    "from": lambda row, value: row.at >= value,
    "to": lambda row, value: row.at < value,
    "direction": lambda row, value: {"inbound": "in", "internal": "internal"}.get(row.kind, "out") == value,
    "numbers": lambda row, value: row.e164 in value,
    "status": lambda row, value: status_of(row) == value,
    "number": lambda row, value: row.e164 == value,
    "duration_min": lambda row, value: row.talk_s >= value,
    "duration_max": lambda row, value: row.talk_s <= value,
    "outcome": lambda row, value: row.outcome in ([value] if isinstance(value, str) else list(value)),
    "open": lambda row, value: (row.outcome is None) == value,
}


def search_attempts(
    tables: MemoryTables, group_id: int | None, filters: Mapping[str, Any], limit: int, after: str | None
) -> Page:
    """Newest first."""
    return _page(attempts_matching(tables, group_id, filters), ATTEMPT_ROW, "number", limit, after)


def attempts_matching(tables: MemoryTables, group_id: int | None, filters: Mapping[str, Any]) -> list[AttemptRow]:
    """All that pass every filter."""
    wanted = check_filters(filters, ATTEMPT_FILTERS)

    def matches(row: AttemptRow) -> bool:
        for name, value in wanted.items():
            test = _ATTEMPT_TESTS.get(name)
            if not (test(row, value) if test is not None else getattr(row, name) == value):
                return False
        return True

    return [row for row in tables.attempts.values() if group_id in (None, row.group_id) and matches(row)]


def attempt_row(row: AttemptRow) -> dict[str, Any]:
    """An attempt as searches show it."""
    return {name: getattr(row, name) for name in ATTEMPT_ROW}
