"""The pool of phones that click-to-call may ring (features C2C-05, C2C-06): lines of kind extension, one group each.

A phone is leased from the choice until its call is gone from the engine's views, so that concurrent requests never get
the same one. Choosing and leasing happen without an await in between. How often and when a phone was used before this
daemon started is read from the log with the group's phones.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from daemon.api.shared import Shared
from daemon.calls.records import Line, LineKind, Strategy
from daemon.clock import Clock
from daemon.engine.views import Changes, EngineDoor, LineView
from daemon.errors import CommandError
from daemon.pool.lines import LinePool, LineState
from daemon.ports import Store

CACHE_S = 1.0
PAST_DAYS = 30
"""Calls longer ago than this don't make a phone used: it bounds what the first request after a start waits for."""
SETTLE_S = 10.0
"""A lease whose call the engine has not shown by then was never a call."""


class PhonePool:
    """All groups' phones."""

    def __init__(self, store: Store, door: EngineDoor, clock: Clock, rng: random.Random) -> None:
        self._store, self._door, self._clock = store, door, clock
        self._pool = LinePool(rng, failures_rest=1_000_000, rest_s=1.0)
        self._lines: dict[int, tuple[float, list[Line]]] = {}
        self._reading: set[int] = set()
        self._leases: dict[UUID, tuple[int, float]] = {}
        self._recalled: set[int] = set()
        self._past = Shared()
        self._held: set[int] = set()
        """Phones whose every call is leased: not even looked at."""

    def forget(self) -> None:
        """Line rows changed: read them again."""
        self._lines.clear()

    def on_changes(self, changes: Changes) -> None:
        """Give a phone back when its call is gone."""
        for id, view in changes.get("calls", {}).items():
            if view is None:
                self.give_back(UUID(id))

    async def lines(self, group_id: int) -> list[Line]:
        """The group's phones, as rows; at most CACHE_S old."""
        now = self._clock.now()
        cached = self._lines.get(group_id)
        if cached is not None and now - cached[0] < CACHE_S:
            return cached[1]
        if cached is not None and group_id in self._reading:
            return cached[1]  # one request reads for all that come meanwhile
        self._reading.add(group_id)
        try:
            found = await self._store.find(Line, group_id=group_id)
            rows = [row for row in found if row.kind is LineKind.EXTENSION]
            for row in rows:
                if self._pool.set(row).free(now) > 0:
                    self._held.discard(row.id)
            if group_id not in self._recalled:
                await self._past.once(group_id, lambda: self._recall(group_id, rows))
            self._lines[group_id] = (now, rows)
        finally:
            self._reading.discard(group_id)
        return rows

    async def _recall(self, group_id: int, rows: Sequence[Line]) -> None:
        """Once: what the log knows of the group's phones."""
        end = self._clock.utcnow()
        start = end - timedelta(days=PAST_DAYS)
        past = await self._store.report("api_calls_by_line", group_id=group_id, start=start, end=end)
        if group_id in self._recalled:
            return
        self._recalled.add(group_id)
        used = {row["phone_line_used"]: row for row in past}
        for line in rows:
            if (row := used.get(line.endpoint)) is not None:
                ago_s = (end - row["last_at"]).total_seconds()
                self._pool.recall(line.id, row["calls"], self._clock.now() - ago_s)

    def usable(self, lines: Sequence[Line]) -> list[Line]:
        """Those enabled, and not off, resting or unavailable as the engine sees them now."""
        views = self._door.view().get("lines", {})
        out = {int(id) for id, view in views.items() if isinstance(view, LineView) and view.state != "active"}
        return [line for line in lines if line.enabled and line.id not in out]

    async def free(self, group_id: int) -> tuple[int, int]:
        """(available now, total) of a group."""
        lines = await self.lines(group_id)
        self._sweep()
        usable = [line.id for line in self.usable(lines)]
        return self._pool.free(usable, self._clock.now()), len(lines)

    def take(
        self, lines: Sequence[Line], strategy: Strategy, attempt: UUID, wanted: str, excluded: Sequence[int]
    ) -> LineState:
        """Lease a phone. Raises line_refused if the named one is not in the pool, line_unavailable if none is free."""
        self._sweep()
        candidates = self.usable(lines)
        if wanted:
            candidates = [line for line in candidates if wanted in (line.endpoint, line.name)]
            if not candidates:
                raise CommandError("line_refused", {"value": wanted})
        ids = [line.id for line in candidates if line.id not in self._held and line.id not in excluded]
        leased = self._pool.take(ids, strategy, attempt, self._clock.now())
        if leased is None and wanted:
            raise CommandError("line_refused", {"value": wanted})
        if leased is None:
            raise CommandError("line_unavailable", {"lines": len(lines)})
        self._leases[attempt] = (leased.record.id, self._clock.now())
        if leased.in_use >= leased.record.capacity:
            self._held.add(leased.record.id)
        return leased

    def give_back(self, attempt: UUID) -> None:
        """End a lease; twice changes nothing."""
        if (lease := self._leases.pop(attempt, None)) is not None:
            self._pool.give_back(lease[0], attempt)
            self._held.discard(lease[0])

    def _sweep(self) -> None:
        """Leases whose call never came to be, or whose end was missed."""
        now = self._clock.now()
        old = [attempt for attempt, (_, since) in self._leases.items() if now - since > SETTLE_S]
        if old:
            live = {UUID(id) for id in self._door.view().get("calls", {})}
            for attempt in old:
                if attempt not in live:
                    self.give_back(attempt)
