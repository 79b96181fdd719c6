"""Callers who wait for an agent go first: a predictive campaign on the same agents places nothing meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from daemon.calls.records import CampaignMode, Inbound
from daemon.engine import commands as c
from fake_asterisk import Behaviour, people
from fake_asterisk.config import Endpoint
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

DID, DIALLED = "+33199000001", "0199000001"
AGENTS, CALLERS = 4, 8
CROWD = people.People(answer_chance=0.4, talk_mean_s=20.0, ring_mean_s=4.0, machine_share=0.0)
UNDER_WAY_S = 0.3
"""What was decided before the first caller waited may still leave."""


def test_nothing_is_placed_while_a_caller_waits() -> None:
    async def main(loop: VirtualLoop) -> None:
        config = pbx(AGENTS, CROWD)
        config.endpoints["in"] = Endpoint("in", "in-dialplan")
        config.dialplan += "\n[in-dialplan]\nexten => _X.,1,Goto(cadran-inbound,${EXTEN},1)\n"
        world = World(loop, seed=11, mode="dialplan", pbx_config=replace(config))
        campaign = await world.furnish(
            agents=AGENTS, leads=400, mode=CampaignMode.PREDICTIVE, level=3, speed=10, wrap_up_max_s=5.0,
            inbound=Inbound(dids=[DID]),
        )  # fmt: skip
        world.habits.wrap_up_s = 2.0
        await world.start()
        await world.staff(campaign)
        await world.until(lambda: all(desk.state == "ready" for desk in world.live.desks.values()), 30.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(150.0)
        for n in range(CALLERS):
            world.fake.call_in("in", DIALLED, f"06120000{n:02d}", Behaviour(media_s=1e9, talk_s=15.0))

        def placed() -> int:
            return sum("trunk" in originated.dial for originated in world.fake.ledger.originates)

        def waits() -> bool:
            calls = world.live.campaigns[campaign.id].calls.values()
            return any(call.kind == "inbound" and call.state == "waiting" for call in calls)

        before = placed()
        assert before > 20
        await world.until(waits, 5.0)
        since, placed_then, longest = loop.time(), -1, 0.0
        while waits():
            if placed_then < 0 and loop.time() - since > UNDER_WAY_S:
                placed_then = placed()
            await asyncio.sleep(0.05)
            longest = loop.time() - since
            assert world.live.campaigns[campaign.id].limit == "inbound_waiting" or not waits()
        assert longest > 10.0  # there was something to see
        assert placed() - placed_then <= 1  # one may leave in the twentieth of a second after the last was served
        await asyncio.sleep(30.0)
        assert placed() > placed_then + 1
        await world.stop()

    run(main, seed=11)
