"""Callers whom the daemon gives to the PBX's own dialplan: they get there, and nobody hangs up on them."""

from __future__ import annotations

import asyncio

import pytest

from daemon.errors import StoreUnavailable
from daemon.store.memory import NoFaults
from simulation.loop import VirtualLoop, run
from tests.voice import test_inbound
from tests.voice.test_inbound import MODES, Reception

MESSAGE_S = 90.0


@pytest.fixture(autouse=True)
def _long_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is in the voicemail speaks for longer than two looks at the PBX's channels take."""
    monkeypatch.setattr(test_inbound, "WAY_IN", test_inbound.WAY_IN.replace("Wait(5)", f"Wait({MESSAGE_S:.0f})"))


class Away(NoFaults):
    """No way to the database while `away`."""

    away = False

    async def before(self, op: str) -> None:
        if self.away:
            raise StoreUnavailable("no route to the database")


@pytest.mark.feature("TELC-05", clause="no database, no row: the caller is given to the voicemail, and stays there")
@pytest.mark.parametrize("mode", MODES)
def test_a_caller_while_there_is_no_database(mode: str) -> None:
    """Given to the voicemail, and hung up as a leg that nobody knows at its next event."""

    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, mode, 1)
        world = desk.world
        await desk.open(overflow="box@voicemail")
        await desk.staff()
        assert world.store is not None
        world.store.faults = database = Away()
        database.away = True
        channel = desk.caller()
        await world.until(lambda: channel.context == "voicemail", 10.0)
        since = loop.time()
        await asyncio.sleep(MESSAGE_S / 2)
        world.fake.faults.cut()
        await world.until(lambda: channel.dead, 2 * MESSAGE_S)
        assert loop.time() - since > MESSAGE_S - 2.0
        database.away = False
        await world.until(lambda: world.live.store_ok, 60.0)
        await world.stop()

    run(main, seed=7)


@pytest.mark.feature("TELC-05", clause="who waited in vain as the link died is given to the voicemail once it is back")
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan"])
def test_a_wait_that_ends_on_a_dead_link(mode: str) -> None:
    """What gave the caller away was never read: music for hours."""

    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, mode, 1)
        world = desk.world
        await desk.open(wait_max_s=10.0, overflow="box@voicemail")
        channel = desk.caller()
        await world.until(lambda: any(call.state == "waiting" for call in world.live.calls.values()), 10.0)
        world.fake.faults.half_open()
        await world.until(lambda: any(call.state == "message" for call in world.live.calls.values()), 20.0)
        world.fake.faults.half_open(False)
        world.fake.faults.cut()
        await world.until(lambda: channel.context == "voicemail", 20.0)
        since = loop.time()
        await world.until(lambda: channel.dead, 2 * MESSAGE_S)
        assert loop.time() - since > MESSAGE_S - 2.0
        await world.until(lambda: bool(desk.rows()[0].outcome), 10.0)
        assert desk.rows()[0].outcome == "missed" and len(desk.missed) == 1
        await world.stop()

    run(main, seed=7)


@pytest.mark.feature("TELC-05", clause="given to the voicemail, a queue or another office: for as long as that takes")
@pytest.mark.parametrize("mode", MODES)
def test_what_follows_a_wait_is_not_cut_by_the_end_of_the_wait(mode: str) -> None:
    """A minute after the wait would have ended the PBX hung up, whatever the caller was doing by then."""

    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, mode, 1)
        await desk.open(wait_max_s=10.0, overflow="box@voicemail")
        channel = desk.caller()
        await desk.world.until(lambda: channel.context == "voicemail", 20.0)
        since = loop.time()
        await desk.world.until(lambda: channel.dead, 2 * MESSAGE_S)
        assert loop.time() - since > MESSAGE_S - 2.0
        await desk.world.stop()

    run(main, seed=7)
