"""The store on PostgreSQL: a pool, the migrations, and the parts of the contract from the modules beside this one.

Raises StoreUnavailable and StoreConflict only (`database.mapped`); every statement has a deadline on both sides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from daemon.clock import Clock
from daemon.store.applying import Applying, make_partitions
from daemon.store.config_rows import ConfigRows
from daemon.store.database import Database
from daemon.store.dialling import Dialling
from daemon.store.figures import Figures
from daemon.store.migrate import migrate
from daemon.store.people import People
from daemon.store.privacy import Privacy
from daemon.store.reports import load
from daemon.store.staging import Importing

PARTITIONS_AHEAD_DAYS = 7
_STREAM_ROWS = 1000


class PostgresStore(Dialling, Applying, ConfigRows, People, Privacy, Figures, Importing):
    """Implements daemon.ports.Store and LeadSink. `clock` dates what no fact dates; the lease uses the database's."""

    def __init__(
        self,
        dsn: str,
        clock: Clock,
        *,
        pool_size: int = 8,
        statement_timeout_s: float = 10.0,
        password: str | Callable[[], str] | None = None,
        migrations: bool = True,
    ) -> None:
        self._database = Database(dsn, pool_size=pool_size, statement_timeout_s=statement_timeout_s, password=password)
        self._clock = clock
        self._migrations = migrations
        self._days: set[date] = set()
        self._doubtful: dict[tuple[str, int], list[int]] = {}

    async def open(self) -> None:
        """Connect, migrate if asked to, and lay out the partitions of the days to come."""
        await self._database.open()
        if self._migrations:
            async with self._database.connection() as connection:
                await migrate(connection)
        await self.prepare_partitions(self._clock.utcnow())
        await self.drop_old_staging()

    async def prepare_partitions(self, now: datetime) -> None:
        """Partitions from yesterday to a week from `now`. Asked at each start; a missing day is made on the spot."""
        first = now.astimezone(UTC).date() - timedelta(days=1)
        days = [first + timedelta(days=i) for i in range(PARTITIONS_AHEAD_DAYS + 2)]
        async with self._database.transaction() as connection:
            await make_partitions(connection, days)
        self._days.update(days)

    async def close(self) -> None:
        await self._database.close()

    async def ping(self) -> None:
        async with self._database.connection() as connection:
            await connection.execute("SELECT 1")

    async def report(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        report = load(name)
        async with self._database.connection() as connection:
            rows = await connection.fetch(report.sql, *report.arguments(parameters))
        return [dict(row) for row in rows]

    async def stream(self, name: str, **parameters: Any) -> AsyncIterator[dict[str, Any]]:
        report = load(name)
        arguments = report.arguments(parameters)
        async with self._database.transaction() as connection:
            async for row in connection.cursor(report.sql, *arguments, prefetch=_STREAM_ROWS):
                yield dict(row)

    # -- webhooks: what `daemon.crm` sends and ticks off --------------------------------------------------------------

    async def outbox_due(self, now: datetime, limit: int) -> list[dict[str, Any]]:
        """Undelivered rows whose time has come, oldest first, at most one a call and webhook (so that a call's events
        arrive in order)."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_OUTBOX_DUE, now, limit)
        return [dict(row) for row in rows]

    async def outbox_done(self, keys: Sequence[tuple[int, str, int, int]]) -> None:
        """Delivered: (webhook_id, site, fence, n) each."""
        async with self._database.connection() as connection:
            await connection.executemany(
                "DELETE FROM outbox WHERE webhook_id = $1 AND site = $2 AND fence = $3 AND n = $4", list(keys)
            )

    async def outbox_failed(
        self, key: tuple[int, str, int, int], next_at: datetime | None, error: str, now: datetime
    ) -> None:
        """Try again at `next_at`; None puts it on the dead-letter list."""
        async with self._database.connection() as connection:
            await connection.execute(
                "UPDATE outbox SET tries = tries + 1, error = $5, next_at = coalesce($6, next_at),"
                " dead_at = CASE WHEN $6::timestamptz IS NULL THEN $7::timestamptz END"
                " WHERE webhook_id = $1 AND site = $2 AND fence = $3 AND n = $4",
                *key,
                error,
                next_at,
                now,
            )


_OUTBOX_DUE = """
SELECT o.webhook_id, o.site, o.fence, o.n, o.at, o.topic, o.attempt_id, o.payload, o.tries, w.url, w.secret_file
FROM outbox o JOIN webhooks w ON w.id = o.webhook_id
WHERE o.dead_at IS NULL AND o.next_at <= $1 AND NOT EXISTS (
    SELECT FROM outbox e WHERE e.webhook_id = o.webhook_id AND e.attempt_id = o.attempt_id AND e.dead_at IS NULL
        AND (e.fence, e.n) < (o.fence, o.n))
ORDER BY o.next_at, o.fence, o.n LIMIT $2"""
