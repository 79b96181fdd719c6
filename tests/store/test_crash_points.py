"""The in-memory store's crash points: before a commit nothing was done, after it everything was, whoever asks later."""

from __future__ import annotations

import pytest

from daemon.calls.causes import Outcome
from daemon.errors import StoreUnavailable
from daemon.store import MemoryStore, MemoryTables, PostgresStore
from tests.store.world import LEASE_S, FixedClock, World, make_world


class Crash:
    """Fails the named operation once, before or after its commit."""

    def __init__(self) -> None:
        self.before_op = self.after_op = ""

    async def before(self, op: str) -> None:
        if op == self.before_op:
            self.before_op = ""
            raise StoreUnavailable("before the commit")

    async def after(self, op: str) -> None:
        if op == self.after_op:
            self.after_op = ""
            raise StoreUnavailable("after the commit")


@pytest.fixture
async def crash() -> Crash:
    return Crash()


@pytest.fixture
async def world(clock: FixedClock, crash: Crash) -> World:
    store = MemoryStore(clock, tables=MemoryTables(), faults=crash)
    await store.open()
    return await make_world(store, clock)


async def test_an_intent_whose_answer_was_lost_is_there_once(world: World, crash: Crash) -> None:
    intent = world.intent()
    crash.after_op = "commit_intents"
    with pytest.raises(StoreUnavailable):
        await world.store.commit_intents([intent], world.lease)
    assert await world.store.commit_intents([intent], world.lease) == {}, "tried again, it is not granted twice"
    [row] = await world.store.open_attempts(world.lease.site)
    assert row.attempt_id == intent.attempt_id


async def test_an_intent_that_failed_before_its_commit_is_not_there(world: World, crash: Crash) -> None:
    intent = world.intent()
    crash.before_op = "commit_intents"
    with pytest.raises(StoreUnavailable):
        await world.store.commit_intents([intent], world.lease)
    assert await world.store.open_attempts(world.lease.site) == []
    assert list(await world.store.commit_intents([intent], world.lease)) == [intent.attempt_id]


@pytest.mark.parametrize("point", ["before_op", "after_op"])
async def test_facts_tried_again_count_once(world: World, crash: Crash, point: str) -> None:
    [lead_id] = await world.leads("+33612345678")
    [lead] = await world.claim()
    attempt = await world.place(lead.e164, lead_id)
    rows = world.numbered(world.ended(attempt, Outcome.BUSY, lead_id))
    setattr(crash, point, "apply_facts")
    with pytest.raises(StoreUnavailable):
        await world.store.apply_facts(rows)
    await world.store.apply_facts(rows)
    [again] = await world.claim()
    assert again.attempts == 1


async def test_what_one_daemon_wrote_another_reads(world: World, clock: FixedClock) -> None:
    attempt = await world.place()
    assert isinstance(world.store, MemoryStore)
    await world.store.close()
    heir = MemoryStore(clock, tables=world.store.tables)
    await heir.open()
    site = world.lease.site
    assert await heir.acquire_lease(site, "daemon-b", LEASE_S) is None, "the dead holder's lease runs out first"
    clock.forward(LEASE_S)
    lease = await heir.acquire_lease(site, "daemon-b", LEASE_S)
    assert lease is not None
    assert lease.fence == world.lease.fence + 1
    assert lease.silent_s == pytest.approx(LEASE_S)
    assert [row.attempt_id for row in await heir.open_attempts(world.lease.site)] == [attempt]


async def test_a_claim_whose_answer_was_lost_is_given_back_by_the_next(world: World, crash: Crash) -> None:
    ids = await world.leads("+33612345678", "+33698765432")
    crash.after_op = "claim_leads"
    with pytest.raises(StoreUnavailable):
        await world.claim(1)
    assert [lead.id for lead in await world.claim(5)] == ids
    assert await world.claim(5) == []


async def test_postgres_gives_back_a_claim_whose_commit_got_no_answer(database: str, clock: FixedClock) -> None:
    store = PostgresStore(database, clock)
    await store.open()
    world = await make_world(store, clock)
    ids = await world.leads("+33612345678", "+33698765432")
    claimed = await world.claim(1)
    store._doubtful[world.lease.site, world.lease.fence] = [lead.id for lead in claimed]  # as a lost answer leaves it
    assert [lead.id for lead in await world.claim(5)] == ids
    assert await world.claim(5) == []
    await store.close()
