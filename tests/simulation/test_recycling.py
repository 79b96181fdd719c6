"""Leads that were not reached: which come back, when, how often, in which order, as the PBX sees it; the ledger."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import HoursWindow, RecyclingRule
from daemon.engine import commands as c
from fake_asterisk import people
from fake_asterisk.config import Behaviour
from simulation.loop import VirtualLoop, run
from tests.simulation.office import customers, dialled, open_office, utc_of

pytestmark = pytest.mark.timeout(300)

SILENT = Behaviour(ring_after_s=0.1, answer_after_s=None)
BUSY = Behaviour(rings=None, answer_after_s=None, fail_sip=486, fail_after_s=0.2)
RING_S = 15.0


@pytest.mark.feature("RECY-01", clause="only chosen outcomes return")
@pytest.mark.feature("RECY-02", clause="exact due time, each outcome its own")
@pytest.mark.feature("RECY-05", clause="a rule for each status")
def test_only_chosen_outcomes_come_back_each_after_its_delay() -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(fixed={"0199000000": SILENT, "0199000001": BUSY, "0199000002": BUSY})
        crowd.fixed["0199000003"] = Behaviour(rings=None, answer_after_s=None, fail_sip=404, fail_after_s=0.2)
        rules = [RecyclingRule(on="no_answer", delay_s=3600.0), RecyclingRule(on="busy", delay_s=900.0, max_count=1)]
        world, _ = await open_office(loop, crowd, agents=2, leads=4, recycling=rules, calm=True)
        await world.until(lambda: len(dialled(world)) >= 4, 60.0)
        await asyncio.sleep(4000.0)
        made: dict[str, list[float]] = {}
        ended: dict[str, list[float]] = {}
        for leg in customers(world):
            made.setdefault(leg.number[-1], []).append(leg.made_at)
            ended.setdefault(leg.number[-1], []).append(leg.ended_at or 0.0)
        assert {number: len(times) for number, times in made.items()} == {"0": 2, "1": 2, "2": 2, "3": 1}
        for number, delay_s in (("0", 3600.0), ("1", 900.0), ("2", 900.0)):
            waited = made[number][1] - ended[number][0]
            assert delay_s <= waited < delay_s + 6.0, (number, waited)
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("RECY-02", clause="a due time outside the hours moves to the next opening")
def test_due_outside_the_hours_waits_for_the_opening() -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(fixed={"0199": SILENT})
        rules = [RecyclingRule(on="no_answer", delay_s=600.0)]
        world, campaign = await open_office(loop, crowd, agents=1, leads=1, at_work=False, calm=True, recycling=rules)
        now = world.clock.utcnow()
        local = now + timedelta(hours=1)  # Paris in winter
        closes, opens = local + timedelta(minutes=5), local + timedelta(minutes=40)
        days = [1, 2, 3, 4, 5, 6, 7]
        hours = [
            HoursWindow(days=days, start=f"{local:%H}:00", end=f"{closes:%H:%M}"),
            HoursWindow(days=days, start=f"{opens:%H:%M}", end="24:00"),
        ]
        assert world.store is not None
        await world.store.update(type(campaign), campaign.id, {"hours": hours}, None)
        await world.submit(c.ConfigChanged(table="Campaign", ids=(campaign.id,)))
        await world.staff(campaign)
        await asyncio.sleep(5.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(3000.0)
        times = [utc_of(world, leg.made_at) for leg in customers(world)]
        assert len(times) >= 2
        opening = (now + timedelta(minutes=40)).replace(second=0, microsecond=0)
        assert timedelta(0) <= times[1] - opening < timedelta(seconds=65), (times, opening)
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("RECY-03", clause="as often as the rule says, and no oftener")
def test_a_lead_comes_back_as_often_as_the_rule_says() -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(fixed={"0199": SILENT})
        rules = [RecyclingRule(on="no_answer", delay_s=10.0, max_count=2)]
        world, campaign = await open_office(loop, crowd, agents=1, leads=2, recycling=rules)
        await asyncio.sleep(400.0)
        assert sorted(dialled(world)) == ["0199000000"] * 3 + ["0199000001"] * 3
        assert world.store is not None
        assert {lead.blocked_by for lead in world.store.tables.leads.values()} == {"recycled_out"}
        counts = world.live.campaigns[campaign.id].lead_counts
        assert counts["recycled_out"] == 2, "and the status says why nothing is dialled"
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("RECY-04", clause="high before new contacts, normal among them, low after them")
@pytest.mark.parametrize(("priority", "places"), [("high", {0}), ("low", {3})])
def test_recycled_leads_take_their_place_in_the_queue(priority: str, places: set[int]) -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(fixed={"0199": SILENT})
        rules = [RecyclingRule(on="no_answer", delay_s=30.0, max_count=1, priority=priority)]
        world, campaign = await open_office(loop, crowd, agents=1, leads=1, recycling=rules)
        await world.until(lambda: len(dialled(world)) == 1, 30.0)
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        assert world.store is not None
        await asyncio.sleep(60.0)
        await world.store.add_leads(world.list.id, [LeadDraft(e164=f"+3319911000{n}") for n in range(3)])
        await world.submit(c.LeadsChanged(list_ids=(world.list.id,)))
        since = loop.time()
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: len(dialled(world, since)) == 4, 200.0)
        assert dialled(world, since).index("0199000000") in places
        await world.stop()

    run(main, seed=1)
