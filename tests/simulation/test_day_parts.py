"""Whom nobody answered in the morning is tried in the afternoon before who was tried in the afternoon (LEGL-02)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import RecyclingRule
from daemon.engine import commands as c
from fake_asterisk import people
from fake_asterisk.config import Behaviour
from simulation.loop import VirtualLoop, run
from tests.simulation.office import dialled, open_office

pytestmark = pytest.mark.timeout(300)

BUSY = Behaviour(rings=None, answer_after_s=None, fail_sip=486, fail_after_s=0.2)
MORNING, AFTERNOON = "0199000000", "0199100000"
WEEK_S = 7 * 86_400.0


@pytest.mark.feature("LEGL-02", clause="the next attempt goes to another time of the day first")
@pytest.mark.parametrize(("hour", "order"), [(10, [AFTERNOON, MORNING]), (15, [MORNING, AFTERNOON])])
def test_another_part_of_the_day_comes_first(hour: int, order: list[str]) -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(fixed={"0199": BUSY})
        rules = [RecyclingRule(on="busy", delay_s=43_200.0)]
        world, campaign = await open_office(
            loop, crowd, agents=1, leads=1, at_work=False, calm=True, recycling=rules
        )  # one lead, MORNING's number
        assert world.store is not None
        await world.staff(campaign)
        start, pause = c.StartCampaign(campaign_id=campaign.id), c.PauseCampaign(campaign_id=campaign.id)

        async def at(day: int, hour_: int) -> None:
            instant = datetime(2026, 11, day, hour_ - 1, 0, tzinfo=UTC)  # Paris in winter
            world.clock.skew += instant - world.clock.utcnow()

        await at(25, 10)
        await world.submit(start)
        await world.until(lambda: dialled(world) == [MORNING], 30.0)
        await asyncio.sleep(5.0)
        await world.submit(pause)
        await at(25, 15)
        await world.store.add_leads(world.list.id, [LeadDraft(e164="+33199100000")])
        await world.submit(start)
        await world.until(lambda: dialled(world) == [MORNING, AFTERNOON], 60.0)
        await asyncio.sleep(5.0)
        await world.submit(pause)
        await at(26, hour)
        await asyncio.sleep(20.0)
        await world.submit(start)
        await world.until(lambda: len(dialled(world)) == 4, 60.0)
        assert dialled(world)[2:] == order
        await world.stop()

    run(main, seed=1)
