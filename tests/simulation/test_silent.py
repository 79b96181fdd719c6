"""A silent campaign says in one sentence what holds it, how many, and until when (pages.md 7.3)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, HoursWindow, RecyclingRule
from daemon.engine import commands as c
from daemon.engine.views import CampaignView
from fake_asterisk import people
from fake_asterisk.config import Behaviour
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import dialled, open_office

pytestmark = pytest.mark.timeout(300)

PARIS = ZoneInfo("Europe/Paris")
SILENT = Behaviour(ring_after_s=0.1, answer_after_s=None)


def seen(world: World, campaign: Campaign) -> CampaignView:
    view: Any = world.app.hub.view()["campaigns"][str(campaign.id)]
    assert isinstance(view, CampaignView)
    return view


def test_leads_that_wait_for_their_recycling_are_counted_and_the_next_is_told() -> None:
    async def main(loop: VirtualLoop) -> None:
        rules = [RecyclingRule(on="no_answer", delay_s=3600.0)]
        crowd = people.People(fixed={"0199": SILENT})
        world, campaign = await open_office(loop, crowd, agents=1, leads=2, recycling=rules, calm=True)
        assert world.store is not None
        ids = await world.store.add_leads(campaign.list_ids[0], [LeadDraft(e164="+33199001111", last_name="Zo")])
        await world.store.update_lead(ids[0], {"blocked_by": "final"})
        await world.until(lambda: len(dialled(world)) == 2 and seen(world, campaign).leads.get("recycling") == 2, 90.0)
        first = min(row.eligible_at for row in world.store.tables.leads.values() if row.eligible_at is not None)
        at = f"{first.astimezone(PARIS):%H:%M}"
        view = seen(world, campaign)
        assert view.binding == "leads"
        assert view.why == f"Not dialling: 0 leads due of 3; held: recycling 2, closed 1; next lead due at {at}"
        assert view.why_fr == (
            f"Ne compose pas : 0 fiche due sur 3 ; retenues : recyclage 2, terminées 1 ; prochaine fiche due à {at}"
        )
        assert sum(view.leads.values()) == 3, "due and held are all leads"
        for id in (1, 2):
            await world.store.update_lead(id, {"blocked_by": "final", "eligible_at": None})
        await asyncio.sleep(6.0)
        assert seen(world, campaign).why.endswith("held: closed 3; none will fall due by itself")
        await world.store.update_lead(1, {"eligible_at": first + timedelta(days=1), "blocked_by": "recycling"})
        await asyncio.sleep(6.0)
        assert seen(world, campaign).why_fr.endswith(f"prochaine fiche due le 25/11 à {at}")
        await world.stop()

    run(main, seed=1)


def test_a_campaign_shut_by_its_hours_says_how_many_wait_and_when_it_resumes() -> None:
    async def main(loop: VirtualLoop) -> None:
        days = [1, 2, 3, 4, 5, 6, 7]
        hours = [HoursWindow(days=days, start="15:05", end="17:00")]
        world, campaign = await open_office(loop, people.People(), agents=1, leads=1200, calm=True, hours=hours)
        await world.until(lambda: "1,200" in seen(world, campaign).why, 60.0)
        view = seen(world, campaign)
        assert (view.binding, view.causes[1].code) == ("campaign", "hours")
        assert view.why.endswith("1,200 due leads wait; resumes at 15:05")
        assert view.why_fr.endswith("fiches dues en attente 1\u202f200 ; reprise à 15:05")
        told = datetime.fromisoformat(str(view.causes[1].figures["until_at"])).astimezone(PARIS)
        assert (told.hour, told.minute) == (15, 5)
        await world.stop()

    run(main, seed=1)


def test_leads_due_overseas_before_calling_is_allowed_there_are_told_apart() -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(fixed={"0199": SILENT})
        world, campaign = await open_office(loop, crowd, agents=1, leads=0, calm=True, rule_set="fr-b2c-2026")
        assert world.store is not None
        there, agreed = "America/Martinique+972", world.clock.utcnow() - timedelta(days=9)
        drafts = [LeadDraft(e164="+596696123456", tz_group=there), LeadDraft(e164="+33199000001")]
        drafts = [msgspec.structs.replace(draft, last_name="Zo", consent_at=agreed) for draft in drafts]
        await world.store.add_leads(campaign.list_ids[0], drafts)
        await world.submit(c.LeadsChanged())
        await world.until(lambda: "fiches dues (1)" in seen(world, campaign).why_fr, 120.0)
        view = seen(world, campaign)
        assert (view.binding, view.leads["due"], len(dialled(world))) == ("leads", 1, 1)
        assert view.why == "Not dialling: the leads due (1) are where calling is not allowed now; resumes at 15:00"
        assert view.why_fr.endswith("là où l’on ne peut appeler maintenant ; reprise à 15:00"), "10:00 there"
        await world.stop()

    run(main, seed=1)
