"""Configuration for the engine: rows read from the store as they change, handed over in the engine's own time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from daemon.calls import records as rec
from daemon.clock import Clock
from daemon.dialer.ledger import LedgerRow, hour_key
from daemon.engine.commands import ConfigChanged
from daemon.engine.core import EngineCore
from daemon.engine.loading import Rows
from daemon.errors import CommandError, StoreUnavailable
from daemon.ports import Store

Applied = asyncio.Future[dict[str, Any]]
LEDGER_DAYS = 32
TABLES: Mapping[str, type[rec.Record]] = {
    kind.__name__: kind
    for kind in (
        rec.Group,
        rec.Status,
        rec.PauseCode,
        rec.CallerIdNumber,
        rec.Line,
        rec.Campaign,
        rec.Agent,
        rec.Blocked,
    )
}


class Configuration:
    """One an engine. `put`: into the engine's inbox; `saved_n`: up to which of its facts the store has all.

    One change is read at a time, so that none is overtaken by an older state of its row.
    """

    def __init__(
        self,
        core: EngineCore,
        store: Store,
        clock: Clock,
        put: Callable[[Callable[[], None]], None],
        saved_n: Callable[[], int],
    ) -> None:
        self._core, self._store, self._clock, self._put, self._saved_n = core, store, clock, put, saved_n
        self._reading = asyncio.Lock()
        self._unread: deque[ConfigChanged] = deque()
        self._unread_wake = asyncio.Event()

    async def reload(self, change: ConfigChanged) -> None:
        """Read the changed rows and hand them to the engine; returns when it has them."""
        if change.table not in TABLES:
            if change.table == "LeadList":
                done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
                self._put(lambda: self._lists_changed(change.ids, done))
                await done
            return
        applied: Applied | None = None
        try:
            applied = await self.hand_over({change.table: change.ids})
        except StoreUnavailable as error:
            raise CommandError("store_unavailable", {"reason": str(error)}) from error
        finally:
            if applied is None:  # also if whoever tells of it waits no longer: the rows are as they are all the same
                self._unread.append(change)
                self._unread_wake.set()
        await applied

    async def hand_over(self, wanted: Mapping[str, tuple[int, ...]]) -> Applied:
        """Read these rows and put them into the engine's inbox; what is returned is done when it has taken them."""
        applied: Applied = asyncio.get_running_loop().create_future()
        async with self._reading:
            rows = await self.read(wanted)
            self._put(lambda: self._apply_rows(rows, applied))
        return applied

    def _lists_changed(self, ids: tuple[int, ...], done: asyncio.Future[dict[str, Any]]) -> None:
        for campaign in self._core.live.campaigns.values():
            if not ids or set(ids) & set(campaign.record.list_ids):
                self._core.hopper.drop_leads(campaign, frozenset(), frozenset(), frozenset(ids))
        if not done.done():  # whoever asked may have given up waiting
            done.set_result({})

    def _apply_rows(self, rows: Rows, done: Applied) -> None:
        try:
            self._core.load(rows)
        except CommandError as error:
            if not done.done():
                done.set_exception(error)
            return
        if not done.done():
            done.set_result({})

    async def run(self) -> None:
        """Changes that could not be read while the store was away."""
        while True:
            await self._unread_wake.wait()
            await asyncio.sleep(1.0)
            change = self._unread[0]
            try:
                applied = await self.hand_over({change.table: change.ids})
                with suppress(CommandError):
                    await applied
            except StoreUnavailable:
                continue
            self._unread.popleft()
            if not self._unread:
                self._unread_wake.clear()

    async def read(self, wanted: Mapping[str, tuple[int, ...]]) -> Rows:
        """Rows by record class name; an empty tuple = all of them."""
        saved_n = self._saved_n()
        records: list[rec.Record] = []
        gone: dict[str, tuple[int, ...]] = {}
        for name, ids in wanted.items():
            kind = TABLES[name]
            if not ids:
                records.extend(await self._store.find(kind))
                continue
            found = await self._store.get_many(kind, ids)
            records.extend(found)
            gone[name] = tuple(set(ids) - {record.id for record in found})
        ledgers: dict[int, tuple[LedgerRow, ...]] = {}
        zones: dict[int, tuple[str, ...]] = {}
        for record in records:
            if isinstance(record, rec.Campaign) and record.site in ("", self._core.live.site.id):
                zones[record.id] = tuple(await self._store.tz_groups(record.id))
                if record.id not in self._core.live.campaigns:
                    ledgers[record.id] = await self._ledger(record)
        return Rows(records, gone, ledgers, zones, saved_n)

    async def _ledger(self, campaign: rec.Campaign) -> tuple[LedgerRow, ...]:
        """The ledger's rows as pacing keys them: by clock hour in the campaign's zone."""
        since = self._clock.utcnow() - timedelta(days=LEDGER_DAYS)
        rows = await self._store.ledger_rows(campaign.id, since)
        return tuple(
            LedgerRow(
                campaign=str(campaign.id),
                site=str(row["site"]),
                hour=hour_key(row["hour"], campaign.zone),
                connected=int(row["connected"]),
                abandoned=int(row["abandoned"]),
            )
            for row in rows
        )
