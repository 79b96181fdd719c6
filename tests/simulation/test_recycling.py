"""Leads that were not reached: which come back, when, how often, in which order, as the PBX sees it; the ledger."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from daemon.calls.records import CampaignMode, HoursWindow, LeadDraft, RecyclingRule
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


@pytest.mark.feature("LEGL-07", clause="an agent's note holds at once: a queued lead is dropped before originate")
def test_an_agent_s_do_not_call_drops_what_is_queued() -> None:
    async def main(loop: VirtualLoop) -> None:
        talks = Behaviour(ring_after_s=0.1, answer_after_s=1.0, hangup_after_s=20.0, media_s=1e9, voice="human")
        crowd = people.People(fixed={"0199000000": talks, "0199": SILENT})
        world, _ = await open_office(loop, crowd, agents=1, leads=1)
        assert world.store is not None
        desk = world.live.desks[world.agents[0].id]
        await world.until(lambda: desk.state == "on_call", 60.0)
        same = [LeadDraft(e164="+33199000000", last_name="Again"), LeadDraft(e164="+33199000009")]
        await world.store.add_leads(world.list.id, same)
        await world.submit(c.LeadsChanged(list_ids=(world.list.id,)))
        attempt = desk.call.attempt_id
        await world.submit(c.Dispose(agent_id=desk.id, attempt_id=attempt, code="INJOIGN", do_not_call=True))
        await world.until(lambda: "0199000009" in dialled(world), 120.0)
        await asyncio.sleep(60.0)
        assert dialled(world).count("0199000000") == 1
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-09", clause="clock hours and restarts within them keep their own counts")
def test_the_ledger_over_an_hour_and_a_restart() -> None:
    async def main(loop: VirtualLoop) -> None:
        talks = people.People(answer_chance=1.0, talk_mean_s=15.0, ring_mean_s=2.0, machine_share=0.0)
        world, campaign = await open_office(loop, talks, agents=3, leads=300, mode=CampaignMode.PREDICTIVE, calm=True)
        world.habits.wrap_up_s = 3.0
        assert world.store is not None
        now = world.clock.utcnow()
        to_hour = 3600.0 - now.minute * 60 - now.second
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        await asyncio.sleep(to_hour - 300.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))

        def stored() -> dict[datetime, tuple[int, int]]:
            sums = world.store.tables.ledger  # type: ignore[union-attr]
            return {key[1]: (int(value[2]), int(value[1])) for key, value in sums.items()}

        def live() -> dict[str, tuple[int, int]]:
            rows = world.live.campaigns[campaign.id].policy.ledger_rows()
            return {row.hour: (row.connected, row.abandoned) for row in rows}

        await asyncio.sleep(150.0)
        world.kill()
        await asyncio.sleep(8.0)
        await world.start()
        await asyncio.sleep(1.0)
        (before,) = stored().values()
        assert before[0] > 5
        (restored,) = live().values()
        assert restored[0] >= before[0] - 3 and restored[1] == before[1], "the hour goes on with what it had"
        await asyncio.sleep(400.0)
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        await asyncio.sleep(60.0)
        hours = stored()
        assert len(hours) == 2, "a new row for the new clock hour"
        assert [hour.minute for hour in hours] == [0, 0]
        by_hour: dict[datetime, list[int]] = {hour: [0, 0] for hour in hours}
        for steps in world.store.tables.events.values():
            counted = next((step for step in steps if step["kind"] in ("connected", "abandoned")), None)
            if counted is not None:
                hour = counted["at"].astimezone(UTC).replace(minute=0, second=0, microsecond=0)
                by_hour[hour][counted["kind"] == "abandoned"] += 1
        assert {hour: tuple(sums) for hour, sums in by_hour.items()} == hours
        assert list(live().values())[-1] == hours[max(hours)]
        await world.stop()

    run(main, seed=1)
