"""How often each line was used before this daemon had the site: "least used" and "longest unused" outlive a restart.

Asked of the store a day at a time, the newest first, beside the engine's work: what it counts must not delay the first
call after a failover, nor be one query over all calls of a month. Calls placed meanwhile are the engine's own to count;
the two are added up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from daemon.engine.live import Live
from daemon.errors import StoreUnavailable
from daemon.ports import Store

log = structlog.get_logger(__name__)

DAYS = 30
"""Calls longer ago than this don't make a line used: it bounds what is read."""
RETRY_S, TRIES = 5.0, 60
"""A store that was lost is back by then; what it can't count in its time, it can't count at the sixtieth try either."""


async def recall(live: Live, store: Store, before: datetime, put: Callable[[Callable[[], None]], None]) -> None:
    """Read what was used before an instant and `put` each day of it into the engine's inbox. A day that can't be had
    after `TRIES` ends the reading: what is older is left out, and said in the log."""
    for day in range(DAYS):
        end = before - timedelta(days=day)
        rows = await _day(live, store, end, before)
        if rows is None:
            log.warning("line use unknown", site=live.site.id, before=end.isoformat())
            return
        if rows:
            put(adding(live, rows))


async def _day(live: Live, store: Store, end: datetime, until: datetime) -> Sequence[Mapping[str, Any]] | None:
    for tries in range(TRIES):
        try:
            return await store.report("line_use", start=end - timedelta(days=1), end=end, until=until)
        except StoreUnavailable as error:
            if tries == 0:
                log.warning("line use waits for the store", site=live.site.id, error=str(error))
            await asyncio.sleep(RETRY_S)
    return None


def adding(live: Live, rows: Sequence[Mapping[str, Any]]) -> Callable[[], None]:
    """What counts these on top of what the lines have carried since."""

    def add_line_use() -> None:
        for row in rows:
            ago_s = max(0.0, (live.utc - row["last_at"]).total_seconds())
            live.pool.recall(row["line_id"], row["calls"], live.now - ago_s, row["succeeded"])
            live.touch("lines", row["line_id"])

    return add_line_use
