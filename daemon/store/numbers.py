"""What a site's own numbers went through lately, on both stores: asked once, when a daemon takes a site over.

Which of our numbers rests, how often it was answered and shown today is the engine's to know; after a restart it is
made anew from the attempts and from the rests in the audit log.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from daemon.calls.lead_records import NumberRest, NumbersShown, ShownCall
from daemon.store.database import Database
from daemon.store.memory_tables import MemoryTables

RESTED = "caller_id.rest"

# Index: attempts_by_time, backwards; the rows read are those of the site's last calls.
_CALLS = """
SELECT caller_id, at, outcome, answered_at IS NOT NULL AS answered FROM attempts
WHERE at >= $2 AND site = $1 AND caller_id <> '' ORDER BY at DESC, id DESC LIMIT $3"""

# Index: audit_log_by_time.
_RESTS = "SELECT target, at, detail FROM audit_log WHERE at >= $2 AND site = $1 AND what = $3 ORDER BY at, id"


def _rest(target: str, at: datetime, detail: dict[str, Any]) -> NumberRest:
    return NumberRest(caller_id_id=int(target), at=at, until=datetime.fromisoformat(str(detail["until"])))


class NumbersRows:
    """Part of PostgresStore."""

    _database: Database

    async def numbers_shown(self, site: str, since: datetime, count: int) -> NumbersShown:
        async with self._database.connection() as connection:
            calls = await connection.fetch(_CALLS, site, since, count)
            rests = await connection.fetch(_RESTS, site, since, RESTED)
        return NumbersShown(
            calls=tuple(ShownCall(**dict(row)) for row in reversed(calls)),
            rests=tuple(_rest(row["target"], row["at"], row["detail"]) for row in rests),
        )


class MemoryNumbers:
    """Part of MemoryStore."""

    tables: MemoryTables
    _do: Callable[..., Any]

    async def numbers_shown(self, site: str, since: datetime, count: int) -> NumbersShown:
        def work() -> NumbersShown:
            mine = [
                row for row in self.tables.attempts.values() if row.at >= since and row.site == site and row.caller_id
            ]
            mine.sort(key=lambda row: (row.at, row.id))
            calls = tuple(
                ShownCall(caller_id=r.caller_id, at=r.at, outcome=r.outcome, answered=r.answered_at is not None)
                for r in mine[-count:]
            )
            rests = [r for r in self.tables.audit if r["at"] >= since and (r["site"], r["what"]) == (site, RESTED)]
            rests.sort(key=lambda row: (row["at"], row["id"]))
            return NumbersShown(
                calls=calls, rests=tuple(_rest(row["target"], row["at"], row["detail"]) for row in rests)
            )

        found: NumbersShown = await self._do("numbers_shown", work)
        return found
