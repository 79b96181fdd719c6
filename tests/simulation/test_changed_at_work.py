"""What administrators change while people work: it holds at once, for all sites, and breaks nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from daemon.calls.records import Agent, CallerIdNumber, Campaign, CampaignState
from daemon.engine import commands as c
from daemon.errors import CommandError
from fake_asterisk import people
from fake_asterisk.control import Control
from simulation.checkers import AGENT
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.office import customers, dialled, open_office

NOBODY = people.People(answer_chance=0.0, busy_share=1.0, machine_share=0.0)
TALKS = people.People(answer_chance=1.0, talk_mean_s=20.0, ring_mean_s=3.0, machine_share=0.0)


def phones(world: World) -> list[Any]:
    return [leg for leg in world.fake.ledger.legs.values() if AGENT.match(leg.uniqueid)]


@pytest.mark.feature("AGNT-01", clause="whether the phone stays connected is changed while at work: calls go on")
def test_a_phone_nailed_up_or_let_go_of_while_its_agent_is_ready() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, NOBODY, agents=1, leads=400)
        assert world.store is not None
        (agent,) = world.agents

        async def nail(on: bool) -> None:
            await world.submit(c.PauseCampaign(campaign_id=campaign.id))
            await world.until(lambda: not world.live.calls, 60.0)
            await world.store.update(Agent, agent.id, {"nailed": on}, None)  # type: ignore[union-attr]
            await world.submit(c.ConfigChanged(table="Agent", ids=(agent.id,)))
            await asyncio.sleep(10.0)
            assert [leg.ended_at is None for leg in phones(world)][-1] is on
            await world.submit(c.StartCampaign(campaign_id=campaign.id))
            since = loop.time()
            await world.until(lambda: len(dialled(world, since)) > 2, 60.0)

        await nail(False)
        await nail(True)
        assert world.live.desks[agent.id].state in ("ready", "reserved")
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("AGNT-01", clause="a phone that was away: ready is what was asked for meanwhile")
def test_ready_asked_for_while_the_phone_can_not_be_reached() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, _ = await open_office(loop, NOBODY, agents=1, leads=0, at_work=False)
        (agent,) = world.agents
        config = world.fake.config
        before, away = config.behaviour_of, [True]
        deaf = replace(before("1001", "", world.rng), answer_after_s=None)
        config.behaviour_of = lambda endpoint, number, rng: (
            deaf if endpoint == "1001" and away[0] else before(endpoint, number, rng)
        )
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(1,), ready=False))
        desk = world.live.desks[agent.id]
        await world.until(lambda: desk.state == "unreachable" and not desk.leg, 90.0)
        away[0] = False
        await world.submit(c.SetReady(agent_id=agent.id))
        await world.until(lambda: desk.leg_state == "parked", 60.0)
        assert desk.state == "ready"
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-02", clause="a number typed in a pause: the phone first if it is away, then the pause again")
def test_a_call_by_hand_out_of_a_pause() -> None:
    """His phone has just been put down and is not rung anew yet: who answers would meet nobody. And nobody who is at
    lunch gets a call by the machine because the one he made was not answered."""

    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, NOBODY, agents=1, leads=20, at_work=False)
        (agent,) = world.agents
        desk = world.live.desks[agent.id]
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=False))
        await world.until(lambda: desk.leg_state == "parked", 30.0)
        await world.submit(c.SetPaused(agent_id=agent.id, code="PAUSE"))
        Control(world.fake).do("hangup", channel=desk.leg)
        await world.until(lambda: desk.leg_state == "none", 5.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.submit(c.DialNumber(agent_id=agent.id, campaign_id=campaign.id, e164="+33199005555"))
        await asyncio.sleep(60.0)
        (call,) = customers(world)
        phone = phones(world)[-1]
        assert phone.answered_at is not None and phone.answered_at < call.made_at
        assert (desk.state, desk.code) == ("paused", "PAUSE")
        assert dialled(world) == ["0199005555"]
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("C2C-11", clause="a line's calls are those it carried, none for want of a number to show")
def test_no_number_to_show_is_no_use_of_a_line() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, NOBODY, agents=1, leads=20, at_work=False)
        assert world.store is not None
        number = CallerIdNumber(group_id=campaign.group_id, e164="+33162000001", pool="sales", daily_cap=2)
        await world.store.create(number)
        await world.store.update(Campaign, campaign.id, {"caller_id_pool": "sales"}, None)
        await world.submit(c.ConfigChanged(table="CallerIdNumber"))
        await world.submit(c.ConfigChanged(table="Campaign", ids=(campaign.id,)))
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(120.0)
        view: Any = next(iter(world.app.hub.view()["lines"].values()))
        assert (len(dialled(world)), view.calls) == (2, 2)
        shown: Any = world.app.hub.view()["campaigns"][str(campaign.id)]
        assert shown.binding == "lines" and "caller" in shown.causes[4].code
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("TELC-11", clause="the alert of a line at rest is over when the rest is")
def test_the_alert_of_a_line_at_rest_closes_by_itself() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(
            loop, people.People(answer_chance=0.0, busy_share=0.0, unallocated_share=0.0, congestion_share=1.0),
            agents=1, leads=40,
        )  # fmt: skip
        resting = f"line_resting: line {next(iter(world.live.pool.lines))}"
        await world.until(lambda: resting in list(world.app.sites.alerts()), 120.0)
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        rest_s = world.app.settings.dialer.line_rest_s
        await asyncio.sleep(rest_s - 5.0)
        assert resting in list(world.app.sites.alerts())
        await asyncio.sleep(10.0)
        assert list(world.app.sites.alerts()) == []
        view: Any = next(iter(world.app.hub.view()["lines"].values()))
        assert view.state == "active"
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("RELY-04", clause="a campaign whose rule set is gone keeps its site from nothing")
def test_a_campaign_whose_rule_set_is_gone() -> None:
    """Its file was taken away, or an upgrade has renamed it: the others are dialled, and somebody is told."""

    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=4, pbx_config=pbx(2, NOBODY))
        campaign = await world.furnish(agents=2, leads=400, lines=(4,), state=CampaignState.RUNNING)
        assert world.store is not None
        other = msgspec.structs.replace(campaign, id=0, version=0, name="Old", rule_set="fr-2019")
        lost = await world.store.create(other)
        await world.start()
        await world.staff(campaign)
        await world.until(lambda: len(dialled(world)) > 3, 60.0)
        assert list(world.app.sites.alerts()) == [f"campaign_suspended: campaign {lost.id}"]
        with pytest.raises(CommandError) as caught:
            await world.submit(c.StartCampaign(campaign_id=lost.id))
        assert caught.value.code == "campaign_unknown"
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature("RELY-03", clause="a daemon that ends in order keeps no lead for itself")
def test_leads_that_were_queued_are_anybodys_after_an_orderly_end() -> None:
    """The site may never come back: its leads are another's to dial."""

    async def main(loop: VirtualLoop) -> None:
        world, _ = await open_office(loop, TALKS, agents=3, leads=60)
        assert world.store is not None
        (campaign,) = world.live.campaigns.values()
        await world.until(lambda: len(campaign.hopper) > 2, 60.0)
        await world.runner.drain(60.0)
        in_calls = {call.lead_id for call in world.live.calls.values()}
        assert {lead.id for lead in world.store.tables.leads.values() if lead.claimed_by} <= in_calls
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("AGNT-01", clause="an agent who is deleted in a call finishes it, and is gone")
def test_an_agent_deleted_in_a_conversation() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, TALKS, agents=1, leads=3, at_work=False)
        assert world.store is not None
        (agent,) = world.agents
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        desk = world.live.desks[agent.id]
        await world.until(lambda: desk.state == "on_call", 60.0)
        attempt = desk.call.attempt_id
        await world.store.delete(Agent, agent.id, None)
        await world.submit(c.ConfigChanged(table="Agent", ids=(agent.id,)))
        await asyncio.sleep(1.0)
        assert desk.state == "on_call"
        await world.until(lambda: agent.id not in world.live.desks, 300.0)
        row = world.store.tables.attempts[attempt]
        assert (row.outcome, row.disposition_by_default) == ("connected", True)
        await asyncio.sleep(10.0)
        assert all(leg.ended_at is not None for leg in phones(world))
        assert "agents" not in world.app.hub.view() or str(agent.id) not in world.app.hub.view()["agents"]
        await world.stop()

    run(main, seed=1)
