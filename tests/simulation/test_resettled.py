"""A cut link, seen from whoever is in the middle of something: phones rung by a click, customers just answered, callers
given to the PBX's own dialplan, a PBX that was to stop and goes on (RELY-03, RELY-04)."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from daemon.engine import commands as c
from fake_asterisk import people
from fake_asterisk.config import Behaviour
from fake_asterisk.control import Control
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.office import a_connect_into_a_dead_link, dialled, link_again

NOBODY = people.People(answer_chance=0.0, busy_share=1.0, machine_share=0.0)
CLICKED = UUID(int=9)


@pytest.mark.feature("RELY-03", clause="a click whose phone went with the PBX leaves neither line nor extension taken")
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan"])
def test_a_click_in_the_middle_of_an_outage_takes_no_line_for_ever(mode: str) -> None:
    """The phone rings as the PBX dies, and it is away for longer than any of our bounds."""

    async def main(loop: VirtualLoop) -> None:
        config = pbx(2, people.People(answer_chance=1.0, machine_share=0.0), people.Phones(answer_mean_s=300.0))
        world = World(loop, seed=3, mode=mode, pbx_config=config)
        await world.furnish(agents=2, leads=0, lines=(4,))
        await world.start()
        assert world.group is not None
        click = c.CallExtension(
            attempt_id=CLICKED, site="main", group_id=world.group.id, extension="1001", e164="+33199000123"
        )
        await world.submit(click)
        await asyncio.sleep(2.0)
        assert world.live.passing
        world.fake.power.command("kill")
        await asyncio.sleep(120.0)
        world.fake.power.command("boot")
        await world.until(lambda: world.live.link.synced, 60.0)
        await asyncio.sleep(2.0)
        assert not world.live.calls and not world.live.passing
        assert all(line.in_use == 0 for line in world.live.pool.lines.values())
        assert world.store is not None
        assert world.store.tables.attempts[CLICKED].outcome == "pbx_lost"
        await world.submit(c.CallExtension(
            attempt_id=UUID(int=10), site="main", group_id=world.group.id, extension="1001", e164="+33199000123"
        ))  # fmt: skip
        await world.stop()

    run(main, seed=3)


@pytest.mark.feature("RELY-04", clause="who answers while the link is away a second meets the agent kept for the call")
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan"])
def test_who_answered_during_a_short_cut_meets_the_agent(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        person = Behaviour(ring_after_s=0.1, answer_after_s=5.0, hangup_after_s=30.0, media_s=1e9, voice="human")
        world = World(loop, seed=3, mode=mode, pbx_config=pbx(1, people.People(fixed={"0199": person})))
        campaign = await world.furnish(agents=1, leads=1, lines=(2,), ring_timeout_s=20.0)
        await world.start()
        await world.staff(campaign)
        await asyncio.sleep(5.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: any(call.state == "ringing" for call in world.live.calls.values()), 30.0)
        [call] = world.live.calls.values()
        leg = world.fake.ledger.legs[call.leg]
        await asyncio.sleep(leg.made_at + 4.7 - loop.time())
        world.fake.faults.cut()
        await asyncio.sleep(0.2)
        assert not world.live.link.synced
        cut_at = loop.time()
        await world.until(lambda: world.live.link.synced, 10.0, 0.01)
        answered_at = leg.answered_at or 0.0
        assert cut_at < answered_at < loop.time() < answered_at + 1.5
        await asyncio.sleep(20.0)
        assert call.state == "talking"
        await asyncio.sleep(40.0)
        assert world.store is not None
        assert world.store.tables.attempts[call.attempt_id].outcome == "connected"
        await world.stop()

    run(main, seed=3)


@pytest.mark.feature("RELY-03", clause="who waits for an agent's phone that went during a cut is given to somebody")
def test_the_agents_phone_goes_while_the_link_is_dead() -> None:
    """A Connect goes into a dead link, and the hang-up of the agent's leg that follows when it is late; the agent then
    puts the phone down. When the link is back there is no leg to wait for."""

    async def main(loop: VirtualLoop) -> None:
        world, _ = await a_connect_into_a_dead_link(loop, agents=2, leads=1)
        await asyncio.sleep(1.3)
        (call,) = world.live.calls.values()
        assert call.waits_for_leg
        Control(world.fake).do("hangup", channel=call.waits_for_leg)
        await link_again(world)
        await asyncio.sleep(10.0)
        assert call.state == "ended" or call.state == "talking", "with the other agent, or told that nobody was free"
        assert not any(each.waits_for_leg for each in world.live.calls.values())
        await world.stop()

    run(main, seed=6)


@pytest.mark.feature("RELY-04", clause="a stop of the PBX that is called off: dialling goes on by itself")
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan"])
def test_a_stop_that_is_called_off(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=3, mode=mode, pbx_config=pbx(2, NOBODY))
        campaign = await world.furnish(agents=2, leads=400, lines=(4,))
        await world.start()
        await world.staff(campaign)
        await asyncio.sleep(5.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: len(dialled(world)) > 3, 30.0)
        world.fake.power.command("core stop gracefully")
        await asyncio.sleep(40.0)
        assert world.live.link.stopping and world.live.campaigns[campaign.id].limit == "pbx_stopping"
        world.fake.power.command("core abort shutdown")
        since = loop.time()
        await world.until(lambda: len(dialled(world, since)) > 3, 60.0)
        await world.stop()

    run(main, seed=3)
