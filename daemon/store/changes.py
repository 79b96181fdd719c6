"""Which rows of configuration others have changed: on PostgreSQL by the transaction that did, in memory by a count.

Transactions are over in another order than they began. So a reader asks again for those that were at work as it last
asked; what it knows already comes with the same stamp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from daemon.ports import ChangedRow, Changes
from daemon.store.database import Database
from daemon.store.memory_tables import MemoryTables
from daemon.store.tables import FOLLOWED, TABLES, R, check_changes, to_record

_KINDS = {TABLES[kind]: kind for kind in FOLLOWED}

# Stamps to come are of a database that was restored from another server's copy: they are past there, and told.
_CHANGED = """
SELECT pg_snapshot_xmin(now.seen)::text::bigint AS mark, c.table_name, c.row_id, c.xid
FROM (SELECT pg_current_snapshot() AS seen) AS now
LEFT JOIN changed_rows AS c
    ON $1::bigint > 0 AND c.xid >= $1::bigint AND c.xid < pg_snapshot_xmax(now.seen)::text::bigint"""


class ChangeRows:
    """Part of PostgresStore: changes of configuration."""

    _database: Database

    async def changes(self, since: int) -> Changes:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_CHANGED, since)
        found = [ChangedRow(kind, row["row_id"], row["xid"]) for row in rows if (kind := _KINDS.get(row["table_name"]))]
        return Changes(mark=rows[0]["mark"], rows=found)

    async def get_many(self, kind: type[R], ids: Sequence[int]) -> list[R]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                f"SELECT * FROM {TABLES[kind]} WHERE id = ANY($1::bigint[]) ORDER BY id", list(ids)
            )
        return [to_record(kind, dict(row)) for row in rows]


class MemoryChanges:
    """Part of MemoryStore: the same."""

    tables: MemoryTables
    _do: Callable[..., Any]

    async def changes(self, since: int) -> Changes:
        def work() -> Changes:
            told = self.tables.told
            found = [ChangedRow(kind, id, n) for (kind, id), n in told.items() if 0 < since <= n]
            return Changes(mark=self.tables.told_n + 1, rows=found)

        found: Changes = await self._do("changes", work)
        return found

    async def get_many(self, kind: type[R], ids: Sequence[int]) -> list[R]:
        def work() -> list[R]:
            rows = self.tables.config[kind]
            return [check_changes(kind, rows[id], {}) for id in sorted(set(ids)) if id in rows]

        found: list[R] = await self._do("get_many", work)
        return found
