"""PostgreSQL itself: the embedded server, the migrations, the append-only log, errors mapped, the lease's own clock."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import stat
from pathlib import Path

import asyncpg
import pytest

from daemon.calls import facts as f
from daemon.calls.ids import uuid7
from daemon.errors import SettingsError, StoreConflict, StoreError, StoreUnavailable
from daemon.store import EmbeddedPostgres, PostgresStore, embedded
from daemon.store.embedded import account_to_use, closed_parent
from daemon.store.migrate import migrate, pending, shipped
from tests.store.conftest import throw_away
from tests.store.world import SITE, START, FixedClock, make_world, until


async def test_the_server_stops_starts_again_and_keeps_its_rows() -> None:
    with throw_away() as folder:
        server = EmbeddedPostgres(folder / "pg", durable=False, tied=True)
        async with server:
            connection = await asyncpg.connect(server.dsn())
            await connection.execute("CREATE TABLE t AS SELECT 7 AS x")
            assert await connection.fetchval("SHOW data_checksums") == "on"
            assert await connection.fetchval("SHOW timezone") == "UTC"
            assert await connection.fetchval("SHOW listen_addresses") == ""
            assert await connection.fetchval("SELECT datcollate FROM pg_database LIMIT 1") == "C"
            await connection.close()
            assert stat.S_IMODE((folder / "pg").stat().st_mode) == 0o700
            assert stat.S_IMODE(folder.stat().st_mode) == 0o711, "a parent folder is never opened or closed"
            second = EmbeddedPostgres(folder / "pg", durable=False)
            assert await second.start() == server.dsn(), "a running server is used"
            await second.stop()
            assert server.running
        assert not server.running
        (folder / "pg" / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n/elsewhere\n0\n5432\n")
        async with server:  # a pid file left by the dead, its number taken by another process
            connection = await asyncpg.connect(server.dsn())
            assert await connection.fetchval("SELECT x FROM t") == 7
            await connection.close()


async def test_a_killed_server_recovers() -> None:
    with throw_away() as folder:
        server = EmbeddedPostgres(folder / "pg", tied=True)
        async with server:
            connection = await asyncpg.connect(server.dsn())
            await connection.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS x")
            await connection.close()
            assert server._process is not None
            server._process.kill()
            assert await server.wait() != 0
        async with server:
            connection = await asyncpg.connect(server.dsn())
            assert await connection.fetchval("SELECT count(*) FROM t") == 1000
            await connection.close()


async def test_a_folder_that_cannot_be_used_is_one_clear_error() -> None:
    with throw_away() as folder:
        (folder / "file").write_text("")
        with pytest.raises(SettingsError, match="a folder is needed"):
            await EmbeddedPostgres(folder / "file" / "pg").start()
        if os.geteuid() == 0:
            closed = folder / "closed"
            closed.mkdir(mode=0o700)
            with pytest.raises(SettingsError, match="may not pass through"):
                await EmbeddedPostgres(closed / "pg").start()
            assert stat.S_IMODE(closed.stat().st_mode) == 0o700


async def test_a_closed_home_does_not_keep_the_servers_user_from_its_binaries(monkeypatch: pytest.MonkeyPatch) -> None:
    binaries = embedded.wheel_binaries()
    account = account_to_use()
    if not account.switch:
        assert embedded._reachable_binaries(account) == binaries, "our own are ours to run"
        return
    with throw_away() as folder:
        home = folder / "home"
        home.mkdir(mode=0o700)
        package = binaries.parents[1]
        for name in (package.name, f"{package.name}.libs"):
            shutil.copytree(package.with_name(name), home / name, symlinks=True)
        closed = home / binaries.relative_to(package.parent)
        monkeypatch.setattr(embedded, "wheel_binaries", lambda: closed)
        monkeypatch.setattr(embedded, "SHARED_BINARIES", folder / "shared")
        async with EmbeddedPostgres(folder / "pg", durable=False, tied=True) as server:
            connection = await asyncpg.connect(server.dsn())
            assert await connection.fetchval("SELECT 1") == 1
            await connection.close()
        assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_the_server_never_runs_as_root() -> None:
    account = account_to_use()
    assert account.uid != 0
    assert closed_parent(Path("/tmp"), account) is None


async def test_migrations_are_applied_once_even_by_several_daemons(postgres: EmbeddedPostgres) -> None:
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    await admin.execute("CREATE DATABASE migrations")
    connections = [await asyncpg.connect(postgres.dsn("migrations")) for _ in range(3)]
    assert [step.name for step in await pending(connections[0])] == [step.name for step in shipped()]
    done = await asyncio.gather(*(migrate(connection) for connection in connections))
    assert sorted(name for names in done for name in names) == [step.name for step in shipped()]
    assert await pending(connections[0]) == []
    await connections[0].execute("UPDATE schema_migrations SET sha256 = 'x' WHERE number = 1")
    with pytest.raises(StoreError, match="another text"):
        await migrate(connections[1])
    for connection in connections:
        await connection.close()
    await admin.execute("DROP DATABASE migrations")
    await admin.close()


@pytest.mark.feature("ROLE-03", clause="audit log append-only, enforced by the database")
async def test_the_audit_log_can_only_grow(database: str, clock: FixedClock) -> None:
    store = PostgresStore(database, clock)
    await store.open()
    world = await make_world(store, clock)
    await world.apply(f.AuditFact(at=START, by="anna", what="x"))
    async with store._database.connection() as connection:
        for change in ("UPDATE audit_log SET by = 'b'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
                await connection.execute(change)
    await store.close()


async def test_a_lease_ends_by_the_databases_clock(database: str) -> None:
    first, second = (PostgresStore(database, FixedClock()) for _ in range(2))
    await first.open()
    await second.open()
    assert await first.acquire_lease(SITE, "a", 60.0) is not None
    assert await second.acquire_lease(SITE, "b", 60.0) is None
    lease = await first.acquire_lease(SITE, "a", 0.2)
    assert lease is not None
    async with asyncio.timeout(60):
        while (taken := await second.acquire_lease(SITE, "b", 60.0)) is None:  # noqa: ASYNC110 - time alone ends it
            await asyncio.sleep(0.05)
    assert taken.fence == lease.fence + 1
    assert not await first.renew_lease(lease)
    await first.close()
    await second.close()


async def test_one_notification_a_commit(database: str, clock: FixedClock) -> None:
    store = PostgresStore(database, clock)
    await store.open()
    world = await make_world(store, clock)
    listener = await asyncpg.connect(database)
    heard: list[object] = []
    await listener.add_listener("cadran", lambda *words: heard.append(words[-1]))
    rows = await world.apply(*[f.AuditFact(at=START, by="anna", what="x")] * 5)
    await store.apply_facts(rows)  # nothing new: nobody is woken
    await world.apply(f.AuditFact(at=START, by="anna", what="y"))
    await until(lambda: len(heard) >= 2)
    await listener.fetchval("SELECT 1")
    assert heard == [SITE, SITE]
    await listener.close()
    await store.close()


async def test_errors_of_the_database_are_ours(database: str, clock: FixedClock) -> None:
    hasty = PostgresStore(database, clock, pool_size=1, statement_timeout_s=5.0)
    await hasty.open()
    with pytest.raises(StoreUnavailable):
        async with hasty._database.connection() as connection:
            await connection.execute("SELECT pg_sleep(300)")
    await hasty.close()
    store = PostgresStore(database, clock, pool_size=3)
    await store.open()
    with pytest.raises(StoreConflict):
        async with store._database.connection() as connection:
            await connection.execute("SELECT 1/0")
    async with store._database.connection() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        await connection.fetch(f"{others} AND pid <> pg_backend_pid()")
    await store.ping()
    await store.close()
    nowhere = PostgresStore("postgresql:///x?host=/nonexistent&user=x", clock)
    with pytest.raises(StoreUnavailable):
        await nowhere.open()


async def test_a_late_intent_of_a_closed_attempt_waits_for_the_void(database: str, clock: FixedClock) -> None:
    """The commit of an intent is on its way while its end, as not placed, is applied: whichever comes first, no attempt
    stays open."""
    store = PostgresStore(database, clock, pool_size=4)
    await store.open()
    world = await make_world(store, clock)
    rng = random.Random(2)
    for _ in range(30):
        intent = world.intent(f"+336{rng.randrange(10**8):08d}", attempt_id=uuid7(START, rng))
        end = world.numbered(world.ended(intent.attempt_id, f.Outcome.NOT_PLACED, counted=False))
        await asyncio.gather(store.commit_intents([intent], world.lease), store.apply_facts(end))
    assert await store.open_attempts(SITE) == []
    await store.close()


async def test_counts_stay_right_and_small_however_many_changes(database: str, clock: FixedClock) -> None:
    store = PostgresStore(database, clock)
    await store.open()
    world = await make_world(store, clock)
    await world.leads("+33612345678", "+33698765432")
    for _ in range(300):
        await world.claim()
        await store.release_claims(SITE)
    assert await store.callable_counts(world.campaign.id, clock.utcnow()) == {"due": 2}
    async with store._database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM lead_counts") < 10
    assert await store.callable_counts(world.campaign.id, clock.utcnow()) == {"due": 2}
    await store.close()
