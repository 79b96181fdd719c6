"""The end of a seed: it waits for what is still in motion, and for a minute of rest after it."""

from __future__ import annotations

import pytest

from daemon.engine import commands as c
from fake_asterisk import people
from fake_asterisk.config import Behaviour
from simulation.loop import VirtualLoop, run
from simulation.settling import QUIET_S, SETTLE_S, at_rest, settle
from simulation.world import World, pbx


@pytest.mark.parametrize(("talk_s", "rests"), [(100.0, True), (1000.0, False)])
def test_a_conversation_is_heard_out_and_a_minute_more_within_a_bound(talk_s: float, rests: bool) -> None:
    async def main(loop: VirtualLoop) -> tuple[bool, float, bool]:
        person = Behaviour(ring_after_s=0.1, answer_after_s=1.0, hangup_after_s=talk_s)
        world = World(loop, seed=3, pbx_config=pbx(1, people.People(fixed={"0": person})))
        campaign = await world.furnish(agents=1, leads=1, lines=(1,))
        await world.start()
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: any(call.connected_at is not None for call in world.live.calls.values()), 60.0)
        began_at, before = loop.time(), at_rest(world)
        await settle(world, campaign.id)
        found = before, loop.time() - began_at, at_rest(world)
        await world.stop()
        return found

    rested_before, lasted_s, rested_after = run(main, seed=3)
    assert not rested_before
    assert rested_after is rests
    assert lasted_s >= min(talk_s - 5.0 + QUIET_S, SETTLE_S)
    assert (lasted_s < SETTLE_S) is rests
