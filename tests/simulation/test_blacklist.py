"""The blacklist on calls going out, judged on the PBX's ledger: nobody on it is dialled, no phone is rung for them."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from daemon.calls.records import Blocked
from daemon.engine import commands as c
from daemon.errors import CommandError
from fake_asterisk import people
from simulation.checkers import AGENT
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import dialled, open_office

SHORT = people.People(answer_chance=1.0, talk_mean_s=5.0, ring_mean_s=2.0, machine_share=0.0)
LISTED, LISTED_NATIONAL = "+33199000001", "0199000001"


async def listed(world: World) -> Blocked:
    assert world.store is not None and world.group is not None
    row = await world.store.create(Blocked(group_id=world.group.id, e164=LISTED))
    await world.submit(c.ConfigChanged(table="Blocked", ids=(row.id,)))
    return row


@pytest.mark.feature("ZAD-18", clause="a campaign never dials a blacklisted lead, nor rings an agent's phone for it")
@pytest.mark.parametrize("nailed", [2, 0])
def test_a_campaign_leaves_out_who_is_blacklisted(nailed: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, SHORT, agents=2, leads=3, at_work=False, nailed=nailed)
        assert world.store is not None
        row = await listed(world)
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(300.0)
        assert sorted(dialled(world)) == ["0199000000", "0199000002"]
        phones = [o for o in world.fake.ledger.originates if AGENT.match(o.uniqueid)]
        assert len(phones) == 2, "once for each agent, or for each of the two calls"
        assert all(attempt.e164 != LISTED for attempt in world.store.tables.attempts.values())
        assert [entry["rule"] for entry in world.store.tables.refusals] == ["blacklist"]
        assert world.live.campaigns[campaign.id].lead_counts.get("blacklist") == 1, "and the pages say why it is held"
        await world.store.delete(Blocked, row.id, None)
        await world.submit(c.ConfigChanged(table="Blocked", ids=(row.id,)))
        assert world.group is not None
        ids = await world.store.free_leads(world.group.id, LISTED, "blacklist")  # as the API does
        await world.submit(c.LeadsChanged(lead_ids=tuple(ids), e164s=(LISTED,)))
        await world.until(lambda: LISTED_NATIONAL in dialled(world), 10.0, 0.5)
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("ZAD-18", clause="a refusal still on its way as the number is taken off: due within the hour")
def test_a_refusal_on_its_way_holds_for_an_hour_at_most() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, SHORT, agents=2, leads=3, at_work=False)
        assert world.store is not None
        row = await listed(world)
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(300.0)
        await world.store.delete(Blocked, row.id, None)
        await world.submit(c.ConfigChanged(table="Blocked", ids=(row.id,)))
        await world.until(lambda: LISTED_NATIONAL in dialled(world), 3700.0, 10.0)
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("ZAD-18", clause="by hand and click-to-call, it is refused before any phone rings")
def test_nobody_rings_a_phone_for_the_blacklist() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, SHORT, agents=2, leads=0, at_work=False, nailed=0)
        assert world.group is not None
        await listed(world)
        (agent, _) = world.agents
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
        click = c.CallExtension(
            attempt_id=UUID(int=7), site="main", extension="1002", e164=LISTED, group_id=world.group.id
        )
        typed = c.DialNumber(agent_id=agent.id, campaign_id=campaign.id, e164=LISTED)
        for command in (click, typed):
            with pytest.raises(CommandError) as refused:
                await world.submit(command)
            assert (refused.value.code, refused.value.details["rule"]) == ("call_forbidden", "blacklist")
        await asyncio.sleep(30.0)
        assert not world.fake.ledger.originates and world.live.desks[agent.id].state == "ready"
        await world.stop()

    run(main, seed=1)
