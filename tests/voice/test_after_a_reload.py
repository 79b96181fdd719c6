"""Somebody reloads the PBX's dialplan, which takes away what Cadran had laid down there: holds work all the same."""

from __future__ import annotations

import asyncio

import pytest

from daemon.engine import commands as c
from simulation.loop import VirtualLoop, run
from tests.voice.test_handling import channel_of, conversation, together


@pytest.mark.parametrize("mode", ["asyncagi", "dialplan"])
def test_a_hold_after_the_dialplan_was_reloaded(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        agent, customer = desk.leg, call.leg
        world.fake.power.command("dialplan reload")
        await world.submit(c.HoldCall(agent_id=desk.id))
        await asyncio.sleep(5.0)
        assert channel_of(world, customer) is not None, "hung up instead of held"
        assert channel_of(world, customer).music is not None
        await world.submit(c.ResumeCall(agent_id=desk.id))
        await asyncio.sleep(2.0)
        assert together(world, agent, customer)
        await world.stop()

    run(main, seed=5)
