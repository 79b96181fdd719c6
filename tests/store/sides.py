"""Memory and PostgreSQL given the same work, whose every answer must be the same: the ground of the state machine."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from daemon.calls.facts import AnyFact, NumberedFact
from daemon.calls.ids import uuid7
from daemon.calls.lead_records import LeadDraft, Lease
from daemon.calls.records import Campaign, Client, Group, LeadList, LeadOrder
from daemon.errors import StoreConflict
from daemon.ports import Store
from daemon.store import MemoryStore, PostgresStore
from tests.store.world import SITE, START, FixedClock

ZONES = ["Europe/Paris", "Indian/Reunion"]
NUMBERS = [f"+336123400{i:02d}" for i in range(12)]
ALL_TABLES = (
    "lead_counts, groups, clients, lists, campaigns, site_leases, sites, fact_marks, leads, attempts, attempt_voids,"
    " call_event, agent_states, callbacks, dnc, consents, refusals, ledger"
)
"""What the steps write, parents first; the counts, which a deletion changes too, before all."""
WITH_IDENTITY = ("groups", "clients", "lists", "campaigns", "leads")


class Sides(RuleBasedStateMachine):
    """The two stores, and what must be equal. The steps are a subclass' own."""

    steps = 0
    loop: asyncio.AbstractEventLoop
    postgres: PostgresStore

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    async def _answer(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await work
        except StoreConflict as error:
            return ("conflict", error.field)

    def ask(self, name: str, *arguments: Any, **named: Any) -> Any:
        """The answer, which must be the same on both."""
        first, second = (self.run(self._answer(getattr(each, name)(*arguments, **named))) for each in self.stores)
        assert first == second, f"{name}{arguments}: memory {first!r}, PostgreSQL {second!r}"
        return first

    @initialize(order=st.sampled_from([LeadOrder.OLDEST, LeadOrder.NEWEST, LeadOrder.PRIORITY, LeadOrder.ATTEMPTS]))
    def begin(self, order: LeadOrder) -> None:
        self.clock = FixedClock()
        self.rng = random.Random(4)
        self.memory = MemoryStore(self.clock)
        self.stores: tuple[Store, Store] = (self.memory, self.postgres)
        self.postgres._clock = self.clock
        self.run(self.memory.open())
        self.run(self._empty(self.postgres))
        self.group = self.ask("create", Group(code="g"))
        self.clients = [self.ask("create", Client(group_id=self.group.id, name=name)) for name in ("a", "b")]
        self.lists = [self.ask("create", LeadList(group_id=self.group.id, name=name)) for name in ("x", "y")]
        first, second = (each.id for each in self.lists)
        self.campaigns = [
            self.ask(
                "create",
                Campaign(group_id=1, client_id=client.id, name=client.name, site=SITE, list_ids=ids, order=order),
            )
            for client, ids in zip(self.clients, ([first, second], [second]), strict=True)
        ]
        self.fence, self.n = 0, 0
        self.attempts: list[tuple[UUID, int]] = []
        self.applied: list[NumberedFact] = []
        self.take_over()
        drafts = [LeadDraft(e164=e164, priority=9 if i % 2 else 5, tz_group=ZONES[0]) for i, e164 in enumerate(NUMBERS)]
        for each in self.lists:
            self.ask("add_leads", each.id, drafts[:4])

    async def _places(self) -> list[tuple[Any, ...]]:
        """What no search shows, and the next claim depends on."""
        async with self.postgres._database.connection() as connection:
            rows = await connection.fetch(
                "SELECT id, turn, claimed_by, claimed_fence, claimed_campaign_id FROM leads ORDER BY id"
            )
        return [tuple(row.values()) for row in rows]

    async def _empty(self, store: PostgresStore) -> None:
        tables = ALL_TABLES.split(", ")
        statements = [f"DELETE FROM {name}" for name in reversed(tables)]
        statements += [f"ALTER TABLE {name} ALTER COLUMN id RESTART" for name in WITH_IDENTITY]
        async with store._database.transaction() as connection:
            await connection.execute("; ".join(statements))

    def teardown(self) -> None:
        if hasattr(self, "campaigns") and sys.exc_info()[0] is None:
            self.compare()

    @rule()
    def take_over(self) -> None:
        # Both fences rise together; the ttl is long, since PostgreSQL's lease lives by the real clock.
        first, second = (self.run(each.acquire_lease(SITE, "me", 3600.0)) for each in self.stores)
        assert first is not None and second is not None
        # How long the former holder was silent is told by two clocks: memory's by ours, PostgreSQL's by its own.
        assert msgspec.structs.replace(first, silent_s=0.0) == msgspec.structs.replace(second, silent_s=0.0)
        self.lease: Lease = first
        self.fence, self.n = self.lease.fence, 0

    def apply(self, fact: AnyFact, fence: int | None = None) -> None:
        self.n += 1
        numbered = NumberedFact(site=SITE, fence=fence or self.fence, n=self.n, fact=fact)
        self.applied.append(numbered)
        self.ask("apply_facts", [numbered])

    def lead(self, index: int) -> int:
        """A lead there is, or, now and then, one there isn't."""
        return 999 if index == 30 else 1 + index % max(1, len(self.memory.tables.leads))

    def _pick(self, index: int) -> tuple[UUID, int]:
        if not self.attempts:
            return uuid7(START, self.rng), 1
        going_on = [(row.id, row.lead_id) for row in self.memory.tables.open.values()]
        some = going_on if going_on and index % 3 else self.attempts
        return some[index % len(some)]

    def _until(self, seconds: int | None) -> Any:
        return None if seconds is None else self.clock.utcnow() + timedelta(seconds=seconds)

    # -- what must always be equal ---------------------------------------------------------------------------------

    @invariant()
    def everything_is_equal(self) -> None:
        self.steps += 1
        if self.steps % 8 == 0:  # each look costs twenty queries; most differences stay
            self.compare()

    def held(self, list_ids: list[int], reason: str) -> list[dict[str, Any]]:
        """The leads of a reason, three at a time."""
        rows: list[dict[str, Any]] = []
        after: str | None = ""
        while after is not None:
            page = self.ask("held_leads", list_ids, reason, self.clock.utcnow(), 3, after)
            rows, after = rows + page.rows, page.next_after
        return rows

    def compare(self) -> None:
        """Everything a door can see, and the leads' places."""
        leads = self.ask("search_leads", self.group.id, {}, 1000, None).rows
        for campaign in self.campaigns:
            counts = self.ask("callable_counts", campaign.id, self.clock.utcnow())
            assert sum(counts.values()) == sum(row["list_id"] in campaign.list_ids for row in leads)
            self.ask("lead_counts", campaign.id, self.clock.utcnow())
            if campaign is self.campaigns[self.steps // 8 % 2]:
                for reason, n in counts.items():
                    assert len(self.held(campaign.list_ids, reason)) == n, reason
        self.ask("list_counts", self.group.id, self.clock.utcnow())
        calls = [self.run(store.search_attempts(None, {}, 1000, None)).rows for store in self.stores]
        for row in calls[0] + calls[1]:
            del row["number"]  # PostgreSQL's numbers have holes where an intent was refused
        assert calls[0] == calls[1]
        assert self.run(self._places()) == [
            (row.id, row.turn, row.claimed_by, row.claimed_fence, row.claimed_campaign_id)
            for _, row in sorted(self.memory.tables.leads.items())
        ]
        for name in ("callbacks", "dnc", "agent_states", "refusals_by_day"):
            self.ask("report", name)
        for lead in leads[:5]:
            self.ask("lead_facts", lead["id"])
