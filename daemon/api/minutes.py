"""Minutes of a line in the calendar month, against its quota (features TELC-02): the usage, and the alarm.

A quota does not stop calls: the carrier goes on and bills. So somebody is told at 80 % and at 100 %, once each a line
and month. Minutes run from answer to end, each call's seconds as they are.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from daemon.calls.records import Group, Line
from daemon.clock import Clock
from daemon.compliance.zones import zone
from daemon.errors import StoreError
from daemon.ports import Store
from daemon.works import Works

log = structlog.get_logger("cadran.api")
CHECK_S = 300.0
"""A trunk of 30 channels uses 150 minutes in it, little of a quota worth an alarm; a month's calls are read for it."""
MONTH_ZONE = "Europe/Paris"
DAY = timedelta(days=1)
THRESHOLDS = (1.0, 0.8)
Notify = Callable[[str, Mapping[str, Any]], None]


def month_start(now: datetime) -> datetime:
    """The instant the calendar month began, where the carrier's invoice has it begin."""
    return now.astimezone(zone(MONTH_ZONE)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


async def minutes_used(store: Store, now: datetime, line_id: int = 0) -> dict[int, float]:
    """Minutes of this month by line; of one if named. Asked a day at a time: the calls of a busy month are too many for
    one statement's time, and then no alarm would ever be given."""
    used: dict[int, float] = defaultdict(float)
    since = month_start(now).astimezone(UTC)  # days of 24 hours: no hour is counted twice as the clocks change
    while since <= now:
        filters: dict[str, Any] = {"from": since, "to": since + DAY, "status": "answered"}
        if line_id:
            filters["line_id"] = line_id
        for row in await store.call_sums(None, filters, "line", MONTH_ZONE, 0, (1,)):
            used[int(row["key"])] += row["billed_s"][0] / 60
        since += DAY
    return dict(used)


class MinuteAlarms:
    """One an app."""

    def __init__(self, store: Store, clock: Clock, notify: Notify) -> None:
        self._store, self._clock, self._notify = store, clock, notify
        self._told: dict[int, tuple[datetime, float]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self, works: Works) -> None:
        watching = works.keep("minute alarms", self._watch)
        self._task = asyncio.get_running_loop().create_task(watching, name="minute alarms")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                await self.look()
            except StoreError as error:
                log.warning("minutes not checked", error=str(error))

    async def look(self) -> None:
        """Tell of each line that passed a threshold since it was last told of."""
        lines = [line for line in await self._store.find(Line) if line.minutes_per_month]
        if not lines:
            return
        now = self._clock.utcnow()
        used, month = await minutes_used(self._store, now), month_start(now)
        for line in lines:
            share = used.get(line.id, 0.0) / line.minutes_per_month
            passed = next((threshold for threshold in THRESHOLDS if share >= threshold), 0.0)
            told_month, told = self._told.get(line.id, (month, 0.0))
            if passed > (told if told_month == month else 0.0):
                self._told[line.id] = (month, passed)
                group = await self._store.get(Group, line.group_id)
                details = {"line": line.name, "used": round(used[line.id], 1), "limit": line.minutes_per_month}
                self._notify("line.minutes", {"group": group.code if group else "", **details, "share": passed})
