"""Leads that were held because of their number, and are not any more, on both stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daemon.store.database import Database
from daemon.store.memory_tables import MemoryTables

# Index: leads_by_number.
_FREE = """
UPDATE leads SET blocked_by = '', eligible_at = NULL
WHERE e164 = $2 AND group_id = $1 AND blocked_by = $3 RETURNING id"""


class FreeingRows:
    """Part of PostgresStore."""

    _database: Database

    async def free_leads(self, group_id: int, e164: str, reason: str) -> list[int]:
        async with self._database.transaction() as connection:
            return sorted(row["id"] for row in await connection.fetch(_FREE, group_id, e164, reason))


class MemoryFreeing:
    """Part of MemoryStore."""

    tables: MemoryTables
    _do: Callable[..., Any]

    async def free_leads(self, group_id: int, e164: str, reason: str) -> list[int]:
        def work() -> list[int]:
            same_number = [self.tables.leads[id] for id in self.tables.leads_of_number.get(e164, ())]
            rows = [row for row in same_number if (row.e164, row.group_id, row.blocked_by) == (e164, group_id, reason)]
            for row in rows:
                row.blocked_by, row.eligible_at = "", None
                self.tables.touch(row)
            return sorted(row.id for row in rows)

        ids: list[int] = await self._do("free_leads", work)
        return ids
