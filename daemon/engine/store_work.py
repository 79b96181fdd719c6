"""What the engine asks of the store beside its loop: intents to commit, leads to claim, counts of what is due.

Answers go into the engine's inbox; a store that does not answer is one too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog

from daemon.calls.lead_records import Intent, Lead
from daemon.calls.records import CampaignState
from daemon.clock import Clock
from daemon.engine.core import EngineCore
from daemon.engine.lease import SiteLease
from daemon.engine.live import Claim
from daemon.errors import StoreError
from daemon.ports import Store

log = structlog.get_logger(__name__)

COUNTS_INTERVAL_S = 5.0
NAMES_S = 0.2
"""A caller waits no longer than this for the name that the phone shows."""
NAME_CHARS_MAX = 60


def shown_name(lead: Mapping[str, Any]) -> str:
    """A lead's name as a phone shows it, else the company's; without signs that no phone can show."""
    name = " ".join(f"{lead['first_name']} {lead['last_name']}".split()) or str(lead["company"])
    return "".join(sign for sign in name if sign.isprintable())[:NAME_CHARS_MAX]


class StoreWork:
    """One an engine. `put`: into the engine's inbox; `verify`: whether the store still has all that it confirmed."""

    def __init__(
        self,
        core: EngineCore,
        store: Store,
        clock: Clock,
        lease: SiteLease,
        put: Callable[[Callable[[], None]], None],
        verify: Callable[[], Awaitable[None]],
    ) -> None:
        self._core, self._store, self._clock, self._lease, self._put = core, store, clock, lease, put
        self._verify = verify
        self._site = core.live.site.id
        self.intents: deque[Intent] = deque()
        self.claims: deque[Claim] = deque()
        self._intents_wake = asyncio.Event()
        self._claims_wake = asyncio.Event()

    def commit(self, intents: Iterable[Intent]) -> None:
        """These go with the next commit."""
        self.intents.extend(intents)
        self._intents_wake.set()

    def claim(self, claims: Iterable[Claim]) -> None:
        """Leads are claimed for these, one after the other."""
        self.claims.extend(claims)
        self._claims_wake.set()

    async def commit_intents(self) -> None:
        """One writer, group commit: everything that has come since the last commit goes in one transaction."""
        while True:
            await self._intents_wake.wait()
            self._intents_wake.clear()
            while self.intents:
                batch = [self.intents.popleft() for _ in range(min(200, len(self.intents)))]
                asked = tuple(intent.attempt_id for intent in batch)
                try:
                    assert self._lease.held is not None
                    granted = await self._store.commit_intents(batch, self._lease.held)
                except StoreError as error:
                    log.warning("intents.store_failed", site=self._site, count=len(batch), error=str(error))
                    self._put(lambda asked=asked: self._intents_failed(asked))  # type: ignore[misc]
                    continue
                committed_at = self._clock.now()
                names = await self._names(batch)
                self._put(
                    lambda granted=granted, asked=asked, at=committed_at, names=names: self._intents_done(  # type: ignore[misc]
                        granted, asked, at, names
                    )
                )

    def _intents_done(
        self, granted: Mapping[UUID, int], asked: tuple[UUID, ...], at: float, names: Mapping[UUID, str]
    ) -> None:
        for id, name in names.items():
            if (call := self._core.live.calls.get(id)) is not None:
                call.name = name
        self._core.intents_done(granted, asked, at)

    async def _names(self, batch: Sequence[Intent]) -> dict[UUID, str]:
        """Who calls in, by name, where the campaign wants it on the phone that rings (features ZAD-16): from the leads
        of the group. What is not known within NAMES_S is not waited for."""
        calls, names = self._core.live.calls, dict[UUID, str]()
        inbound = [calls.get(intent.attempt_id) for intent in batch if intent.kind == "inbound" and intent.e164]
        wanted = [call for call in inbound if call and call.campaign and call.campaign.record.inbound.show_name]
        try:
            async with asyncio.timeout(NAMES_S if wanted else None):
                for call in wanted:
                    page = await self._store.search_leads(call.group_id, {"phone": call.e164}, 1, None)
                    if page.rows:
                        names[call.attempt_id] = shown_name(page.rows[0])
        except (StoreError, TimeoutError) as error:
            log.info("callers.unnamed", site=self._site, count=len(wanted), error=type(error).__name__)
        return names

    def _intents_failed(self, asked: tuple[Any, ...]) -> None:
        self._store_state(ok=False)
        self._core.intents_failed(asked)

    async def claim_leads(self) -> None:
        """One claim after the other."""
        while True:
            await self._claims_wake.wait()
            self._claims_wake.clear()
            while self.claims:
                claim = self.claims.popleft()
                leads: list[Lead] | None
                try:
                    assert self._lease.held is not None
                    leads = await self._store.claim_leads(
                        claim.campaign_id,
                        claim.count,
                        self._clock.utcnow(),
                        claim.open_zones,
                        self._site,
                        self._lease.held.fence,
                    )
                except StoreError as error:
                    log.warning("claim.store_failed", site=self._site, error=str(error))
                    leads = None
                self._put(lambda claim=claim, leads=leads: self._core.claimed(claim, leads))  # type: ignore[misc]

    async def count_leads(self) -> None:
        """Due and held leads of the campaigns at work, every few seconds; also tells whether the store answers."""
        while True:
            await self.count()
            await asyncio.sleep(COUNTS_INTERVAL_S if self._core.live.store_ok else 1.0)

    async def count(self, only: Iterable[int] | None = None) -> None:
        """Once; of these campaigns, None = those at work and those never counted."""
        live = self._core.live
        ids = (
            list(only)
            if only is not None
            else [c.id for c in live.campaigns.values() if c.state is not CampaignState.STOPPED or not c.lead_counts]
        )
        try:
            await self._store.ping()
            if not live.store_ok:
                await self._verify()  # before a call is placed: it may not be the same database that is back
            for id in ids:
                counts = await self._store.lead_counts(id, self._clock.utcnow())
                zones = await self._store.tz_groups(id)
                self._put(lambda id=id, counts=counts, zones=zones: self._core.counted(id, counts, zones))  # type: ignore[misc]
            ok = True
        except StoreError as error:
            log.warning("store.unavailable", site=self._site, error=str(error))
            ok = False
        self._put(lambda: self._store_state(ok=ok))

    def _store_state(self, *, ok: bool) -> None:
        live = self._core.live
        if live.store_ok is not ok:
            live.store_ok = ok
            self._core.link.all_dirty()
