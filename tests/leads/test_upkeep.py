"""Retention by the clock, as an operator meets it: the daemon on simulated time, what it forgets and what it notes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign
from daemon.engine import commands as c
from daemon.settings import Settings
from daemon.store.pseudonyms import Pseudonyms
from simulation.loop import VirtualLoop, run
from simulation.world import World


def _quick(settings: Settings) -> Settings:
    retention = msgspec.structs.replace(settings.retention, people_days=30, hour_utc=3)
    return msgspec.structs.replace(settings, retention=retention)


@pytest.mark.feature(
    "RGPD-01", clause="whom nobody has called or heard of for the set time is forgotten, and it is noted"
)
def test_people_are_forgotten_at_night_once_their_time_is_over() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=2)
        world.settings_changes = _quick
        await world.furnish(agents=1, leads=2)
        await world.start()
        store = world.store
        assert store is not None and world.client is not None and world.group is not None
        await store.use_pseudonyms(Pseudonyms(b"k" * 32))
        await store.add_consent(world.client.id, "+33199000001", {"at": world.clock.utcnow()})
        working = asyncio.create_task(world.app.upkeep.run())
        world.clock.skew += timedelta(days=29, hours=18)  # 03:30, a day too early
        await asyncio.sleep(60.0)
        world.clock.skew += timedelta(hours=10)
        await asyncio.sleep(60.0)
        assert [lead.blocked_by for lead in store.tables.leads.values()] == ["", ""], "not before its hour"
        world.clock.skew += timedelta(hours=14)
        await asyncio.sleep(60.0)
        forgotten, kept = store.tables.leads.values()
        assert forgotten.e164.startswith("~") and not forgotten.last_name
        assert kept.e164 == "+33199000001", "an agreement that still holds is a reason to keep"
        (entry,) = (row for row in store.tables.audit if row["what"] == "retention.run")
        assert entry["by"] == "retention" and entry["detail"]["people"] == 1
        world.clock.skew += timedelta(days=3 * 365 + 300)
        await asyncio.sleep(60.0)
        assert kept.e164 == "+33199000001", "its proof is kept for three years more, as the rule sets ask"
        world.clock.skew += timedelta(days=80)
        await asyncio.sleep(60.0)
        assert kept.e164.startswith("~")
        working.cancel()
        await world.stop()

    run(main, seed=2)


@pytest.mark.feature("LEGL-08", clause="who never agreed counts as held, not as due, from the import on")
def test_leads_without_consent_are_told_as_held() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=2)
        campaign = await world.furnish(agents=1, leads=3, rule_set="fr-b2c-2026")
        await world.start()
        store = world.store
        assert store is not None
        working = asyncio.create_task(world.app.upkeep.run())
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        agreed = world.clock.utcnow() - timedelta(days=10)
        drafts = [LeadDraft(e164="+33612345678", consent_at=agreed), LeadDraft(e164="+33612345679")]
        await store.add_leads(world.list.id, drafts)
        await asyncio.sleep(30.0)
        leads = world.live.campaigns[campaign.id].lead_counts
        assert (leads["due"], leads["consent"]) == (1, 4)
        await store.update(Campaign, campaign.id, {"rule_set": "fr-b2b"}, None)
        await asyncio.sleep(30.0)
        leads = world.live.campaigns[campaign.id].lead_counts
        assert (leads["due"], leads.get("consent", 0)) == (5, 0), "companies need none"
        working.cancel()
        await world.stop()

    run(main, seed=2)
