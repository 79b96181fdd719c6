"""The day turns, and the wall's clock is set: figures of the day begin anew, hours are looked at again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.calls.records import HoursWindow
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import dialled, open_office

TALKS = people.People(answer_chance=1.0, talk_mean_s=5.0, ring_mean_s=2.0, machine_share=0.0)
EVENING = datetime(2026, 11, 24, 22, 56, tzinfo=UTC)
"""Four minutes to midnight in Paris."""


def view(world: World, table: str, id: int) -> Any:
    return world.app.hub.view()[table][str(id)]


@pytest.mark.feature("DASH-01", clause="figures of the day begin anew at midnight, on the campaign's clock")
def test_what_was_done_today_is_nothing_just_after_midnight() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, TALKS, agents=1, leads=40, at_work=False)
        world.clock.skew = EVENING - world.clock.utcnow()
        world.habits.statuses = ("VENTE",)
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(150.0)
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        agent = world.agents[0].id
        await world.until(lambda: world.live.desks[agent].state == "ready", 90.0)
        before = view(world, "agents", agent).today
        assert before["calls"] == before["sales"] == view(world, "campaigns", campaign.id).outcomes["connected"] > 1
        assert before["handling_s"] > 10.0
        left_s = (EVENING + timedelta(minutes=4) - world.clock.utcnow()).total_seconds()
        await asyncio.sleep(left_s - 5.0)
        assert view(world, "agents", agent).today["calls"] == before["calls"]
        await asyncio.sleep(10.0)
        await world.submit(c.SetPaused(agent_id=agent))
        after = view(world, "agents", agent).today
        assert (after["calls"], after["sales"], after["handling_s"], after["talk_s"]) == (0, 0, 0, 0)
        assert after["ready_s"] < 7.0, "of the time he waits, what belongs to the new day"
        assert view(world, "campaigns", campaign.id).outcomes == {}
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("LEGL-03", clause="the wall's clock is set: hours are looked at again at once")
def test_a_clock_that_was_wrong_keeps_a_campaign_shut_no_longer() -> None:
    """The machine comes up at ten in the evening by its own clock; the time service then says that it is half past ten
    in the morning."""

    async def main(loop: VirtualLoop) -> None:
        hours = [HoursWindow(days=[1, 2, 3, 4, 5, 6, 7], start="10:00", end="19:00")]
        world, campaign = await open_office(loop, TALKS, agents=1, leads=40, at_work=False, hours=hours)
        world.clock.skew = timedelta(hours=11, minutes=30)
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(120.0)
        assert dialled(world) == []
        world.clock.skew = timedelta()
        await world.until(lambda: bool(dialled(world)), 10.0)
        assert world.live.counters["clock_steps"] == 2
        await world.stop()

    run(main, seed=1)
