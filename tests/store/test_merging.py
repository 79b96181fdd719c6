"""Leads of the base that take a file's values, on PostgreSQL: calls go on meanwhile, and a cut import is finished."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest

from daemon.calls.causes import Outcome
from daemon.leads.upkeep import Upkeep
from daemon.ports import ImportCounts, ImportTarget
from daemon.settings import RetentionTable
from daemon.store import PostgresStore, merging
from daemon.store.pseudonyms import Pseudonyms
from tests.store.test_staging import staged
from tests.store.world import FixedClock, World, make_world

NUMBERS = [f"+3361234567{n}" for n in range(6)]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "STEP", 2)


@asynccontextmanager
async def opened(database: str, clock: FixedClock) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(database, clock, pool_size=5)
    await store.open()
    await store.use_pseudonyms(Pseudonyms(b"k" * 32))
    yield store
    await store.close()


@asynccontextmanager
async def somebody_holds(database: str, lead_id: int) -> AsyncIterator[None]:
    """A transaction that is open for long on one lead: the import can't end before it."""
    connection = await asyncpg.connect(database)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM leads WHERE id = $1 FOR UPDATE", lead_id)
            yield
    finally:
        await connection.close()


async def importing(world: World, store: PostgresStore) -> asyncio.Task[ImportCounts]:
    """A file with all of them, and somebody new, under way."""
    target = ImportTarget(list_id=world.listed.id, group_id=world.group.id, duplicates="merge")
    staging = await store.open_staging(target)
    await staging.stage([staged(n, e164, city="Aix") for n, e164 in enumerate([*NUMBERS, "+33699999999"], 1)])
    return asyncio.create_task(staging.finish(world.clock.utcnow()))


async def cities(world: World) -> list[str]:
    """Of the leads in the base's order, the new one last."""
    return [row["city"] for row in (await world.store.search_leads(world.group.id, {}, 100, None)).rows[::-1]]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - the database is asked
            await asyncio.sleep(0.02)


async def all_but_one_written(world: World) -> None:
    """Until the import has only the lead left that somebody holds."""

    async def written() -> bool:
        return (await cities(world)).count("Aix") == 6

    await until(written)


async def tables(database: str) -> list[str]:
    connection = await asyncpg.connect(database)
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE tablename ~ '^lead_(staging|merging)_'")
    await connection.close()
    return [row["tablename"] for row in rows]


@pytest.mark.feature("IMPT-07", clause="the end of a call waits for no import that writes its lead")
async def test_calls_go_on_while_their_leads_are_imported(database: str, clock: FixedClock) -> None:
    async with opened(database, clock) as store:
        world = await make_world(store, clock)
        await world.leads(*NUMBERS)
        leads = await world.claim(2)
        placed = [await world.place(lead.e164, lead.id) for lead in leads]
        async with somebody_holds(database, leads[-1].id + 3):
            work = await importing(world, store)
            await all_but_one_written(world)
            assert not work.done()
            async with asyncio.timeout(60):
                for lead, attempt in zip(leads, placed, strict=True):
                    await world.apply(world.ended(attempt, Outcome.CONNECTED, lead.id))
                assert await world.claim(2), "others of the list are claimed"
                await store.set_dnc(world.client.id, NUMBERS[0], True, "a", "b")
        assert await work == ImportCounts(inserted=1, updated=6)
        assert await cities(world) == ["Aix"] * 7
    assert await tables(database) == []


@pytest.mark.feature("IMPT-07", clause="an import that is cut as it writes leads is finished by the next daemon")
async def test_an_import_that_is_cut_is_finished(database: str, clock: FixedClock) -> None:
    async with opened(database, clock) as store:
        world = await make_world(store, clock)
        ids = await world.leads(*NUMBERS, last_name="Old")
        async with somebody_holds(database, ids[3]):
            work = await importing(world, store)
            await all_but_one_written(world)
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
        assert await cities(world) == ["Aix", "Aix", "Aix", "", "Aix", "Aix", "Aix"]
        await store.update_lead(ids[0], {"city": "Arles"})
    async with opened(database, clock) as store:
        world.store = store

        async def changed(lists: tuple[int, ...]) -> None:
            return

        working = asyncio.create_task(Upkeep(store, clock, RetentionTable(), changed, proof_years=3).run())

        async def whole() -> bool:
            return "" not in await cities(world) and not await tables(database)

        await until(whole)
        working.cancel()
        assert await cities(world) == ["Arles", *["Aix"] * 6], "none is written twice"


async def test_whoever_is_erased_meanwhile_is_not_written_again(database: str, clock: FixedClock) -> None:
    async with opened(database, clock) as store:
        world = await make_world(store, clock)
        ids = await world.leads(*NUMBERS)
        async with somebody_holds(database, ids[3]):
            work = await importing(world, store)
            await all_but_one_written(world)
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
        await store.erase_person(world.group.id, NUMBERS[3])
        assert await store.finish_merges() == 1
        assert (await cities(world))[3] == ""
    assert await tables(database) == []


async def test_a_backup_that_reads_what_is_merged_fails_no_import(
    database: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All was written, and the import was told as failed for the table it could not remove; all upkeep waited too."""
    monkeypatch.setattr(merging, "TRIES", 1)
    async with opened(database, clock) as store:
        world = await make_world(store, clock)
        ids = await world.leads(*NUMBERS)
        backup = await asyncpg.connect(database)
        async with backup.transaction():
            async with somebody_holds(database, ids[3]):
                work = await importing(world, store)
                await all_but_one_written(world)
                [table] = [name for name in await tables(database) if name.startswith(merging.PREFIX)]
                await backup.execute(f"LOCK TABLE {table} IN ACCESS SHARE MODE")
            assert await work == ImportCounts(inserted=1, updated=6)
            assert await cities(world) == ["Aix"] * 7
            assert await store.finish_merges() == 0
        await backup.close()
        assert await store.finish_merges() == 1
    assert await tables(database) == []
