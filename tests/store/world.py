"""A small world for the store's tests: a clock that stands still, a campaign with a list, and facts with numbers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.facts import AnyFact, NumberedFact
from daemon.calls.ids import uuid7
from daemon.calls.lead_records import Intent, Lead, LeadDraft, Lease
from daemon.calls.records import Campaign, Client, Group, LeadList, LeadOrder
from daemon.ports import Store

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
PARIS = "Europe/Paris"
SITE = "s1"
LEASE_S = 600.0
"""PostgreSQL ends it by its own clock: a slow machine must not lose it in mid-test."""


class FixedClock:
    """Time moves when told to."""

    def __init__(self, utc: datetime = START) -> None:
        self.utc, self.monotonic = utc, 1000.0

    def now(self) -> float:
        return self.monotonic

    def utcnow(self) -> datetime:
        return self.utc

    def forward(self, seconds: float) -> None:
        self.monotonic += seconds
        self.utc += timedelta(seconds=seconds)


async def until(condition: Callable[[], bool]) -> None:
    """Let the other tasks run until it holds; 90 s at most."""
    async with asyncio.timeout(90):
        while not condition():  # noqa: ASYNC110 - what is waited for raises no event
            await asyncio.sleep(0.001)


@dataclass
class World:
    """One campaign of one client, on one site, with the lease in hand."""

    store: Store
    clock: FixedClock
    group: Group
    client: Client
    listed: LeadList
    campaign: Campaign
    lease: Lease
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    n: int = 0

    async def later(self, seconds: float) -> None:
        """Time passes, and the lease is held on to (memory's lives by this clock, PostgreSQL's by its own)."""
        self.clock.forward(seconds)
        lease = await self.store.acquire_lease(SITE, self.lease.holder, LEASE_S)
        assert lease is not None
        self.lease, self.n = lease, 0

    async def leads(self, *numbers: str, **fields: Any) -> list[int]:
        """Leads with these numbers in the campaign's list."""
        return await self.store.add_leads(self.listed.id, [LeadDraft(e164=e164, **fields) for e164 in numbers])

    async def claim(self, count: int = 10, zones: Sequence[str] = (PARIS,)) -> list[Lead]:
        return await self.store.claim_leads(self.campaign.id, count, self.clock.utcnow(), zones, SITE, self.lease.fence)

    def intent(self, e164: str = "+33612345678", lead_id: int = 0, **fields: Any) -> Intent:
        values: dict[str, Any] = {
            "attempt_id": uuid7(self.clock.utcnow(), self.rng),
            "site": SITE,
            "kind": "campaign",
            "group_id": self.group.id,
            "campaign_id": self.campaign.id,
            "client_id": self.client.id,
            "lead_id": lead_id,
            "e164": e164,
            "line_id": 3,
            "caller_id": "+33184880000",
            "agent_id": 0,
            "rule_set": "fr-b2c-2026",
            "attempts_max": 4,
            "attempts_days": 30,
            "at": self.clock.utcnow(),
        }
        return Intent(**(values | fields))

    async def place(self, e164: str = "+33612345678", lead_id: int = 0, **fields: Any) -> UUID:
        """An attempt in progress."""
        intent = self.intent(e164, lead_id, **fields)
        assert await self.store.commit_intents([intent], self.lease), "the intent was refused"
        return intent.attempt_id

    def numbered(self, *facts: AnyFact, fence: int | None = None) -> list[NumberedFact]:
        """The next facts of the site."""
        rows = []
        for fact in facts:
            self.n += 1
            rows.append(NumberedFact(site=SITE, fence=fence or self.lease.fence, n=self.n, fact=fact))
        return rows

    async def apply(self, *facts: AnyFact, fence: int | None = None) -> list[NumberedFact]:
        rows = self.numbered(*facts, fence=fence)
        await self.store.apply_facts(rows)
        return rows

    def ended(self, attempt_id: UUID, outcome: Outcome, lead_id: int = 0, **fields: Any) -> f.AttemptEnded:
        given: dict[str, Any] = {
            "at": self.clock.utcnow(),
            "attempt_id": attempt_id,
            "campaign_id": self.campaign.id,
            "client_id": self.client.id,
            "lead_id": lead_id,
            "outcome": outcome,
        }
        return f.AttemptEnded(**(given | fields))

    def disposed(self, attempt_id: UUID, lead_id: int, code: str, **fields: Any) -> f.DispositionSet:
        given: dict[str, Any] = {
            "at": self.clock.utcnow(),
            "attempt_id": attempt_id,
            "campaign_id": self.campaign.id,
            "client_id": self.client.id,
            "lead_id": lead_id,
            "agent_id": 4,
            "code": code,
        }
        return f.DispositionSet(**(given | fields))


async def make_world(store: Store, clock: FixedClock, order: LeadOrder = LeadOrder.OLDEST) -> World:
    group = await store.create(Group(code="acme"))
    client = await store.create(Client(group_id=group.id, name="Advertiser"))
    listed = await store.create(LeadList(group_id=group.id, name="November"))
    campaign = await store.create(
        Campaign(group_id=group.id, client_id=client.id, name="Fibre", site=SITE, list_ids=[listed.id], order=order)
    )
    lease = await store.acquire_lease(SITE, "daemon-a", LEASE_S)
    assert lease is not None
    return World(store, clock, group, client, listed, campaign, lease)
