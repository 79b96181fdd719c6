"""The compatible API's counters: calls per group and clock hour, and the log of every request (C2C-07, C2C-10).

Counts live here and are rebuilt from the log after a restart (features D11); log rows are written by one task, so that
a request never waits for the database. The queue is bounded; past it rows are counted as lost, and requests go on.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from daemon.calls.records import Group
from daemon.clock import Clock
from daemon.errors import CommandError, StoreError
from daemon.ports import Store
from daemon.works import Works

log = structlog.get_logger("cadran.api")
QUEUE_MAX = 10_000
RETRY_S = 1.0
GATHER_S = 0.1
"""Rows of so long are written together: a commit for each would cost the database as much as the calls do."""
BATCH_MAX = 200


@dataclass(slots=True)
class Hour:
    """One group's clock hour. `succeeded` and those in flight count against the quota; failures do not (D10)."""

    start: datetime
    calls: int = 0
    succeeded: int = 0
    in_flight: int = 0
    response_ms: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)


def hour_of(now: datetime) -> datetime:
    """The clock hour an instant lies in (D11: fixed, not sliding)."""
    return now.replace(minute=0, second=0, microsecond=0)


class Quotas:
    """All groups' hours, and the log's writer."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._hours: dict[int, Hour] = {}
        self._loading: dict[int, asyncio.Lock] = {}
        self._rows: asyncio.Queue[dict[str, Any]] = asyncio.Queue(QUEUE_MAX)
        self._writer: asyncio.Task[None] | None = None
        self.lost = 0

    async def start(self, works: Works) -> None:
        writing = works.keep("api call log", self._write)
        self._writer = asyncio.get_running_loop().create_task(writing, name="api call log")

    async def close(self) -> None:
        """Write what is queued, within the store's own deadline, and stop."""
        if self._writer is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                await self._rows.join()
        self._writer.cancel()
        with suppress(asyncio.CancelledError):
            await self._writer

    async def hour(self, group_id: int) -> Hour:
        """The group's current hour; counted from the log when first asked for."""
        start = hour_of(self._clock.utcnow())
        hour = self._hours.get(group_id)
        if hour is not None and hour.start == start:
            return hour
        if hour is not None:
            fresh = self._hours[group_id] = Hour(start, in_flight=hour.in_flight)
            return fresh
        async with self._loading.setdefault(group_id, asyncio.Lock()):
            known = self._hours.get(group_id)
            if known is None or known.start != start:
                known = self._hours[group_id] = await self._load(group_id, start)
            return known

    async def _load(self, group_id: int, start: datetime) -> Hour:
        hour = Hour(start)
        try:
            rows = await self._store.report("api_calls", group_id=group_id, start=start, end=start + timedelta(hours=1))
        except KeyError:
            return hour  # a store without the report (tests): the hour starts empty
        for row in rows:
            hour.calls = int(row["calls"])
            hour.succeeded = int(row["succeeded"])
            hour.response_ms = float(row["response_ms"] or 0.0)
        return hour

    async def take(self, group: Group) -> Hour:
        """Reserve one call of the group's quota; `settle` ends it. Raises rate_limit."""
        hour = await self.hour(group.id)
        if hour.succeeded + hour.in_flight >= group.c2c_per_hour:
            reset = hour.start + timedelta(hours=1)
            wait_s = max(1, round((reset - self._clock.utcnow()).total_seconds()))
            details = {"limit": group.c2c_per_hour, "reset_at": reset.isoformat(), "retry_after_s": wait_s}
            raise CommandError("rate_limit", details)
        hour.in_flight += 1
        return hour

    def release(self, group_id: int, error: str, response_ms: float) -> None:
        """As `settle` for a request that was broken off: its client is gone, and nothing may be awaited any more."""
        hour = self._hours.get(group_id)
        if hour is not None:
            hour.in_flight = max(0, hour.in_flight - 1)
            self._count(hour, error, response_ms)

    async def settle(self, group_id: int, *, taken: bool, error: str, response_ms: float) -> None:
        """Count a finished request; only a success uses the quota up."""
        hour = await self.hour(group_id)
        if taken:
            hour.in_flight = max(0, hour.in_flight - 1)
        self._count(hour, error, response_ms)

    @staticmethod
    def _count(hour: Hour, error: str, response_ms: float) -> None:
        hour.calls += 1
        hour.response_ms += response_ms
        if error:
            hour.errors[error] = hour.errors.get(error, 0) + 1
        else:
            hour.succeeded += 1

    def note(self, row: dict[str, Any]) -> None:
        """Queue a row of api_call_logs."""
        try:
            self._rows.put_nowait(row)
        except asyncio.QueueFull:
            self.lost += 1

    async def _write(self) -> None:
        while True:
            rows = [await self._rows.get()]
            try:
                await asyncio.sleep(GATHER_S)
                while len(rows) < BATCH_MAX and not self._rows.empty():
                    rows.append(self._rows.get_nowait())
                await self._keep(rows)
            finally:
                for _ in rows:
                    self._rows.task_done()

    async def _keep(self, rows: list[dict[str, Any]]) -> None:
        """Rows into the store; a lost database is waited for while the queue has room."""
        while True:
            try:
                await self._store.log_api_calls(rows)
                return
            except StoreError as error:
                if self._rows.full():
                    self.lost += len(rows)
                    log.warning("api call log rows lost", count=len(rows), error=type(error).__name__)
                    return
                await asyncio.sleep(RETRY_S)
