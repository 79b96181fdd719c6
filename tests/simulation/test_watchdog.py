"""Tables of the engine that contradict themselves: noticed, mended, and the audit log says why (RELY-03, RELY-09)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from daemon.agents.states import AgentState
from daemon.calls.states import CallState
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

GHOST = UUID(int=7)


def _lease_of_nobody(world: World) -> None:
    line = next(iter(world.live.pool.lines.values()))
    line.leases.add(GHOST)
    line.in_use += 1


def _agent_without_a_call(world: World) -> None:
    desk = next(desk for desk in world.live.desks.values() if desk.call is None)
    world.runner.core.desks.set_state(desk, AgentState.ON_CALL)


def _call_without_timers(world: World) -> None:
    call = next(call for call in world.live.calls.values() if call.state is CallState.RINGING)
    for kind in ("verdict", "ring", "need", "gone"):
        world.live.timers.clear((kind, call.attempt_id))
    call.ring_timeout_s = -200.0  # long past its time


def _well(world: World) -> bool:
    states = {str(desk.state) for desk in world.live.desks.values()}
    in_use = sum(line.in_use for line in world.live.pool.lines.values())
    return in_use == len(world.live.calls) and "on_call" not in states


@pytest.mark.feature("RELY-03", clause="what the engine's own tables contradict is mended, with a reason")
@pytest.mark.parametrize(
    ("sabotage", "what", "reason"),
    [
        (_lease_of_nobody, "watchdog.line", "which is over"),
        (_agent_without_a_call, "watchdog.agent", "on_call without a call"),
        (_call_without_timers, "watchdog.call", "no answer and no end"),
    ],
)
def test_mended_with_a_reason(sabotage: Callable[[World], None], what: str, reason: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(answer_chance=0.0, busy_share=0.0, ring_mean_s=400.0, ring_spread=0.0, machine_share=0.0)
        world = World(loop, seed=5, pbx_config=pbx(3, crowd))
        campaign = await world.furnish(agents=3, leads=10, lines=(2,), ring_timeout_s=60.0)
        await world.start()
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: any(call.state == "ringing" for call in world.live.calls.values()), 60.0)
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        sabotage(world)
        await asyncio.sleep(90.0)
        assert world.store is not None
        told: list[dict[str, Any]] = [row for row in world.store.tables.audit if row["by"] == "watchdog"]
        assert [row["what"] for row in told] == [what]
        assert reason in told[0]["detail"]["reason"]
        assert _well(world)
        await world.stop()

    run(main, seed=5)
