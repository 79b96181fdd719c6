"""Leads that are shown to an agent before they are dialled: none is lost, none is dialled that may not be (CAMP-06)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from daemon.calls.records import Blocked, CampaignMode, LeadList
from daemon.engine import commands as c
from daemon.errors import CommandError
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import dialled, open_office

TALKATIVE = people.People(answer_chance=1.0, talk_mean_s=600.0, ring_mean_s=3.0, machine_share=0.0)


async def shown_to_one(loop: VirtualLoop, leads: int, **fields: Any) -> tuple[World, Any]:
    """One agent who has just been shown a lead."""
    given = {"preview_timeout_s": 120.0} | fields
    world, _ = await open_office(loop, TALKATIVE, agents=1, leads=leads, mode=CampaignMode.PREVIEW, **given)
    desk = world.live.desks[world.agents[0].id]
    await world.until(lambda: desk.preview is not None, 10.0)
    return world, desk


def claimed(world: World) -> set[int]:
    """Leads that the store keeps for the site: nobody else may dial them."""
    assert world.store is not None
    return {lead.id for lead in world.store.tables.leads.values() if lead.claimed_by is not None}


def queued(world: World) -> set[int]:
    (campaign,) = world.live.campaigns.values()
    return {lead.id for lead in campaign.hopper}


@pytest.mark.feature("CAMP-06", clause="the agent stays reserved for as long as the lead is shown")
def test_who_reads_for_two_minutes_is_reserved_for_two_minutes() -> None:
    """The watchdog took an agent without a call for one who was forgotten, and made him ready; so did each login."""

    async def main(loop: VirtualLoop) -> None:
        world, desk = await shown_to_one(loop, 3, preview_timeout_s=150.0)
        await asyncio.sleep(70.0)
        world.fake.faults.cut()
        await asyncio.sleep(70.0)
        assert (desk.state, desk.code) == ("reserved", "preview")
        assert world.store is not None
        assert [row for row in world.store.tables.audit if row["by"] == "watchdog"] == []
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-06", clause="refused by law as it is accepted: the agent is free again at once")
def test_a_preview_that_may_not_be_dialled_any_more_frees_its_agent() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk = await shown_to_one(loop, 1)
        assert world.store is not None and world.group is not None
        row = await world.store.create(Blocked(group_id=world.group.id, e164=desk.preview.e164))
        await world.submit(c.ConfigChanged(table="Blocked", ids=(row.id,)))
        with pytest.raises(CommandError) as caught:
            await world.submit(c.PreviewDial(agent_id=desk.id))
        assert caught.value.code == "call_forbidden"
        await asyncio.sleep(1.0)
        assert desk.state == "ready" and desk.preview is None
        assert dialled(world) == []
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-06", clause="whoever is shown and not dialled goes back, however the preview ends")
@pytest.mark.parametrize("how", ["next", "typed", "signed out", "paused"])
def test_a_lead_that_was_shown_is_never_kept_for_nobody(how: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk = await shown_to_one(loop, 4)
        assert world.store is not None
        first, (campaign,) = desk.preview.id, world.live.campaigns.values()
        if how == "next":
            await world.submit(c.NextContact(agent_id=desk.id))
            assert desk.preview.id != first
        elif how == "typed":
            await world.submit(c.DialNumber(agent_id=desk.id, campaign_id=campaign.id, e164="+33199005555"))
        elif how == "signed out":
            await world.submit(c.SignOut(agent_id=desk.id))
        else:
            await world.submit(c.SetPaused(agent_id=desk.id))
        await asyncio.sleep(1.0)
        assert first not in claimed(world) - queued(world)
        assert desk.preview is None or desk.preview.id != first
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("LEGL-07", clause="a lead being shown to an agent is taken away before it is dialled")
@pytest.mark.feature("IMPT-14", clause="a list switched off takes its leads from agents' screens too")
@pytest.mark.parametrize("what", ["red list", "list off", "campaign paused"])
def test_what_may_not_be_dialled_any_more_is_shown_to_nobody(what: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk = await shown_to_one(loop, 1)
        assert world.store is not None and world.client is not None
        (campaign,) = world.live.campaigns.values()
        e164 = desk.preview.e164
        if what == "red list":
            ids = await world.store.set_dnc(world.client.id, e164, True, "test", "asked")
            await world.submit(c.LeadsChanged(lead_ids=tuple(ids), e164s=(e164,)))
        elif what == "list off":
            await world.store.update(LeadList, world.list.id, {"active": False}, None)
            await world.submit(c.ConfigChanged(table="LeadList", ids=(world.list.id,)))
        else:
            await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        await asyncio.sleep(1.0)
        with pytest.raises(CommandError) as caught:
            await world.submit(c.PreviewDial(agent_id=desk.id))
        assert caught.value.code == "preview_gone"
        assert (desk.state, dialled(world)) == ("ready", [])
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-06", clause="shown as the daemon is stopped: the lead goes back, another site may dial it")
def test_a_daemon_that_stops_keeps_no_lead_that_is_shown() -> None:
    """Nobody can dial it there any more, and this site may never come back."""

    async def main(loop: VirtualLoop) -> None:
        world, desk = await shown_to_one(loop, 3)
        assert claimed(world) >= {desk.preview.id}
        await world.app.sites.drain()
        assert claimed(world) == set()
        await world.stop()

    run(main, seed=1)
