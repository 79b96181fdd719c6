"""A cut link in the middle of what agents do with a call: when it is back, everything is as it was (RELY-04)."""

from __future__ import annotations

import asyncio

import pytest

from daemon.engine import commands as c
from simulation.loop import VirtualLoop
from simulation.world import World
from tests.voice.test_handling import ASKED, MODES, conversation, far_end_leaves, finished, plays, side, together


async def cut(world: World) -> None:
    world.fake.faults.cut()
    await asyncio.sleep(0.1)
    assert not world.live.link.synced
    await world.until(lambda: world.live.link.synced, 10.0)
    await asyncio.sleep(1.0)


@pytest.mark.feature("RELY-04", clause="a conference lasts over a cut link, and the agent may still leave it")
@pytest.mark.parametrize("mode", MODES)
def test_a_conference_over_a_cut_link(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        await world.submit(c.Consult(agent_id=desk.id, extension=ASKED))
        await world.until(lambda: together(world, desk.leg, side(world).leg), 20.0)
        await world.submit(c.Conference(agent_id=desk.id))
        await world.until(lambda: together(world, desk.leg, side(world).leg, call.leg), 5.0)
        await asyncio.sleep(1.0)
        await cut(world)
        assert together(world, desk.leg, side(world).leg, call.leg)
        assert (desk.state, call.state) == ("on_call", "talking")
        await world.submit(c.LeaveConference(agent_id=desk.id))
        await world.until(lambda: together(world, side(world).leg, call.leg), 5.0)
        assert desk.state == "wrap_up"
        far_end_leaves(world, side(world).leg)
        assert await finished(world, call) == "connected"
        await world.stop()

    plays(main)


@pytest.mark.feature("SUPV-01", clause="who listened is gone after a cut: the customer on hold stays on hold")
@pytest.mark.parametrize("mode", MODES)
def test_a_listener_lost_in_a_cut_brings_nobody_off_hold(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        await world.submit(c.Supervise(agent_id=desk.id, extension=ASKED, by="Chef"))
        await world.until(lambda: side(world).state == "listening", 20.0)
        await world.submit(c.HoldCall(agent_id=desk.id))
        await world.until(lambda: call.parked, 5.0)
        world.fake.faults.cut()
        far_end_leaves(world, side(world).leg)
        await asyncio.sleep(0.1)
        await world.until(lambda: world.live.link.synced, 10.0)
        await asyncio.sleep(3.0)
        assert (call.state, desk.state, world.live.sides) == ("held", "on_hold", {})
        await world.submit(c.ResumeCall(agent_id=desk.id))
        await world.until(lambda: together(world, desk.leg, call.leg), 5.0)
        far_end_leaves(world, call.leg)
        assert await finished(world, call) == "connected"
        await world.stop()

    plays(main)


@pytest.mark.parametrize("mode", MODES)
def test_more_time_given_is_not_taken_back_by_a_cut(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode, wrap_up_max_s=20.0, extend_s=30.0)
        far_end_leaves(world, call.leg)
        await world.until(lambda: desk.state == "wrap_up", 10.0)
        await world.submit(c.ExtendTime(agent_id=desk.id))
        await cut(world)
        await asyncio.sleep(35.0)
        assert desk.state == "wrap_up"
        await asyncio.sleep(15.0)
        assert desk.state != "wrap_up"
        await world.stop()

    plays(main)
