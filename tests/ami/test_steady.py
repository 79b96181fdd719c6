"""A PBX that takes the link and drops it, or that changes its mind about stopping: not hammered, and taken up again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from daemon.engine import commands as c
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.ami.link import Ours, until
from tests.ami.scripted import Action, ScriptedAmi, Session
from tests.simulation.office import customers


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedAmi]:
    async with ScriptedAmi() as server:
        yield server


@pytest.mark.feature("RELY-04", clause="a PBX that drops the link after each login is asked less and less often")
async def test_a_link_dropped_after_each_login_is_not_taken_up_at_once_for_ever(scripted: ScriptedAmi) -> None:
    ours = Ours(scripted, retry_first_s=0.02, retry_max_s=1.0)
    async with ours.running():
        for lost in range(1, 6):
            await asyncio.wait_for(ours.up.wait(), 60)
            scripted.sessions[-1].cut()
            await until(lambda lost=lost: len(ours.downs) == lost)  # type: ignore[misc]
    assert ours.waits[4] >= 0.02 * 2**4 / 2, "as many failures, though each login went well"


async def test_a_link_that_lasted_is_taken_up_at_once(scripted: ScriptedAmi) -> None:
    ours = Ours(scripted, retry_first_s=0.02, retry_max_s=1.0, ping_interval_s=0.02)
    async with ours.running():
        for lost in range(1, 5):
            await asyncio.wait_for(ours.up.wait(), 60)
            pings = len(scripted.actions("ping"))
            await until(lambda pings=pings: len(scripted.actions("ping")) >= pings + 2)  # type: ignore[misc]
            scripted.sessions[-1].cut()
            await until(lambda lost=lost: len(ours.downs) == lost)  # type: ignore[misc]
    assert max(ours.waits) <= 0.02


async def test_a_stop_that_was_called_off(scripted: ScriptedAmi) -> None:
    async def refuse(session: Session, action: Action) -> None:
        session.respond(action, "Error", Message="Asterisk is shutting down")

    ours = Ours(scripted, ping_interval_s=0.02)
    async with ours.running() as client:
        scripted.answers["ping"] = refuse
        await until(lambda: client.link.refusing)
        assert client.link.stopping and client.connected
        del scripted.answers["ping"]
        await until(lambda: ours.downs)
        assert ours.downs[0].code == "stays"
        await asyncio.wait_for(ours.up.wait(), 60)
        assert not client.link.stopping


@pytest.mark.feature("RELY-04", clause="`core stop gracefully`, then `core abort shutdown`: dialling goes on by itself")
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan"])
def test_dialling_goes_on_when_a_stop_was_called_off(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(answer_chance=1.0, talk_mean_s=40.0, ring_mean_s=1.0, machine_share=0.0)
        world = World(loop, seed=4, mode=mode, pbx_config=pbx(4, crowd))
        campaign = await world.furnish(agents=4, leads=200, ring_timeout_s=15.0)
        await world.start()
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(60.0)
        assert customers(world)
        world.fake.power.command("core stop gracefully")
        await world.until(lambda: world.live.link.stopping, 60.0)
        await asyncio.sleep(20.0)
        world.fake.power.command("core abort shutdown")
        called_off_at = loop.time()
        await world.until(lambda: bool(customers(world, since=called_off_at)), 40.0)
        assert not world.live.link.stopping
        await world.stop()

    run(main, seed=4)
