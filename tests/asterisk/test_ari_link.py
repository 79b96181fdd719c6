"""ARI links cut again and again, whose ends Asterisk notices as the next one begins: none may stay deaf."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from daemon.ari.client import AriOptions
from daemon.ari.driver import AriDriver, AriDriverOptions
from daemon.calls import events as ev
from daemon.calls.actions import Hangup
from daemon.clock import SystemClock
from tests.ami.ground import SITE, Site
from tests.asterisk.bed import SECRET
from tests.asterisk.conftest import Lab
from tests.asterisk.proxy import Proxy

CUTS = 25
LATE_S = 0.008
"""The next link begins within this time: each cut's end falls somewhere into it."""
BUSY = "061200002001"


class LateEnds(Proxy):
    """A cut resets the daemon's side at once, and Asterisk's side up to LATE_S later."""

    def __init__(self, target_port: int, rng: random.Random) -> None:
        super().__init__(target_port)
        self._rng = rng
        self._near: set[asyncio.StreamWriter] = set()

    def cut_near(self) -> None:
        for writer in list(self._near):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._near.add(writer)
        try:
            await super()._serve(reader, writer)
        finally:
            self._near.discard(writer)

    async def _copy(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, tap: Callable[[bytes], None]
    ) -> None:
        await super()._copy(_Late(source, self._rng.uniform(0.0, LATE_S)), sink, tap)  # type: ignore[arg-type]


class _Late:
    """A reader whose end is told late."""

    def __init__(self, source: asyncio.StreamReader, late_s: float) -> None:
        self._source, self._late_s = source, late_s

    async def read(self, size: int) -> bytes:
        try:
            data = await self._source.read(size)
        except OSError:
            data = b""
        if not data:
            await asyncio.sleep(self._late_s)
        return data


@asynccontextmanager
async def linked(port: int) -> AsyncIterator[Site]:
    """A driver through `port`, resynced; it comes back at once after a loss."""
    ari = AriOptions(
        host="127.0.0.1",
        tcp_port=port,
        username="ari",
        password=lambda: SECRET,
        app="cadran-late",
        ping_interval_s=60.0,  # else the watch would find a deaf link, and hide what is asked here
        retry_first_s=0.001,
        retry_max_s=0.001,
    )
    driver = AriDriver(AriDriverOptions(site=SITE, ari=ari), clock=SystemClock(), rng=random.Random(1))
    site = Site(driver, random.Random(2), "line-a")
    task = asyncio.create_task(driver.run(site.deliver))
    try:
        await site.seen(ev.PbxSnapshot)
        yield site
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.feature("PBX-05", clause="real Asterisk: links whose predecessor ends in the same instant all hear")
async def test_a_new_link_hears_though_the_old_one_ends_late(lab: Lab) -> None:
    async with LateEnds(lab.bed.ports.http, random.Random(3)) as proxy, linked(proxy.port) as site:
        agent = await site.parked_agent("1001")  # a channel keeps the application on the PBX while nobody listens
        for _ in range(CUTS):
            before = len(site.events)
            proxy.cut_near()
            await site.seen(ev.LinkDown, since=before)
            await site.seen(ev.PbxSnapshot, since=before)
            ended = await site.seen(ev.LegHungUp, leg=site.customer(BUSY), since=before)
            assert ended.tech_cause in (486, None)
        deaf = [event for event in site.events if isinstance(event, ev.LinkDown) and event.code == "deaf"]
        assert deaf == []
        site.driver.perform(Hangup(leg=agent))
        await site.seen(ev.LegHungUp, leg=agent)
