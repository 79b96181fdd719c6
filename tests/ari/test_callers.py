"""Calls coming in through ARI, on simulated time: who waits is found again after a cut and after the daemon's death."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from daemon.engine import commands as c
from simulation.loop import VirtualLoop, run
from tests.voice.test_inbound import Reception


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """A killed life's connections are collected here, where their not being closed is known and meant."""
    yield
    gc.collect()


@pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")  # a kill leaves connections as it finds them
@pytest.mark.feature(
    "PBX-05", clause="who waits for an agent as the link or the daemon dies is found again, and served"
)
@pytest.mark.parametrize("what", ["cut", "kill"])
def test_who_waits_is_found_again(what: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, "ari", 1)
        world = desk.world
        await desk.open()
        waiting = desk.caller(talk_s=10.0)
        await asyncio.sleep(5.0)
        assert waiting.answered_at is not None and waiting.music is not None
        if what == "cut":
            world.fake.faults.cut()
            await asyncio.sleep(0.05)
            assert not world.live.link.synced
            await world.until(lambda: world.live.link.synced, 10.0)
        else:
            world.kill()
            await asyncio.sleep(1.0)
            await world.start()
        assert not waiting.dead
        await world.submit(c.SignIn(agent_id=world.agents[0].id, campaign_ids=(desk.campaign.id,), ready=True))
        await world.until(lambda: waiting.bridge is not None, 10.0)
        await asyncio.sleep(30.0)
        assert waiting.dead
        (row,) = desk.rows()
        assert (row.outcome, row.e164) == ("connected", "+33612000001")
        assert not world.live.calls and not [
            bridge for bridge in world.fake.bridges.values() if len(bridge.channels) > 1
        ]
        await world.stop()

    run(main, seed=7)


@pytest.mark.feature("PBX-05", clause="a caller whose arrival was told to a dead link is let in by the next listing")
def test_an_arrival_that_nobody_heard() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, "ari", 1)
        world = desk.world
        await desk.open()
        await desk.staff()
        world.fake.faults.half_open()
        waiting = desk.caller(talk_s=10.0)
        await asyncio.sleep(1.0)
        assert desk.rows() == []
        world.fake.faults.cut()
        world.fake.faults.half_open(False)
        await world.until(lambda: waiting.bridge is not None, 30.0)
        await asyncio.sleep(30.0)
        (row,) = desk.rows()
        assert (row.outcome, row.e164) == ("connected", "+33612000001")
        await world.stop()

    run(main, seed=7)


@pytest.mark.feature("PBX-05", clause="a caller while nobody listens goes on in the PBX's own dialplan")
def test_a_caller_while_nobody_listens() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, "ari", 1)
        await desk.open()
        assert loop.network is not None
        loop.network.stop(8088)
        desk.world.fake.faults.cut()
        await asyncio.sleep(1.0)
        caller = desk.caller()
        await asyncio.sleep(1.0)
        assert (caller.dead, caller.context) == (False, "voicemail")
        assert desk.rows() == []
        await desk.world.stop()

    run(main, seed=7)


@pytest.mark.feature("PBX-05", clause="a bridge whose agent left while nobody saw it does not outlive the next listing")
def test_no_bridge_is_left_behind() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, "ari", 2)
        world = desk.world
        await desk.open()
        await desk.staff()
        assert len(world.fake.bridges) == 2
        network = loop.network
        assert network is not None
        network.stop(8088)
        world.fake.faults.cut()
        await asyncio.sleep(0.5)
        for channel in list(world.fake.channels.values()):
            channel.soft_hangup(16)
        await asyncio.sleep(1.0)
        assert len(world.fake.bridges) == 2 and not world.fake.channels
        old = set(world.fake.bridges)
        network.serve(8088, world.fake.ari_protocol_factory)
        await world.until(lambda: len(world.fake.channels) == 2, 60.0)
        await asyncio.sleep(5.0)
        assert not old & set(world.fake.bridges)
        await world.stop()

    run(main, seed=7)
