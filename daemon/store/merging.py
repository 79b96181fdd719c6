"""Leads of the base that take the values of a file (imports with replace or merge), a few hundred at a time.

In: a table that the import's last transaction has made, a row a lead; from then on the import is promised. Each step
locks the leads that nobody else holds, writes them and deletes their rows, in one short transaction: the ends of these
leads' calls wait for a step, not for the file. What a daemon leaves behind as it dies is found by `left_over`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from daemon.errors import StoreConflict, StoreUnavailable
from daemon.store.database import Database
from daemon.store.pseudonyms import MARK

log = structlog.get_logger(__name__)

PREFIX = "lead_merging_"
STEP = 500
"""Leads written in one transaction: some 50 ms, which is all that a call's end waits."""
HELD_PAUSE_S = 0.1
"""All that is left is held by others: their transactions are short."""
RETRY_S, TRIES = 1.0, 60
"""A database that is gone for longer: the import is told as failed, and goes on when the database is back."""
DROP_WAIT = "300ms"

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_NEXT = "SELECT lead_id FROM {table} WHERE lead_id > $1 ORDER BY lead_id LIMIT $2"
_HOLD = f"""
SELECT id FROM leads WHERE id = ANY($1) AND NOT starts_with(e164, '{MARK}') ORDER BY id FOR UPDATE SKIP LOCKED"""
_THERE = f"SELECT id FROM leads WHERE id = ANY($1) AND NOT starts_with(e164, '{MARK}')"
"""Who was deleted or erased since is not written again."""


class Merge:
    """One table's. `update`: the statement for the leads $1, given the table and its policy."""

    def __init__(self, database: Database, table: str, update: Callable[[str, str], str]) -> None:
        self._database, self._table = database, table
        self._update = update(table, table.removeprefix(PREFIX).partition("_")[0])
        self._after = 0

    async def run(self) -> bool:
        """To its end; whether its table is gone too. Raises StoreUnavailable: somebody goes on with it; StoreConflict:
        a row can't be written at all, and the rest was dropped."""
        failures = 0
        while True:
            try:
                if await self._step():
                    return await self._drop()
                failures = 0
            except StoreUnavailable:
                failures += 1
                if failures == TRIES:
                    raise
                await asyncio.sleep(RETRY_S)
            except StoreConflict as error:
                log.error("import.merge_broken", table=self._table, error=str(error))
                async with self._database.connection() as connection:
                    await connection.execute(f"DROP TABLE IF EXISTS {self._table}")
                raise

    async def _step(self) -> bool:
        """Whether that was the last."""
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK, self._table)
            if await connection.fetchval("SELECT to_regclass($1)", self._table) is None:
                return True
            rows = await connection.fetch(_NEXT.format(table=self._table), self._after, STEP)
            if not rows and not self._after:
                return True
            wanted = [row["lead_id"] for row in rows]
            held = [row["id"] for row in await connection.fetch(_HOLD, wanted)]
            await connection.execute(self._update, held)
            there = {row["id"] for row in await connection.fetch(_THERE, wanted)}
            done = [id for id in wanted if id not in there] + held
            await connection.execute(f"DELETE FROM {self._table} WHERE lead_id = ANY($1)", done)
        self._after = wanted[-1] if wanted else 0
        if wanted and not done:
            await asyncio.sleep(HELD_PAUSE_S)
        return False

    async def _drop(self) -> bool:
        """Remove the table, which is empty, unless somebody reads it: a backup holds what it has seen for hours."""
        try:
            async with self._database.transaction() as connection:
                await connection.execute(f"SET LOCAL lock_timeout = '{DROP_WAIT}'")
                await connection.execute(_LOCK, self._table)
                await connection.execute(f"DROP TABLE IF EXISTS {self._table}")
        except StoreUnavailable as error:
            log.debug("import.table_in_use", table=self._table, error=str(error))
            return False
        return True


async def left_over(database: Database) -> list[str]:
    """Tables of merges that are under way, or were cut."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE starts_with(tablename, $1) ORDER BY 1", PREFIX
        )
    return [row["tablename"] for row in rows]
