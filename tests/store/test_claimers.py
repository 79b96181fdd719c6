"""Several daemons claim from the same lists at once: each lead once, none forgotten, nobody waits, the order kept."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from daemon.calls.lead_records import Lead, LeadDraft, Lease
from daemon.calls.records import Campaign, Client, Group, LeadList, LeadOrder
from daemon.ports import Store
from daemon.store import MemoryStore, PostgresStore
from tests.store.world import PARIS, FixedClock, World, make_world

ZONES = [PARIS, "Indian/Reunion+974", "America/Martinique+972"]
SHUT = "Pacific/Noumea"
PERSONS = [f"+3361234{n:04d}" for n in range(150)]
PATIENCE_S = 30
"""No claim takes that long, however busy the machine; one that waits for another's end takes for ever."""


class Claimers:
    """Four daemons, a site and a campaign each: lists that overlap, people who are in several, two clients, several
    orders of calling."""

    def __init__(self, stores: list[Store], clock: FixedClock) -> None:
        self.stores, self.clock, self.rng = stores, clock, random.Random(11)
        self.leases: list[Lease] = []
        self.campaigns: list[Campaign] = []
        self.callable: dict[int, str] = {}
        """The leads that may be claimed, with the number of each."""

    async def prepare(self) -> None:
        store = self.stores[0]
        self.group = await store.create(Group(code="acme"))
        clients = self.clients = [await store.create(Client(group_id=self.group.id, name=name)) for name in ("a", "b")]
        lists = self.lists = [await store.create(LeadList(group_id=self.group.id, name=f"list {n}")) for n in range(6)]
        orders = [LeadOrder.OLDEST, LeadOrder.PRIORITY, LeadOrder.RANDOM, LeadOrder.NEWEST]
        for n, order in enumerate(orders):
            list_ids = [lists[n].id, lists[(n + 1) % 4].id, lists[4].id, lists[5].id]
            client, site = clients[n // 2], f"s{n}"
            row = Campaign(
                group_id=self.group.id, client_id=client.id, name=site, site=site, order=order, list_ids=list_ids
            )
            self.campaigns.append(await store.create(row))
            lease = await store.acquire_lease(site, "daemon", 600.0)
            assert lease is not None
            self.leases.append(lease)
        for listed in lists:
            numbers = self.rng.sample(PERSONS, 80)
            drafts = [LeadDraft(e164=e164, tz_group=self.rng.choice([*ZONES, SHUT]), priority=self.rng.randint(1, 9))
                      for e164 in numbers]  # fmt: skip
            for id, draft in zip(await store.add_leads(listed.id, drafts), drafts, strict=True):
                if id % 9 == 0:
                    await store.update_lead(id, {"blocked_by": "final"})
                elif draft.tz_group != SHUT:
                    self.callable[id] = draft.e164

    async def claim(self, n: int, count: int) -> list[Lead]:
        lease = self.leases[n]
        return await self.stores[n].claim_leads(
            self.campaigns[n].id, count, self.clock.utcnow(), ZONES, lease.site, lease.fence
        )

    async def work(self, n: int, rng: random.Random) -> list[Lead]:
        """One daemon's claims, of all sizes, until there is nothing left for it."""
        mine: list[Lead] = []
        while leads := await self.claim(n, rng.choice([1, 2, 5, 20])):
            mine += leads
        return mine


@pytest.fixture
async def four(make_store: Callable[[], Store], clock: FixedClock) -> AsyncIterator[Claimers]:
    made = Claimers([make_store() for _ in range(4)], clock)
    for store in made.stores:
        await store.open()
    await made.prepare()
    yield made
    for store in made.stores:
        await store.close()


async def test_four_claimers_take_each_lead_once_and_forget_none(four: Claimers) -> None:
    async with asyncio.timeout(PATIENCE_S):
        taken = await asyncio.gather(*(four.work(n, random.Random(n)) for n in range(4)))
    counts = Counter(lead.id for leads in taken for lead in leads)
    assert [id for id, times in counts.items() if times > 1] == []
    assert counts.keys() == four.callable.keys()


async def test_a_person_in_lists_of_four_claimers_is_called_once_for_a_client(four: Claimers) -> None:
    """The lists' rows are claimed each; of a client's, one becomes a call, whichever daemon is first."""
    some = World(
        four.stores[0], four.clock, four.group, four.clients[0], four.lists[0], four.campaigns[0], four.leases[0]
    )

    async def call(n: int) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
        wanted, placed, client_id = [], [], four.campaigns[n].client_id
        while leads := await four.claim(n, 10):
            intents = [
                some.intent(lead.e164, lead.id, site=f"s{n}", campaign_id=lead.campaign_id, client_id=client_id)
                for lead in leads
            ]
            wanted += [(client_id, lead.e164) for lead in leads]
            numbers = await four.stores[n].commit_intents(intents, four.leases[n])
            placed += [(client_id, intent.e164) for intent in intents if intent.attempt_id in numbers]
        return wanted, placed

    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*(call(n) for n in range(4)))
    wanted = {each for wants, _ in answers for each in wants}
    placed = Counter(each for _, calls in answers for each in calls)
    assert len(wanted) < len(four.callable), "some people were claimed from several lists"
    assert placed == dict.fromkeys(wanted, 1)


@pytest.fixture
async def alone(database: str, clock: FixedClock) -> AsyncIterator[World]:
    store = PostgresStore(database, clock, pool_size=3)
    await store.open()
    yield await make_world(store, clock)
    await store.close()


async def test_a_claim_goes_past_what_others_are_claiming_and_comes_back_to_it(alone: World, database: str) -> None:
    """Another daemon has the head of the order in a transaction that is not over: a claim takes what comes next, at
    once and as much as it asked for, even one lead from behind hundreds. What the other gave up is first again."""
    ids = await alone.leads(*(f"+336123{n:05d}" for n in range(900)))
    other = await asyncpg.connect(database)
    try:
        await other.execute("BEGIN")
        await other.execute("UPDATE leads SET claimed_by = 's9', claimed_fence = 1 WHERE id = ANY($1)", ids[:700])
        async with asyncio.timeout(PATIENCE_S):
            assert [lead.id for lead in await alone.claim(1)] == [ids[700]]
            assert [lead.id for lead in await alone.claim(20)] == ids[701:721]
        await other.execute("ROLLBACK")
        assert [lead.id for lead in await alone.claim(20)] == ids[:20]
    finally:
        await other.close()


@pytest.mark.parametrize("order", list(LeadOrder))
async def test_long_claims_come_in_the_same_order_from_both_stores(
    database: str, clock: FixedClock, order: LeadOrder
) -> None:
    """Queues of very different length, claims shorter and longer than there are queues."""
    stores: list[Store] = [MemoryStore(clock), PostgresStore(database, clock, pool_size=2)]
    answers: list[list[list[int]]] = []
    for store in stores:
        rng = random.Random(3)
        await store.open()
        world = await make_world(store, clock, order)
        more = [await store.create(LeadList(group_id=world.group.id, name=f"{n}", rank=5 - n)) for n in range(3)]
        list_ids = [world.listed.id, *(each.id for each in more)]
        await store.update(Campaign, world.campaign.id, {"list_ids": list_ids}, None)
        for n in range(6):
            drafts = [LeadDraft(e164=f"+33612{rng.randrange(10**6):06d}", priority=rng.choice([1, 5, 5, 5, 9, 99]),
                                tz_group=ZONES[min(2, rng.randrange(12))]) for _ in range(30)]  # fmt: skip
            await store.add_leads(list_ids[rng.choice([0, 0, 0, 1, 2, 3]) if n else 0], drafts)
        answers.append([])
        for count in (1, 2, 7, 12, 40, 3, 90, 200):
            answers[-1].append([lead.id for lead in await world.claim(count, ZONES)])
        await store.close()
    assert answers[0] == answers[1]
    assert [len(ids) for ids in answers[0]][:7] == [1, 2, 7, 12, 40, 3, 90] and sum(map(len, answers[0])) == 180
