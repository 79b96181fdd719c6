"""Both stores under one fixture: `store` is a fresh one, in memory or on a throw-away PostgreSQL, as parametrised."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from daemon.ports import Store
from daemon.store import EmbeddedPostgres, MemoryStore, MemoryTables, PostgresStore
from daemon.store import database as database_module
from daemon.store.migrate import migrate
from tests.store.world import FixedClock, World, make_world

_TEMPLATE = "cadran_template"
_numbers = count(1)


@contextmanager
def throw_away() -> Iterator[Path]:
    """A folder that the server's user, who may not be ours, can pass through."""
    with tempfile.TemporaryDirectory(prefix="cadran-test-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server for this run, with a migrated database to clone."""
    with throw_away() as folder:
        server = EmbeddedPostgres(folder / "pg", durable=False, tied=True, tuning={"shared_buffers": "64MB"})
        asyncio.run(_start(server))
        yield server
        asyncio.run(server.stop())


async def _start(server: EmbeddedPostgres) -> None:
    await server.start()
    admin = await asyncpg.connect(server.dsn("postgres"))
    await admin.execute(f"CREATE DATABASE {_TEMPLATE}")
    await admin.close()
    connection = await asyncpg.connect(server.dsn(_TEMPLATE))
    await migrate(connection)
    await connection.close()


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The DSN of a fresh, migrated database."""
    name = f"test_{next(_numbers)}"
    asyncio.run(_execute(postgres, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy"))
    yield postgres.dsn(name)
    asyncio.run(_execute(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(server: EmbeddedPostgres, sql: str) -> None:
    admin = await asyncpg.connect(server.dsn("postgres"))
    try:
        await admin.execute(sql)
    finally:
        await admin.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is given up on because the machine is slow."""
    monkeypatch.setattr(database_module, "ACQUIRE_TIMEOUT_S", 60.0)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(params=["memory", "postgres"])
def make_store(request: pytest.FixtureRequest, clock: FixedClock) -> Callable[[], Store]:
    """Makes stores that share one world: a fresh database, or fresh tables in memory."""
    if request.param == "postgres":
        dsn = request.getfixturevalue("database")
        return lambda: PostgresStore(dsn, clock, pool_size=3)
    tables = MemoryTables()
    return lambda: MemoryStore(clock, tables=tables)


@pytest.fixture
async def store(make_store: Callable[[], Store]) -> AsyncIterator[Store]:
    """A fresh, open store of each kind."""
    made = make_store()
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def world(store: Store, clock: FixedClock) -> World:
    """A group with a client, a running campaign, its list and its lease."""
    return await make_world(store, clock)
