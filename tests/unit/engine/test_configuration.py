"""Rows that changed and could not be read at once: whoever told of them may have stopped waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.calls.records import Status
from daemon.clock import SystemClock
from daemon.engine.commands import ConfigChanged
from daemon.engine.configuration import Configuration
from daemon.engine.hub import Hub
from daemon.errors import CommandError, StoreUnavailable
from daemon.works import Works

ROW = Status(id=3, group_id=1, code="VENTE", name="Vente")


class SlowStore:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.down = False

    async def get_many(self, kind: type, ids: Sequence[int]) -> list[Any]:
        if self.down:
            raise StoreUnavailable("away")
        await self.open.wait()
        return [ROW]


class Site:
    """A configuration and what its engine was given."""

    def __init__(self, name: str = "main") -> None:
        self.store, self.loaded = SlowStore(), list[Any]()
        self.name, self.leading = name, True
        live = SimpleNamespace(site=SimpleNamespace(id=name), campaigns={})
        core: Any = SimpleNamespace(live=live, load=lambda rows: self.loaded.extend(rows.records))
        store: Any = self.store
        clock: Any = None
        self.configuration = Configuration(core, store, clock, self.put, lambda: 0)
        self.site = name

    def put(self, item: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(item)

    async def submit(self, command: ConfigChanged) -> dict[str, Any]:
        await self.configuration.reload(command)
        return {}


async def test_a_change_that_nobody_waits_for_any_more_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    telling = asyncio.create_task(site.configuration.reload(ConfigChanged(table="Status", ids=(3,))))
    await asyncio.sleep(0)
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    site.store.open.set()
    real = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda delay: real(0))
    again = asyncio.create_task(site.configuration.run())
    for _ in range(20):
        await real(0)
    again.cancel()
    assert site.loaded == [ROW]


async def test_a_list_changed_for_somebody_who_left_ends_no_engine() -> None:
    site, items = Site(), list[Callable[[], None]]()
    site.configuration._put = items.append
    telling = asyncio.create_task(site.configuration.reload(ConfigChanged(table="LeadList", ids=(3,))))
    await asyncio.sleep(0)
    telling.cancel()
    await asyncio.sleep(0)
    (item,) = items
    item()


async def test_the_trouble_of_one_site_keeps_a_change_from_no_other() -> None:
    one, two = Site("one"), Site("two")
    one.store.down = True
    two.store.open.set()
    hub = Hub(5.0, Works(SystemClock()))
    for site in (one, two):
        runner: Any = site
        hub.add(runner)
    with pytest.raises(CommandError) as caught:
        await hub.submit(ConfigChanged(table="Status", ids=(3,)))
    assert caught.value.code == "store_unavailable"
    assert (one.loaded, two.loaded) == ([], [ROW])
