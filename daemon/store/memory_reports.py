"""Named reports of the in-memory store: the same rows as store/sql/<name>.sql gives on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from daemon.store.memory_tables import MemoryTables
from daemon.store.reports import load

Rows = list[dict[str, Any]]
_REPORTS: dict[str, Callable[..., Rows]] = {}


def run(tables: MemoryTables, name: str, parameters: Mapping[str, Any]) -> Rows:
    """The report's rows. Raises KeyError for an unknown name, ValueError for an unknown parameter."""
    report = load(name)
    report.arguments(parameters)
    return _REPORTS[name](tables, **{key: parameters.get(key) for key in report.parameters})
