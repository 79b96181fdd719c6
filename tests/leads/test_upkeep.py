"""Retention by the clock, as an operator meets it: the daemon on simulated time, what it forgets and what it notes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign
from daemon.engine import commands as c
from daemon.errors import StoreUnavailable
from daemon.leads.upkeep import Upkeep
from daemon.settings import RetentionTable, Settings
from daemon.store.pseudonyms import Pseudonyms
from simulation.loop import VirtualClock, VirtualLoop, run
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


class Night:
    """A store in which some people can't be forgotten, or nothing can be dropped; it counts how often it is asked."""

    def __init__(self, people: int = 0, broken: tuple[str, ...] = (), steps: bool = True) -> None:
        self.people = [(1, f"+3361234{n:04d}") for n in range(people)]
        self.broken, self.steps = broken, steps
        self.erased: list[str] = []
        self.asked = 0
        self.notes: list[dict[str, Any]] = []

    async def review_consent(self, limit: int) -> list[int]:
        return []

    async def lost_sites(self, silent_s: float) -> list[str]:
        return []

    async def stale_people(self, before: Any, after: int, limit: int, proof: Any) -> tuple[list[tuple[int, str]], None]:
        return [person for person in self.people if person[1] not in self.erased], None

    async def erase_person(self, group_id: int, e164: str) -> dict[str, Any]:
        if e164 in self.broken:
            raise StoreUnavailable("too slow")
        self.erased.append(e164)
        return {"files": []}

    async def purge_steps(self, before: Any) -> dict[str, int]:
        self.asked += 1
        if not self.steps:
            raise StoreUnavailable("too slow")
        return {"days_of_steps": 1}

    async def note(self, by: str, what: str, target: str, detail: dict[str, Any]) -> None:
        self.notes.append(detail)


def _upkeep(night: Night, clock: VirtualClock) -> Upkeep:
    table = RetentionTable(people_days=30, steps_days=30, hour_utc=3)

    async def changed(lists: tuple[int, ...]) -> None:
        return None

    return Upkeep(night, clock, table, changed, proof_years=3)  # type: ignore[arg-type]


def test_a_night_s_work_too_much_for_the_database_is_not_asked_again_and_again() -> None:
    """It was asked again every five seconds, for as long as the daemon ran."""

    async def main(loop: VirtualLoop) -> None:
        night, clock = Night(steps=False), VirtualClock(loop)
        working = asyncio.create_task(_upkeep(night, clock).run())
        clock.skew += timedelta(days=1)
        await asyncio.sleep(3600.0)
        assert 1 < night.asked <= 6
        night.steps = True
        await asyncio.sleep(1200.0)
        asked = night.asked
        assert night.notes and night.notes[-1]["days_of_steps"] == 1
        await asyncio.sleep(7200.0)
        assert night.asked == asked, "done: not before the next night"
        working.cancel()

    run(main, seed=2)


def test_one_person_who_cannot_be_forgotten_keeps_none_of_the_others() -> None:
    async def main(loop: VirtualLoop) -> None:
        night = Night(people=9, broken=("+33612340002", "+33612340005"))
        counts = await _upkeep(night, VirtualClock(loop)).retain()
        assert counts["people"] == len(night.erased) == 7 and night.asked == 1
        gone = Night(people=9, broken=tuple(e164 for _, e164 in night.people))
        with pytest.raises(StoreUnavailable):
            await _upkeep(gone, VirtualClock(loop)).retain()

    run(main, seed=2)
