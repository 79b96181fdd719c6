"""What an agent's status code sets going, and the next contact on demand, as the PBX and the store see it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, CampaignMode, LeadList, Status
from daemon.engine import commands as c
from daemon.errors import CommandError
from fake_asterisk import people
from fake_asterisk.config import Behaviour
from simulation.checkers import AGENT
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import customers, dialled, open_office

pytestmark = pytest.mark.timeout(300)

TALKS = Behaviour(ring_after_s=0.1, answer_after_s=1.0, hangup_after_s=15.0, media_s=1e9, voice="human")
CODES = {
    "VENTE": {"sale": True, "final": True},
    "REFUS": {"not_interested": True},
    "RAPPEL": {"callback": True},
    "TERMINE": {"final": True},
    "HORS": {"not_workable": True},
    "REPOND": {"machine": True},
}
AGREED = datetime(2026, 9, 1, 10, tzinfo=UTC)


@pytest.mark.feature("S100-12", clause="the best due lead, the agent's phone first; two clicks at once give one call")
@pytest.mark.feature("LEAD-06", clause="a hot lead goes before older ones")
def test_the_next_contact_is_called_once() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(
            loop,
            people.People(fixed={"0": TALKS}),
            agents=1,
            leads=2,
            nailed=0,
            at_work=False,
            mode=CampaignMode.MANUAL,
        )
        (agent,) = world.agents
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        assert world.store is not None
        await asyncio.sleep(3.0)
        await world.store.add_leads(world.list.id, [LeadDraft(e164="+33199555555", priority=9)])
        await world.submit(c.LeadsChanged(list_ids=(world.list.id,)))
        await asyncio.sleep(2.0)
        assert not dialled(world), "nothing is dialled by itself"
        click = c.NextContact(agent_id=agent.id)
        answers: list[Any] = await asyncio.gather(world.submit(click), world.submit(click), return_exceptions=True)
        refused = [each for each in answers if isinstance(each, CommandError)]
        assert len(refused) == 1 and refused[0].code == "agent_busy", answers
        await world.until(lambda: len(dialled(world)) == 1, 30.0)
        await asyncio.sleep(10.0)
        assert dialled(world) == ["0199555555"], "the hot one, and once"
        agents = [leg for leg in world.fake.ledger.legs.values() if AGENT.match(leg.uniqueid)]
        assert len(agents) == 1 and agents[0].answered_at is not None
        assert agents[0].answered_at <= customers(world)[0].made_at, "the agent's phone first"
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature(
    "LEAD-06", clause="a new hot lead is dialled within 2 s, before older leads that wait or are queued"
)
def test_a_hot_lead_goes_before_a_full_queue() -> None:
    async def main(loop: VirtualLoop) -> None:
        busy = Behaviour(rings=None, answer_after_s=None, fail_sip=486, fail_after_s=0.2)
        world, _ = await open_office(loop, people.People(fixed={"0": busy}), agents=2, leads=80, calls_per_second=1.0)
        assert world.store is not None
        await world.until(lambda: len(dialled(world)) >= 10, 60.0)
        hopper = next(iter(world.live.campaigns.values())).hopper
        assert len(hopper) >= 3, "older leads are claimed already"
        added = loop.time()
        await world.store.add_leads(world.list.id, [LeadDraft(e164="+33199555555", priority=9)])
        await world.submit(c.LeadsChanged(list_ids=(world.list.id,)))
        await asyncio.sleep(10.0)
        later = [leg for leg in customers(world) if leg.made_at >= added]
        (hot,) = [leg for leg in later if leg.number == "0199555555"]
        assert hot.made_at - added <= 2.0
        assert later.index(hot) <= 1 and len(later) > 4, "at most a call that was on its way came before it"
        await world.stop()

    run(main, seed=2)


async def _each_code_once(world: World, agent_id: int) -> dict[str, int]:
    """One conversation a code; code → lead."""
    desk, given = world.live.desks[agent_id], {}
    for code in CODES:
        await world.until(lambda: desk.state == "wrap_up" and not desk.disposed, 200.0)
        call = desk.last_call
        later = world.clock.utcnow() + timedelta(minutes=30)
        await world.submit(
            c.Dispose(
                agent_id=agent_id,
                attempt_id=call.attempt_id,
                code=code,
                callback_at=later if code == "RAPPEL" else None,
            )
        )
        given[code] = call.lead_id
    return given


@pytest.mark.feature("STAT-02", clause="RAPPEL opens a callback; TERMINÉ and NON TRAITABLE are never dialled again")
@pytest.mark.feature("STAT-02", clause="NON INTÉRESSÉ is silence for sixty days, on other lists too")
@pytest.mark.feature("STAT-02", clause="VENTE counts as a sale, RÉPONDEUR as a machine that detection missed")
def test_what_each_flag_of_a_status_does() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(
            loop, people.People(fixed={"0": TALKS}), agents=1, leads=0, at_work=False, calm=True, rule_set="fr-b2c-2026"
        )
        store, (agent,) = world.store, world.agents
        assert store is not None
        for code, flags in CODES.items():
            known = await store.find(Status, code=code)
            if not known:
                await store.create(Status(group_id=campaign.group_id, code=code, name=code, **flags))
        await world.submit(c.ConfigChanged(table="Status"))
        numbers = [f"+3361234560{n}" for n in range(len(CODES))]
        await store.add_leads(world.list.id, [LeadDraft(e164=e164, consent_at=AGREED) for e164 in numbers])
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
        await asyncio.sleep(2.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        given = await _each_code_once(world, agent.id)
        calls = len(dialled(world))
        refused = store.tables.leads[given["REFUS"]].e164
        other = await store.create(LeadList(group_id=campaign.group_id, name="Other"))
        await store.update(Campaign, campaign.id, {"list_ids": [world.list.id, other.id]}, None)
        await world.submit(c.ConfigChanged(table="Campaign", ids=(campaign.id,)))
        (refused_again,) = await store.add_leads(other.id, [LeadDraft(e164=refused, consent_at=AGREED)])
        await world.submit(c.LeadsChanged(list_ids=(other.id,)))
        await asyncio.sleep(30.0)
        (refusal,) = (row for row in store.tables.refusals if row["lead_id"] == refused_again)
        assert refusal["rule"] == "refusal"
        assert refusal["until"].date().isoformat() == "2027-01-25", "the first Monday after sixty whole days"
        await asyncio.sleep(1500.0)
        assert len(dialled(world)) == calls, "nobody is called again yet"
        await world.until(lambda: len(dialled(world)) > calls, 1200.0)
        callback = store.tables.leads[given["RAPPEL"]].e164
        assert f"+33{dialled(world)[-1][1:]}" == callback and len(dialled(world)) == calls + 1
        (totals,) = await store.report("totals", campaign_id=campaign.id)
        assert totals["sales"] == 1
        sums = [
            row for row in await store.report("by_status", campaign_id=campaign.id) if row["disposition"] == "REPOND"
        ]
        assert sums[0]["attempts"] == 1
        ledger = sum(int(row[0]) for row in store.tables.ledger.values())
        assert ledger == calls - 1, "a machine is no live answer"
        await world.stop()

    run(main, seed=1)
