"""A WebSocket of ARI that is open and deaf, on simulated time: avoided after a cut, else noticed in seconds."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from daemon.calls.events import DeviceState
from daemon.calls.records import Campaign
from daemon.engine import commands as c
from daemon.errors import PbxUnavailable
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.office import customers
from tests.voice.test_inbound import Reception

EAGER = people.People(answer_chance=1.0, talk_mean_s=10.0, ring_mean_s=1.0, machine_share=0.0)
PING_S = 10.0
"""The interval of the settings' default."""


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


class Codes:
    """Why the link was down, each time, with the instants."""

    def __init__(self, world: World) -> None:
        self.told: list[tuple[float, str]] = []
        client: Any = world.runner.pbx._client
        tell = client._on_down

        def on_down(why: PbxUnavailable, next_try_in_s: float) -> None:
            self.told.append((world.loop.time(), why.code))
            tell(why, next_try_in_s)

        client._on_down = on_down


async def office(loop: VirtualLoop, leads: int = 60) -> tuple[World, Campaign, Codes]:
    world = World(loop, seed=4, mode="ari", pbx_config=pbx(3, EAGER))
    campaign = await world.furnish(agents=3, leads=leads, ring_timeout_s=15.0)
    await world.start()
    await world.staff(campaign)
    await world.until(lambda: all(desk.state == "ready" for desk in world.live.desks.values()), 30.0)
    return world, campaign, Codes(world)


@pytest.mark.feature(
    "PBX-05", clause="after a cut the new WebSocket is not deaf, though the old one ends in its instant"
)
def test_after_a_cut_the_way_is_cleared() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign, codes = await office(loop)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(20.0)
        world.fake.faults.deaf(1)
        world.fake.faults.cut()
        cut_at = loop.time()
        await asyncio.sleep(40.0)
        assert [code for _, code in codes.told] == ["lost"]
        assert world.fake.faults.counts["deaf"] == 1
        made = customers(world, since=cut_at)
        assert made[0].made_at < cut_at + 15.0
        assert made[0].answered_at is not None and made[0].stays, "who answered first afterwards met an agent"
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature("PBX-05", clause="a new WebSocket that is deaf is not dialled on, but made anew")
def test_a_deaf_beginning() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign, codes = await office(loop)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(20.0)
        world.fake.faults.deaf(2)
        world.fake.faults.cut()
        cut_at = loop.time()
        await world.until(lambda: len(codes.told) == 2, 30.0)
        assert [code for _, code in codes.told] == ["lost", "deaf"]
        assert codes.told[1][0] - cut_at < 5.0
        assert not customers(world, since=cut_at)
        await world.until(lambda: any(leg.stays for leg in customers(world, since=cut_at)), 60.0)
        assert len(codes.told) == 2
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature("PBX-05", clause="a WebSocket that has gone deaf is noticed 3 s after the next originate")
def test_an_originate_that_nothing_is_told_of() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign, codes = await office(loop)
        world.fake.faults.deafen()
        started = loop.time()
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: len(codes.told) == 1, 30.0)
        assert codes.told[0][1] == "deaf"
        assert codes.told[0][0] - customers(world, since=started)[0].made_at == pytest.approx(3.0, abs=0.1)
        await world.until(lambda: any(leg.stays for leg in customers(world)), 60.0)
        assert len(codes.told) == 1
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature("PBX-05", clause="a WebSocket that goes deaf at rest is noticed; who calls in then is let in")
def test_deaf_at_rest() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, "ari", 1)
        world = desk.world
        await desk.open()
        await desk.staff()
        codes = Codes(world)
        await asyncio.sleep(60.0)
        assert codes.told == []
        world.fake.faults.deafen()
        deaf_at = loop.time()
        await world.until(lambda: len(codes.told) == 1, PING_S + 4.0)
        assert codes.told[0][1] == "deaf"
        await world.until(lambda: world.live.link.synced, 5.0)
        assert loop.time() < deaf_at + PING_S + 5.0
        caller = desk.caller(talk_s=10.0)
        await world.until(lambda: caller.bridge is not None, 10.0)
        await asyncio.sleep(60.0)
        assert len(codes.told) == 1
        await world.stop()

    run(main, seed=7)


@pytest.mark.feature("PBX-05", clause="a phone that registers, or no longer does, is known within 2 s")
def test_phones_are_looked_at() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=4, mode="ari", pbx_config=pbx(3, EAGER))
        await world.furnish(agents=3, leads=1)
        await world.start()
        await world.until(lambda: world.live.link.synced, 5.0)
        states = []
        for registered in (True, False, True):
            world.fake.config.endpoints["1003"].registered = registered
            await asyncio.sleep(2.1)
            states.append(world.live.phones["1003"])
        assert states == [DeviceState.IDLE, DeviceState.UNAVAILABLE, DeviceState.IDLE]
        await world.stop()

    run(main, seed=4)
