"""How lines were used, on the in-memory store: the rows of store/sql/line_use.sql."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from daemon.store.memory_tables import MemoryTables


def line_use(tables: MemoryTables, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a line that was used from `start` on and before `end`."""
    start, end = given.get("start"), given.get("end")
    used: dict[int, list[datetime]] = {}
    for row in tables.attempts.values():
        if row.line_id and (start is None or row.at >= start) and (end is None or row.at < end):
            used.setdefault(row.line_id, []).append(row.at)
    return [{"line_id": id, "calls": len(times), "last_at": max(times)} for id, times in sorted(used.items())]
