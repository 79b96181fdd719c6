"""The store on PostgreSQL: a pool, the migrations, and the parts of the contract from the modules beside this one.

Raises StoreUnavailable and StoreConflict only (`database.mapped`); every statement has a deadline on both sides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from daemon.bounds import Bound
from daemon.clock import Clock
from daemon.store.applying import Applying, make_partitions
from daemon.store.changes import ChangeRows
from daemon.store.config_rows import ConfigRows
from daemon.store.crm import CrmRows
from daemon.store.database import Database
from daemon.store.drafts import Drafts
from daemon.store.figures import Figures
from daemon.store.freeing import FreeingRows
from daemon.store.holding import Holding
from daemon.store.migrate import migrate
from daemon.store.numbers import NumbersRows
from daemon.store.outbox import Outbox
from daemon.store.people import People
from daemon.store.privacy import Privacy
from daemon.store.reports import load
from daemon.store.retention import Retention
from daemon.store.staging import Importing
from daemon.store.tapes import TapeRows

PARTITIONS_AHEAD_DAYS = 7
_STREAM_ROWS = 1000
LIGHT = frozenset({"api_calls", "api_calls_by_line", "dear_calls", "line_use", "callbacks", "journal"})
"""Reports that calls wait for, or that read few rows along an index: they don't queue with what people look at."""


class PostgresStore(
    Holding,
    Applying,
    ConfigRows,
    People,
    Privacy,
    Retention,
    Figures,
    Importing,
    Outbox,
    CrmRows,
    TapeRows,
    Drafts,
    NumbersRows,
    FreeingRows,
    ChangeRows,
):
    """Implements daemon.ports.Store, LeadSink, WebhookStore, CrmStore and TapeStore.

    `clock` dates what no fact dates; the lease uses the database's.
    """

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
        self._passed_over: dict[int, int] = {}

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

    def bounds(self) -> Iterable[Bound]:
        """See daemon.bounds."""
        yield Bound("store_connections", *self._database.in_use())
        yield from self._database.rooms()

    async def close(self) -> None:
        await self._database.close()

    async def ping(self) -> None:
        async with self._database.connection() as connection:
            await connection.execute("SELECT 1")

    async def report(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        report = load(name)
        door = self._database.connection if name in LIGHT else self._database.reading
        async with door() as connection:
            rows = await connection.fetch(report.sql, *report.arguments(parameters))
        return [dict(row) for row in rows]

    async def stream(self, name: str, **parameters: Any) -> AsyncIterator[dict[str, Any]]:
        report = load(name)
        arguments = report.arguments(parameters)
        async with self._database.downloading() as connection:
            async for row in connection.cursor(report.sql, *arguments, prefetch=_STREAM_ROWS):
                yield dict(row)
