"""The toll-fraud cap's report, of the in-memory store: the rows of store/sql/dear_calls.sql. Called by
daemon.store.memory_reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from daemon.compliance.numbers import HOME, destination
from daemon.store.memory_tables import MemoryTables

Rung = tuple[str, datetime | None, datetime | None]


def dear_calls(tables: MemoryTables, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Calls and minutes by class of dear destination."""
    sums: dict[str, list[float]] = {}
    for where, since, until in [*_numbers(tables, given), *_third_parties(tables, given)]:
        until = until or given["end"]
        minutes = (until - since).total_seconds() / 60 if since is not None and until is not None else 0.0
        calls = sums.setdefault(where, [0, 0.0])
        calls[0] += 1
        calls[1] += max(0.0, minutes)
    return [{"destination": where, "calls": int(sums[where][0]), "minutes": sums[where][1]} for where in sorted(sums)]


def _within(at: datetime, given: Mapping[str, Any]) -> bool:
    return (given["start"] is None or at >= given["start"]) and (given["end"] is None or at <= given["end"])


def _numbers(tables: MemoryTables, given: Mapping[str, Any]) -> Iterator[Rung]:
    for row in tables.attempts.values():
        theirs = given["group_id"] in (None, row.group_id) and row.kind in ("click2call", "test")
        if not theirs or not _within(row.at, given) or row.outcome in ("not_placed", "agent_no_answer"):
            continue
        if row.e164.startswith("+") and (where := destination(row.e164)) != HOME:
            since = row.answered_at or row.at if row.outcome is None else row.answered_at
            yield where, since, row.ended_at


def _third_parties(tables: MemoryTables, given: Mapping[str, Any]) -> Iterator[Rung]:
    for attempt_id, events in tables.events.items():
        row = tables.attempts.get(attempt_id)
        if row is None or given["group_id"] not in (None, row.group_id):
            continue
        for event in events:
            rung = event["kind"] in ("consult", "transfer") and "destination" in event["detail"]
            if rung and _within(event["at"], given):
                yield event["detail"]["destination"], event["at"], row.ended_at
