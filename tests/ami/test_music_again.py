"""Who was put on hold while nobody listened hears music all the same, and the wait has an end, as any other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from daemon.engine import commands as c
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

TALKERS = people.People(answer_chance=1.0, talk_mean_s=2000.0, machine_share=0.0)


async def unheard(world: World, seconds: float) -> None:
    """Nothing of this time is told; then the link is made anew."""
    world.fake.faults.disturb_events(lose_every=1)
    await asyncio.sleep(seconds)
    world.fake.faults.clear()
    world.fake.faults.cut()
    await world.until(lambda: not world.live.link.up, 10.0)
    await world.until(lambda: world.live.link.synced, 30.0)
    await asyncio.sleep(3.0)


@pytest.mark.feature("RELY-04", clause="put on hold as the link was cut: music, and an end to the wait")
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan", "ari"])
def test_a_customer_held_unheard_hears_music(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=4, mode=mode, pbx_config=pbx(1, TALKERS))
        campaign = await world.furnish(agents=1, leads=12, ring_timeout_s=15.0)
        await world.start()
        await world.staff(campaign)
        desk: Any = next(iter(world.live.desks.values()))
        await world.until(lambda: desk.state == "ready", 30.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: desk.state == "on_call", 90.0)
        call = desk.call
        await asyncio.sleep(5.0)
        await world.submit(c.HoldCall(agent_id=desk.id))
        await unheard(world, 1.0)
        assert call.parked and desk.state == "on_hold"
        customer = world.fake.channels[call.leg]
        assert customer.music
        if mode != "dialplan":  # there the include's own step ends the wait
            assert customer.absolute_deadline is not None
            assert customer.absolute_deadline - loop.time() <= 3700.0, "no longer that of the conversation"
        await world.submit(c.ResumeCall(agent_id=desk.id))
        await world.until(lambda: desk.state == "on_call", 5.0)
        await world.stop()

    run(main, seed=4)
