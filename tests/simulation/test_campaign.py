"""A whole campaign on simulated time, in each control mode, judged by the fake PBX's own ledger."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import CampaignMode
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.checkers import CUSTOMER, after_settling
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.office import answered_by_nobody

LINES = (4, 2)


async def _campaign(loop: VirtualLoop, mode: str, leads: int = 60, **fields: Any) -> World:
    """Six agents (three nailed up where the mode can), a list called to its end."""
    crowd = people.People(answer_chance=0.5, talk_mean_s=20.0, ring_mean_s=4.0, machine_share=0.0)
    world = World(loop, seed=3, mode=mode, pbx_config=pbx(6, crowd))
    campaign = await world.furnish(agents=6, leads=leads, lines=LINES, nailed=3, ring_timeout_s=15.0, **fields)
    await world.start()
    await world.staff(campaign)
    await asyncio.sleep(5.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await world.until(lambda: world.live.campaigns[campaign.id].lead_counts.get("due", 1) == 0, 3600.0, 5.0)
    await world.until(lambda: not world.live.calls, 600.0, 1.0)
    await asyncio.sleep(90.0)
    return world


@pytest.mark.feature("RELY-02", clause="every attempt of a campaign ends with exactly one outcome")
@pytest.mark.feature("RELY-03", clause="no line or lease is left when a campaign is over")
@pytest.mark.feature("PBX-01", clause="a progressive campaign runs in asyncagi, dialplan and basic")
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan", "basic"])
def test_progressive_campaign_to_its_end(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await _campaign(loop, mode)
        assert world.store is not None
        tables, ledger = world.store.tables, world.fake.ledger
        in_use = {line.record.name: line.in_use for line in world.live.pool.lines.values()}
        assert after_settling(ledger, tables, sum(LINES), in_use) == []
        dialled = Counter(o.number for o in ledger.originates if CUSTOMER.match(o.uniqueid))
        technical = {row.e164 for row in tables.attempts.values() if row.outcome in ("congestion", "agent_no_answer")}
        assert len(dialled) + len(technical - {f"+33{n[1:]}" for n in dialled}) >= 58
        assert all(count == 1 for number, count in dialled.items() if f"+33{number[1:]}" not in technical)
        outcomes = Counter(row.outcome for row in tables.attempts.values())
        assert outcomes["connected"] > 10
        assert outcomes["abandoned"] == 0
        await world.stop()

    run(main, seed=3)


def test_turbo_reserves_an_agent_for_each_call() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await _campaign(loop, "asyncagi")
        legs = [leg for leg in world.fake.ledger.legs.values() if CUSTOMER.match(leg.uniqueid)]
        moves = sorted([(leg.made_at, 1) for leg in legs] + [(leg.ended_at or 1e9, -1) for leg in legs])
        used = most = 0
        for _, step in moves:
            used += step
            most = max(most, used)
        assert 1 < most <= 6
        await world.stop()

    run(main, seed=3)


@pytest.mark.feature("CAMP-02", clause="no automatic originate in ten minutes of MANUEL")
def test_manual_campaign_never_dials_by_itself() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=4, pbx_config=pbx(3))
        campaign = await world.furnish(agents=3, leads=50, mode=CampaignMode.MANUAL)
        await world.start()
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(600.0)
        assert not [o for o in world.fake.ledger.originates if CUSTOMER.match(o.uniqueid)]
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature("CAMP-01", clause="a started campaign dials within 2 s when agents are ready")
@pytest.mark.feature("LEAD-06", clause="a new lead is dialled within 2 s")
def test_dials_within_two_seconds_of_start_and_of_a_new_lead() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=5, pbx_config=pbx(2, people.People(answer_chance=0.0)))
        campaign = await world.furnish(agents=2, leads=1, ring_timeout_s=15.0)
        await world.start()
        await world.staff(campaign)
        await asyncio.sleep(5.0)
        started = loop.time()
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(2.0)
        customers = [o for o in world.fake.ledger.originates if CUSTOMER.match(o.uniqueid)]
        assert len(customers) == 1
        assert customers[0].at - started <= 2.0
        await asyncio.sleep(30.0)
        assert world.store is not None
        added = loop.time()
        ids = await world.store.add_leads(world.list.id, [LeadDraft(e164="+33199001234", priority=1)])
        await world.submit(c.LeadsChanged(campaign_id=campaign.id))
        assert ids
        await asyncio.sleep(2.0)
        customers = [o for o in world.fake.ledger.originates if CUSTOMER.match(o.uniqueid)]
        assert [o.number for o in customers if o.at >= added] == ["0199001234"]
        await world.stop()

    run(main, seed=5)


@pytest.mark.feature("CAMP-09", clause="answered and no agent: the safe message begins within 2 s")
def test_abandoned_person_hears_the_message_and_is_counted() -> None:
    """Two predictive agents who are both made busy by hand while calls ring: the answer finds nobody."""

    async def main(loop: VirtualLoop) -> None:
        world = await answered_by_nobody(loop)
        await asyncio.sleep(120.0)
        assert world.store is not None
        rows = [row for row in world.store.tables.attempts.values() if row.outcome == "abandoned"]
        assert rows
        for row in rows:
            kinds = {e["kind"]: e for e in world.store.tables.events[row.id]}
            waited = (kinds["abandoned"]["at"] - kinds["answered"]["at"]).total_seconds()
            assert waited <= 2.05
            assert "message" in kinds
        assert sum(sums[1] for sums in world.store.tables.ledger.values()) == len(rows)
        await world.stop()

    run(main, seed=6)
