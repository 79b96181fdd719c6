"""What is done to leads and history by the clock, with nobody asking: retention once a day; reviews of consent and the
ends of imports that were cut at once.

Runs beside the engine on the daemon's loop, in short transactions. What it erased or dropped is in the audit log as
counts; a database that does not answer only puts the work off.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from daemon.calls.causes import Outcome
from daemon.calls.facts import AttemptEnded, NumberedFact
from daemon.clock import Clock
from daemon.errors import StoreConflict, StoreError
from daemon.ports import LeadSink, Store
from daemon.settings import RetentionTable

log = structlog.get_logger(__name__)

LOOK_S = 5.0
"""Changed rules of a campaign show in its counts this soon; the law itself applies at once."""

PUT_OFF_S = 600.0
"""Retention that failed is tried again so much later: what was too much for the database is no less in a moment."""

FAILED_MAX = 5
"""People in a row whom the database could not forget: then it is the database, not they."""

LOST_S = 86_400.0
HOLDER = "upkeep"
LEASE_S = 30.0
"""A site that comes back just then waits no longer than this."""

REVIEW_PAGE = 5000
PEOPLE_PAGE = 500

Changed = Callable[[tuple[int, ...]], Awaitable[object]]
"""Told the lists whose leads were held or lifted."""


class Upkeep:
    """See the module's first lines."""

    def __init__(
        self, store: Store, clock: Clock, settings: RetentionTable, changed: Changed, *, proof_years: int
    ) -> None:
        """`proof_years`: how long the proof of a consent is kept after its end, whatever the settings say."""
        self._store, self._clock, self._settings, self._changed = store, clock, settings, changed
        self._proof = timedelta(days=math.ceil(365.25 * proof_years))
        self._due = self._next_run(clock.utcnow())

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                if isinstance(self._store, LeadSink) and (count := await self._store.finish_merges()):
                    log.info("imports.finished", count=count)
                await self.let_go()
                await self.review()
                if self._clock.utcnow() >= self._due:
                    self._due = self._clock.utcnow() + timedelta(seconds=PUT_OFF_S)
                    await self.retain()
                    self._due = self._next_run(self._clock.utcnow())
            except StoreError as error:
                log.warning("upkeep.put_off", error=str(error))
            await asyncio.sleep(LOOK_S)

    def _next_run(self, now: datetime) -> datetime:
        at = now.astimezone(UTC).replace(hour=self._settings.hour_utc, minute=0, second=0, microsecond=0)
        return at if at > now else at + timedelta(days=1)

    async def let_go(self) -> None:
        """What sites hold that nobody has led for a day, under whatever name: no conversation lasts so long, and nobody
        else would ever give their leads back. As a restart does it: under the lease, open attempts end `unknown`."""
        for site in await self._store.lost_sites(LOST_S):
            lease = await self._store.acquire_lease(site, HOLDER, LEASE_S)
            if lease is None:
                continue  # it is back
            now = self._clock.utcnow()
            ends = [
                AttemptEnded(
                    at=now,
                    attempt_id=row.attempt_id,
                    campaign_id=row.campaign_id,
                    lead_id=row.lead_id,
                    client_id=row.client_id,
                    agent_id=row.agent_id,
                    outcome=Outcome.UNKNOWN,
                    ended_by="daemon_down",
                )
                for row in await self._store.open_attempts(site)
            ]
            facts = [NumberedFact(site=site, fence=lease.fence, n=n, fact=end) for n, end in enumerate(ends, 1)]
            await self._store.apply_facts(facts)
            count = await self._store.release_claims(site)
            await self._store.release_lease(lease)
            log.warning("site.let_go", site=site, attempts=len(ends), leads=count)

    async def review(self) -> None:
        """Look through the lists whose campaigns' rules have changed; the engine hears of each one."""
        seen: dict[int, None] = {}
        while lists := await self._store.review_consent(REVIEW_PAGE):
            seen |= dict.fromkeys(lists)
            await asyncio.sleep(0)
        if seen:
            await self._changed(tuple(seen))

    async def retain(self) -> dict[str, int]:
        """Erase and drop what is older than the settings allow; the counts, which are audited if there are any."""
        now, settings = self._clock.utcnow(), self._settings
        counts: dict[str, int] = {}
        if settings.people_days:
            counts |= await self._people(now - timedelta(days=settings.people_days), now - self._proof)
        if settings.steps_days:
            counts |= await self._store.purge_steps(now - timedelta(days=settings.steps_days))
        detail: dict[str, Any] = {name: count for name, count in counts.items() if count}
        if detail:
            limits = {"people_days": settings.people_days, "steps_days": settings.steps_days}
            await self._store.note("retention", "retention.run", "", detail | limits)
            log.info("retention.done", **detail)
        return counts

    async def _people(self, before: datetime, proof_before: datetime) -> dict[str, int]:
        counts = {"people": 0, "files_deleted": 0, "files_left": 0}
        after: int | None = 0
        failed = 0
        while after is not None:
            people, after = await self._store.stale_people(before, after, PEOPLE_PAGE, proof_before)
            for group_id, e164 in people:
                try:
                    done = await self._store.erase_person(group_id, e164)
                except StoreError as error:
                    if isinstance(error, StoreConflict) and error.field == "open":
                        continue  # being called: not forgotten at all
                    failed += 1
                    if failed == FAILED_MAX:
                        raise
                    log.warning("retention.person_left", error=str(error))  # one must not keep all others
                    continue
                failed = 0
                counts["people"] += 1
                deleted = _delete(done["files"])
                counts["files_deleted"] += deleted
                counts["files_left"] += len(done["files"]) - deleted
        return counts


def _delete(files: list[str]) -> int:
    """Recordings of those erased; how many are gone."""
    gone = 0
    for name in files:
        try:
            Path(name).unlink(missing_ok=True)
            gone += 1
        except OSError as error:
            log.warning("retention.file_kept", error=error.strerror)
    return gone
