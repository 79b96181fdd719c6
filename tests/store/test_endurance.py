"""What a large, busy or half-broken PostgreSQL must not do to the daemon: cut its schema short, keep it from its facts
while somebody reads, set facts aside that were never at fault, or starve calls behind reports."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest

from daemon.calls import facts as f
from daemon.errors import StoreBusy, StoreUnavailable
from daemon.store import Journal, MemoryFiles, PostgresStore, database, migrate
from daemon.store.migrate import Migration, shipped
from daemon.store.writer import FactWriter
from tests.store.world import SITE, START, FixedClock, World, make_world


@pytest.fixture
async def store(database: str, clock: FixedClock) -> AsyncIterator[PostgresStore]:
    """One with three connections."""
    made = PostgresStore(database, clock, pool_size=3, statement_timeout_s=20.0)
    await made.open()
    yield made
    await made.close()


@asynccontextmanager
async def a_backup(dsn: str) -> AsyncIterator[None]:
    """Somebody who reads the steps of calls, as a backup does, for the length of the block."""
    reader = await asyncpg.connect(dsn)
    try:
        async with reader.transaction():
            await reader.execute("LOCK TABLE call_event IN ACCESS SHARE MODE")
            await reader.fetchval("SELECT count(*) FROM call_event")
            yield
    finally:
        await reader.close()


async def test_a_long_migration_is_not_cut_short(
    database: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut after the deadline of ordinary statements it began anew at each start: the daemon never came up again."""
    steps = shipped()
    long = Migration(len(steps) + 1, f"{len(steps) + 1:04d}_long.sql", "SELECT pg_sleep(6.5)")
    monkeypatch.setattr(migrate, "shipped", lambda: [*steps, long])
    store = PostgresStore(database, clock, statement_timeout_s=5.0)
    await store.open()
    async with store._database.connection() as connection:
        assert await connection.fetchval("SELECT max(number) FROM schema_migrations") == long.number
    await store.close()


async def test_a_backup_keeps_no_fact_and_no_start_waiting(
    store: PostgresStore, database: str, clock: FixedClock
) -> None:
    world = await make_world(store, clock)
    attempt = await world.place()
    async with a_backup(database):
        clock.forward(timedelta(days=30).total_seconds())  # days that have no table yet
        step = f.CallEventFact(at=clock.utc, attempt_id=attempt, campaign_id=world.campaign.id, kind="answered")
        await world.apply(step)
        again = PostgresStore(database, clock, pool_size=1, statement_timeout_s=20.0)
        await again.open()
        await again.close()
    row = await store.attempt(attempt)
    assert row is not None and [event["kind"] for event in row["events"]] == ["answered"]


async def test_retention_leaves_what_a_backup_reads_to_another_night(
    store: PostgresStore, database: str, clock: FixedClock
) -> None:
    world = await make_world(store, clock)
    await store.log_api_call({"created_at": clock.utc, "endpoint": "click2call"})
    clock.forward(timedelta(days=30).total_seconds())
    async with a_backup(database):
        left = await store.purge_steps(clock.utc - timedelta(days=5))
    assert (left["days_of_steps"], left["api_calls"]) == (0, 1), "the rest is done all the same"
    gone = await store.purge_steps(clock.utc - timedelta(days=5))
    assert gone["days_of_steps"] >= 1
    attempt = await world.place()
    late = f.CallEventFact(at=START, attempt_id=attempt, campaign_id=world.campaign.id, kind="answered")
    await world.apply(late)  # a step of a day that was dropped: its table is made anew
    row = await store.attempt(attempt)
    assert row is not None and len(row["events"]) == 1


async def test_what_an_import_left_behind_goes_in_the_night(
    store: PostgresStore, database: str, clock: FixedClock
) -> None:
    day = int(clock.utc.timestamp()) // 86_400
    async with store._database.connection() as connection:
        await connection.execute(f"CREATE TABLE lead_staging_{day}_1_1 (x text)")
    for nights, left in ((1, 1), (2, 0)):
        clock.forward(timedelta(days=1).total_seconds())
        await store.purge_steps(clock.utc - timedelta(days=400))
        async with store._database.connection() as connection:
            found = await connection.fetch("SELECT 1 FROM pg_tables WHERE starts_with(tablename, 'lead_staging_')")
        assert len(found) == left, nights


async def test_facts_wait_for_a_database_that_is_not_as_it_should_be(store: PostgresStore, clock: FixedClock) -> None:
    """Tables missing, rights taken away, pages damaged: no fact is at fault, so none is set aside."""
    journal = Journal.open(MemoryFiles(), SITE)
    journal.begin(1)
    rejected: list[object] = []
    writer = FactWriter(journal, store, clock, random.Random(1), on_rejected=lambda fact, error: rejected.append(error))
    journal.append([f.AuditFact(at=START, by="anna", what=f"note {n}") for n in range(3)])
    async with store._database.connection() as connection:
        await connection.execute("ALTER TABLE audit_log RENAME TO elsewhere")
    with pytest.raises(StoreUnavailable):
        await writer.flush()
    assert (journal.pending_count, rejected) == (3, [])
    async with store._database.connection() as connection:
        await connection.execute("ALTER TABLE elsewhere RENAME TO audit_log")
    await writer.flush()
    assert [row["what"] for row in await store.report("audit")] == ["note 2", "note 1", "note 0"]


async def test_reports_and_downloads_leave_connections_to_the_calls(
    store: PostgresStore, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever downloads over a slow line, or asks for a heavy report again and again, waits for others of their kind:
    the lease, claims and intents never do."""
    world: World = await make_world(store, clock)
    await world.leads("+33612345678", "+33612345679")
    download = store.stream("leads")
    assert (await anext(download))["e164"] == "+33612345678"
    rooms = {bound.name: (bound.used, bound.limit) for bound in store.bounds()}
    assert rooms["store_readers"] == rooms["store_downloads"] == (1, 1)
    with monkeypatch.context() as patch:
        patch.setattr(database, "ACQUIRE_TIMEOUT_S", 0.1)
        for asked in (store.report("totals"), store.search_leads(world.group.id, {"q": "Durand"}, 10, None)):
            with pytest.raises(StoreBusy, match="in use"):
                await asked
        with pytest.raises(StoreBusy, match="in use"):
            await anext(store.stream_attempts(None, {}))
    assert await store.renew_lease(world.lease) and len(await world.claim()) == 2
    await world.place("+33612345678")
    await download.aclose()  # type: ignore[attr-defined]
    assert (await store.report("totals"))[0]["attempts"] == 1
