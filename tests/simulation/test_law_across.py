"""The law over campaigns and lists of one client, on the PBX's ledger: attempts and refusals are the person's."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, Client, LeadList, RecyclingRule
from daemon.engine import commands as c
from fake_asterisk import Behaviour, people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.office import customers

MONDAY = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
"""10:30 in Paris."""
AGREED = datetime(2026, 9, 1, 10, tzinfo=UTC)
SILENT = Behaviour(ring_after_s=0.1, answer_after_s=None, media_s=1e9)
TALKS = Behaviour(ring_after_s=0.1, answer_after_s=1.0, hangup_after_s=8.0, media_s=1e9, voice="human")
LONG = Behaviour(ring_after_s=0.1, answer_after_s=1.0, hangup_after_s=900.0, media_s=1e9, voice="human")
OFTEN = [RecyclingRule(on="no_answer", delay_s=60.0, max_count=10)]


async def two_campaigns(
    loop: VirtualLoop, behaviour: Behaviour, *, other_client: bool, **fields: Any
) -> tuple[World, list[Campaign]]:
    """Two campaigns of one client (or of two) with a list each; the same person is on both. Two agents work on both."""
    crowd = people.People(fixed={"0199": LONG, "0": behaviour})
    world = World(loop, seed=5, mode="dialplan", pbx_config=pbx(2, crowd))
    world.clock._start = MONDAY
    given: dict[str, Any] = {"gap_min_s": 0.0, "ring_timeout_s": 15.0, "recycling": OFTEN} | fields
    first = await world.furnish(agents=2, leads=0, rule_set="fr-b2c-2026", attempts_max=4, **given)
    store = world.store
    assert store is not None and world.group is not None
    client_id = first.client_id
    if other_client:
        client_id = (await store.create(Client(group_id=world.group.id, name="Mutuelle"))).id
    listed = await store.create(LeadList(group_id=world.group.id, name="Autre"))
    again = msgspec.structs.replace(
        first, id=0, version=0, name="Autre", client_id=client_id, list_ids=[listed.id], priority=first.priority
    )
    second = await store.create(again)
    for place in (world.list.id, listed.id):
        await store.add_leads(place, [LeadDraft(e164="+33612345678", last_name="P", consent_at=AGREED)])
    await world.start()
    return world, [first, second]


async def at_work(world: World, campaigns: list[Campaign]) -> None:
    for agent in world.agents:
        ids = tuple(campaign.id for campaign in campaigns)
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=ids, ready=True))
    await asyncio.sleep(2.0)
    for campaign in campaigns:
        await world.submit(c.StartCampaign(campaign_id=campaign.id))


@pytest.mark.feature("LEGL-01", clause="two campaigns at once: the PBX is asked four times for a person, not five")
@pytest.mark.parametrize(("other_client", "calls"), [(False, 4), (True, 8)])
def test_four_attempts_over_all_campaigns_of_a_client(other_client: bool, calls: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaigns = await two_campaigns(loop, SILENT, other_client=other_client)
        await at_work(world, campaigns)
        await asyncio.sleep(1500.0)
        assert Counter(leg.number for leg in customers(world)) == {"0612345678": calls}
        assert world.store is not None
        by = Counter(row.campaign_id for row in world.store.tables.attempts.values() if row.counted)
        assert sum(by.values()) == calls and len(by) == 2, "both campaigns had their turn"
        await world.stop()

    run(main, seed=5)


@pytest.mark.feature(
    "LEGL-07", clause="said in one campaign, it holds in every campaign of that client, and no other's"
)
@pytest.mark.parametrize(("other_client", "calls"), [(False, 1), (True, 2)])
def test_do_not_call_holds_in_every_campaign_of_the_client(other_client: bool, calls: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, (first, second) = await two_campaigns(loop, TALKS, other_client=other_client)
        await at_work(world, [first])
        desks = world.live.desks.values()
        await world.until(lambda: any(desk.state == "wrap_up" for desk in desks), 60.0)
        desk = next(desk for desk in desks if desk.state == "wrap_up")
        said = c.Dispose(agent_id=desk.id, attempt_id=desk.last_call.attempt_id, code="INJOIGN", do_not_call=True)
        await world.submit(said)
        await world.submit(c.StopCampaign(campaign_id=first.id))
        for agent in world.agents:
            await world.submit(c.SignOut(agent_id=agent.id))
        await at_work(world, [second])
        await asyncio.sleep(120.0)
        assert len(customers(world)) == calls
        await world.stop()

    run(main, seed=5)


@pytest.mark.feature("LEGL-07", clause="who refuses in one campaign is not called by another that had them queued")
@pytest.mark.parametrize("refuses", [True, False])
def test_what_happens_to_the_person_holds_for_a_campaign_that_had_them_queued(refuses: bool) -> None:
    """The second campaign has claimed the person while its one agent talks to somebody else; meanwhile the first calls
    them, and they refuse, or do not answer: sixty days, or the campaign's own gap, hold for both."""

    async def main(loop: VirtualLoop) -> None:
        gap_s = 0.0 if refuses else 14_400.0
        behaviour = TALKS if refuses else SILENT
        world, (first, second) = await two_campaigns(loop, behaviour, other_client=False, gap_min_s=gap_s)
        one, two = world.agents
        await world.submit(c.SignIn(agent_id=two.id, campaign_ids=(second.id,), ready=True))
        await asyncio.sleep(2.0)
        await world.submit(c.DialNumber(agent_id=two.id, campaign_id=second.id, e164="+33199000123"))
        busy = world.live.desks[two.id]
        await world.until(lambda: busy.state == "on_call", 30.0)
        await world.submit(c.StartCampaign(campaign_id=second.id))
        await world.until(lambda: len(world.live.campaigns[second.id].hopper) == 1, 30.0)
        await world.submit(c.SignIn(agent_id=one.id, campaign_ids=(first.id,), ready=True))
        await asyncio.sleep(2.0)
        await world.submit(c.StartCampaign(campaign_id=first.id))
        desk = world.live.desks[one.id]
        await world.until(lambda: len(customers(world)) == 2, 30.0)
        if refuses:
            await world.until(lambda: desk.state == "wrap_up", 60.0)
            said = c.Dispose(agent_id=desk.id, attempt_id=desk.last_call.attempt_id, code="REFUS", then="paused")
            await world.submit(said)
        else:
            await world.until(lambda: len(world.live.calls) == 1, 60.0)
        await asyncio.sleep(1.0)
        talked = busy.call.attempt_id
        await world.submit(c.HangUpCall(attempt_id=talked))
        await world.until(lambda: busy.state == "wrap_up", 30.0)
        await world.submit(c.Dispose(agent_id=two.id, attempt_id=talked, code="INJOIGN"))
        await asyncio.sleep(300.0)
        assert Counter(leg.number for leg in customers(world)) == {"0199000123": 1, "0612345678": 1}
        assert world.store is not None
        rules = {row["rule"] for row in world.store.tables.refusals}
        assert rules == {"refusal" if refuses else "min_gap"}, "and the rule that holds them is told"
        await world.stop()

    run(main, seed=5)
