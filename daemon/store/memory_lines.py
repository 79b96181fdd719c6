"""How lines were used, on the in-memory store: the rows of store/sql/line_use.sql."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from daemon.store.memory_tables import AttemptRow, MemoryTables

_NOT_CARRIED = ("congestion", "failed", "cancelled", "not_placed")


def line_use(tables: MemoryTables, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a line that was used from `start` on and before `end`."""
    start, end, until = given.get("start"), given.get("end"), given.get("until")
    used: dict[int, list[AttemptRow]] = {}
    for row in tables.attempts.values():
        if row.line_id and (start is None or row.at >= start) and (end is None or row.at < end):
            used.setdefault(row.line_id, []).append(row)
    return [
        {
            "line_id": id,
            "calls": len(rows),
            "last_at": max(row.at for row in rows),
            "succeeded": sum(_carried(row, until) for row in rows),
        }
        for id, rows in sorted(used.items())
    ]


def _carried(row: AttemptRow, until: datetime | None) -> bool:
    if row.ended_at is None or (until is not None and row.ended_at >= until):
        return False
    return row.answered_at is not None or (row.placed_at is not None and row.outcome not in _NOT_CARRIED)
