"""A copy of a real database, put in the place of the one that has gone on: its age is seen by the journal's mark."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import asyncpg
import pytest

from daemon.calls import facts as f
from daemon.sites import SiteLog
from daemon.store import EmbeddedPostgres, PostgresStore
from daemon.store.journal import Journal
from daemon.store.journal_files import Folder
from daemon.store.writer import keep_synced
from tests.store.world import LEASE_S, SITE, START, FixedClock, make_world


def _log(folder: Path, store: PostgresStore) -> SiteLog:
    journal = Journal.open(Folder(folder), SITE)
    clock = FixedClock()
    return SiteLog(journal, store, clock, random.Random(1), keep_synced(journal, 1.0))


async def _copy(server: EmbeddedPostgres, of: str, to: str) -> None:
    admin = await asyncpg.connect(server.dsn("postgres"))
    await admin.execute(f"CREATE DATABASE {to} TEMPLATE {of} STRATEGY file_copy")
    await admin.close()


@pytest.mark.feature("RELY-05", clause="PostgreSQL put back from an older copy is noticed, also after a restart")
async def test_an_older_copy_is_seen(postgres: EmbeddedPostgres, clock: FixedClock, tmp_path: Path) -> None:
    await _copy(postgres, "cadran_template", "went_on")
    store = PostgresStore(postgres.dsn("went_on"), clock, pool_size=2)
    await store.open()
    world = await make_world(store, clock)
    log = _log(tmp_path, store)
    log.journal.begin(world.lease.fence)
    log.journal.append([f.AuditFact(at=START, by="anna", what=str(n)) for n in range(3)])
    await log.writer.flush()
    await store.close()
    await _copy(postgres, "went_on", "older")

    await store.open()
    log.journal.append([f.AuditFact(at=START, by="anna", what="after the copy")])
    await log.writer.flush()
    await log.verify()
    assert not log.older, "the database that went on has all it confirmed"
    newest = await store.acquire_lease(SITE, "daemon-a", LEASE_S)
    assert newest is not None
    log.close()
    await store.close()

    restored = PostgresStore(postgres.dsn("older"), clock, pool_size=2)
    await restored.open()
    for _ in range(2):
        log = _log(tmp_path, restored)
        await log.verify()
        assert log.older, "and a restart does not forget it"
        log.close()
    lease = await restored.acquire_lease(SITE, "daemon-a", LEASE_S, newest.fence)
    assert lease is not None and lease.fence == newest.fence + 1
    log = _log(tmp_path, restored)
    log.reconciled()
    log.journal.begin(lease.fence)
    log.journal.append([f.AuditFact(at=START, by="anna", what="dials again")])
    await log.writer.flush()
    log.close()
    log = _log(tmp_path, restored)
    await log.verify()
    assert not log.older
    log.close()
    await restored.close()
    await asyncio.sleep(0)


async def test_a_mark_that_cannot_be_read_is_none(clock: FixedClock, tmp_path: Path) -> None:
    (tmp_path / "applied.json").write_text("{")
    journal = Journal.open(Folder(tmp_path), SITE)
    assert journal.mark.older is None and journal.mark.fence == 0
    journal.close()
