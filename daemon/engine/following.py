"""Configuration that others change: another daemon on the same database, another site, a hand at its console.

A short statement every two seconds asks which rows have changed since the last; these alone are read again. What was
changed through this daemon is named too, and is known by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from daemon.calls.records import LeadList
from daemon.engine.commands import LeadsChanged
from daemon.engine.configuration import TABLES, Configuration
from daemon.engine.core import EngineCore
from daemon.errors import CommandError, StoreError
from daemon.ports import ChangedRow, Store

log = structlog.get_logger(__name__)

FOLLOW_S = 2.0
"""People who pause a campaign on one site's page look at the other's a moment later; at rest it costs an index look."""
ROWS_MAX = 1000
"""So many rows are read and handed over at once: a blacklist filled by the hundred thousand holds up no call."""


class Following:
    """See the module's first lines. One a site, for as long as it leads."""

    def __init__(
        self, core: EngineCore, store: Store, configuration: Configuration, put: Callable[[Callable[[], None]], None]
    ) -> None:
        self._core, self._store, self._configuration, self._put = core, store, configuration, put
        self._mark = 0
        self._known: dict[tuple[str, int], int] = {}
        """Stamps of changes already taken that the store may name again."""

    async def begin(self) -> None:
        """From here on; everything is read next. Raises StoreUnavailable."""
        self._mark, self._known = (await self._store.changes(0)).mark, {}

    async def run(self) -> None:
        """Until cancelled. What could not be read is asked for again: nobody is told of a store that is away, since
        others notice that (daemon.engine.store_work)."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            try:
                await self._catch_up()
            except StoreError as error:
                log.debug("changes.unread", site=self._core.live.site.id, error=str(error))
            except CommandError as error:
                log.warning("changes.refused", site=self._core.live.site.id, code=error.code)

    async def _catch_up(self) -> None:
        found = await self._store.changes(self._mark)
        if found.mark < self._mark:
            await self._all_anew(found.mark)
            return
        fresh = [row for row in found.rows if self._known.get((row.kind.__name__, row.id)) != row.stamp]
        for start in range(0, len(fresh), ROWS_MAX):
            await self._take(fresh[start : start + ROWS_MAX])
        self._mark = found.mark
        self._known = {(row.kind.__name__, row.id): row.stamp for row in found.rows if row.stamp >= found.mark}

    async def _take(self, rows: Sequence[ChangedRow]) -> None:
        wanted: dict[str, list[int]] = {}
        for row in rows:
            wanted.setdefault(row.kind.__name__, []).append(row.id)
        if ours := {name: tuple(ids) for name, ids in wanted.items() if name in TABLES}:
            await (await self._configuration.hand_over(ours))
        if lists := tuple(wanted.get(LeadList.__name__, ())):
            self._put(lambda: self._lists_changed(lists))

    def _lists_changed(self, ids: tuple[int, ...]) -> None:
        """Lists switched on or off: what is queued of them is claimed anew. None named: leads are looked for."""
        self._core.command(LeadsChanged(list_ids=ids))

    async def _all_anew(self, mark: int) -> None:
        """The database was put back as it had been earlier, or is another."""
        log.warning("changes.database_older", site=self._core.live.site.id)
        for name, known in self._core.loading.known().items():
            ids = sorted(known)
            for start in range(0, len(ids), ROWS_MAX):
                await (await self._configuration.hand_over({name: tuple(ids[start : start + ROWS_MAX])}))
            await (await self._configuration.hand_over({name: ()}))
        self._put(lambda: self._lists_changed(()))
        self._mark, self._known = mark, {}
