"""What an agent, a campaign or a phone leaves behind as it goes: nothing that the next day or the next agent meets."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from daemon.calls.records import Agent, Campaign
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.checkers import AGENT
from simulation.loop import VirtualLoop, run
from tests.simulation.office import dialled, open_office

TALKS = people.People(answer_chance=1.0, talk_mean_s=20.0, ring_mean_s=3.0, machine_share=0.0)
NOBODY = people.People(answer_chance=0.0, busy_share=1.0, machine_share=0.0)


@pytest.mark.feature("CAMP-02", clause="the pause a number was typed in is over with the shift, whenever that ends")
def test_a_pause_of_the_last_shift_is_not_entered_in_the_next() -> None:
    """She called somebody out of her lunch break and left in the wrap-up of that call; back the next morning, her first
    call ended in that lunch break."""

    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, TALKS, agents=1, leads=20, at_work=False)
        (agent,) = world.agents
        desk = world.live.desks[agent.id]
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=False))
        await world.until(lambda: desk.leg_state == "parked", 30.0)
        await world.submit(c.SetPaused(agent_id=agent.id, code="PAUSE"))
        await world.submit(c.DialNumber(agent_id=agent.id, campaign_id=campaign.id, e164="+33199005555"))
        await world.until(lambda: desk.state == "wrap_up", 300.0)
        await world.submit(c.SignOut(agent_id=agent.id))
        await world.until(lambda: not desk.leg, 30.0)
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: len(dialled(world)) > 2, 900.0)
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("AGNT-01", clause="deleted while the PBX can not be reached: the phone is let go of once it can")
def test_the_phone_of_an_agent_deleted_while_the_link_is_down() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, _ = await open_office(loop, NOBODY, agents=1, leads=0)
        assert world.store is not None
        (agent,) = world.agents
        phone = next(leg for leg in world.fake.ledger.legs.values() if AGENT.match(leg.uniqueid))
        world.fake.faults.half_open()
        await world.until(lambda: not world.live.link.up, 60.0)
        await world.store.delete(Agent, agent.id, None)
        await world.submit(c.ConfigChanged(table="Agent", ids=(agent.id,)))
        await asyncio.sleep(60.0)
        assert phone.ended_at is None
        world.fake.faults.half_open(False)
        world.fake.faults.cut()
        await world.until(lambda: world.live.link.synced, 120.0)
        await world.until(lambda: phone.ended_at is not None, 60.0)
        assert agent.id not in world.live.desks and not world.live.legs
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-01", clause="not loaded for want of its rule set: the alert ends with the lack, or the row")
@pytest.mark.parametrize("how", ["mended", "deleted"])
def test_the_alert_of_a_campaign_whose_rules_are_missing(how: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, NOBODY, agents=1, leads=5, at_work=False)
        assert world.store is not None
        rules = campaign.rule_set
        row = await world.store.create(replace(campaign, id=0, name="Other", rule_set="nowhere"))
        await world.submit(c.ConfigChanged(table="Campaign", ids=(row.id,)))
        alert = f"campaign_suspended: campaign {row.id}"
        assert alert in list(world.app.sites.alerts())
        if how == "mended":
            await world.store.update(Campaign, row.id, {"rule_set": rules}, None)
        else:
            await world.store.delete(Campaign, row.id, None)
        await world.submit(c.ConfigChanged(table="Campaign", ids=(row.id,)))
        assert (row.id in world.live.campaigns) == (how == "mended")
        assert alert not in list(world.app.sites.alerts())
        await world.stop()

    run(main, seed=1)
