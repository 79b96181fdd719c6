"""How often each line was used before this daemon had the site: "least used" and "longest unused" outlive a restart.

Asked of the store once, beside the engine's work: what it counts must not delay the first call after a failover. Calls
placed meanwhile are the engine's own to count; the two are added up.
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
RETRY_S = 5.0


async def recall(live: Live, store: Store, before: datetime, put: Callable[[Callable[[], None]], None]) -> None:
    """Read what was used before an instant and `put` it into the engine's inbox; retried until the store answers."""
    while True:
        try:
            rows = await store.report("line_use", start=before - timedelta(days=DAYS), end=before)
            break
        except StoreUnavailable as error:
            log.warning("line use unknown", site=live.site.id, error=str(error))
            await asyncio.sleep(RETRY_S)
    put(lambda: add(live, rows))


def add(live: Live, rows: Sequence[Mapping[str, Any]]) -> None:
    """Count these on top of what the lines have carried since."""
    for row in rows:
        ago_s = max(0.0, (live.utc - row["last_at"]).total_seconds())
        live.pool.recall(row["line_id"], row["calls"], live.now - ago_s)
