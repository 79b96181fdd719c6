"""The toll-fraud cap: calls and minutes a day that a group may spend on dear destinations, each class for itself.

A stolen token is worth money only through dear destinations, so click-to-call, test calls, and third parties whom an
agent rings for a transfer or a conference have a daily bound there; premium numbers are never dialled at all. Counted
from the rows of calls: a restart or a second daemon forgets nothing. Calls still being set up count too, so that a
burst finds no gap between a question and its row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from aiohttp import web

from daemon.clock import Clock
from daemon.compliance.numbers import HOME, destination
from daemon.errors import CommandError
from daemon.ports import Store
from daemon.settings import HttpTable

SETTLE_S = 2.0
"""A third party's step lies in the journal before it is in the store: so long it counts from memory."""
RULES = {"foreign": "plafond international", "overseas": "plafond outre-mer"}


class Caps:
    """One an app."""

    def __init__(self, store: Store, clock: Clock, http: HttpTable) -> None:
        self._store, self._clock = store, clock
        self._allowed = {
            "foreign": (http.foreign_calls_per_day, http.foreign_minutes_per_day),
            "overseas": (http.overseas_calls_per_day, http.overseas_minutes_per_day),
        }
        self._holds: dict[tuple[int, str], dict[object, float]] = {}

    @asynccontextmanager
    async def hold(self, group_id: int, e164: str, *, settle_s: float = 0.0) -> AsyncIterator[None]:
        """Around the placing of a call. Raises fraud_cap when today's calls of the number's class have used up their
        bound. `settle_s`: how long after a success the store may lack the call's row."""
        where = destination(e164)
        if where == HOME:
            yield
            return
        mine, holds = object(), self._holds.setdefault((group_id, where), {})
        await self._check(group_id, where, holds)
        holds[mine] = float("inf")
        try:
            yield
        except BaseException:
            del holds[mine]
            raise
        if settle_s:
            holds[mine] = self._clock.now() + settle_s
        else:
            del holds[mine]

    async def _check(self, group_id: int, where: str, holds: dict[object, float]) -> None:
        before = set(self._alive(holds))  # one that ends while the store is asked may be missing in its answer
        calls, minutes = await self._spent(group_id, where)
        calls += len(before | set(self._alive(holds)))
        calls_max, minutes_max = self._allowed[where]
        if calls >= calls_max or minutes >= minutes_max:
            details = {"rule": RULES[where], "calls": calls, "minutes": round(minutes)}
            raise CommandError("fraud_cap", details)

    def _alive(self, holds: dict[object, float]) -> list[object]:
        now = self._clock.now()
        for over in [each for each, until in holds.items() if until <= now]:
            del holds[over]
        return list(holds)

    async def _spent(self, group_id: int, where: str) -> tuple[int, float]:
        """(calls, minutes) to that class since midnight UTC, conversations still going on up to now."""
        now = self._clock.utcnow()
        rows = await self._store.report("dear_calls", group_id=group_id, start=_midnight(now), end=now)
        return next(((row["calls"], row["minutes"]) for row in rows if row["destination"] == where), (0, 0.0))


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


CAPS = web.AppKey("fraud caps", Caps)
