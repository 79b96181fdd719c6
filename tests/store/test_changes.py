"""What a daemon asks to hear of changes of configuration by others: each is told, none is missed, on both stores."""

from __future__ import annotations

import asyncpg

from daemon.calls import facts as f
from daemon.calls.records import ApiToken, Blocked, Campaign, LeadList, Line, Record, Status
from daemon.clock import SystemClock
from daemon.ports import Store
from daemon.store import PostgresStore
from tests.store.world import SITE, World


async def told(store: Store, since: int) -> set[tuple[type[Record], int]]:
    return {(row.kind, row.id) for row in (await store.changes(since)).rows}


async def test_rows_created_changed_and_deleted_are_told(world: World) -> None:
    store, group_id = world.store, world.group.id
    mark = (await store.changes(0)).mark
    assert await told(store, mark) == set()
    row = await store.create(Blocked(group_id=group_id, e164="+33199000001"))
    await store.update(Campaign, world.campaign.id, {"name": "autre"}, None)
    await store.update(LeadList, world.listed.id, {"active": False}, None)
    first = {(Blocked, row.id), (Campaign, world.campaign.id), (LeadList, world.listed.id)}
    assert await told(store, mark) == first
    next_mark = (await store.changes(mark)).mark
    assert await told(store, next_mark) == set()
    await store.delete(Blocked, row.id, None)
    assert await told(store, next_mark) == {(Blocked, row.id)}, "also what is gone"
    assert await told(store, mark) == first, "and each row once, however often it changed"


async def test_orders_of_engines_are_told_too(world: World) -> None:
    store = world.store
    line = await store.create(Line(group_id=world.group.id, site=SITE, name="T", endpoint="trunk"))
    mark = (await store.changes(0)).mark
    at = world.clock.utcnow()
    await world.apply(
        f.CampaignSet(at=at, site=SITE, campaign_id=world.campaign.id, state="paused"),
        f.LineSet(at=at, site=SITE, line_id=line.id, enabled=False),
    )
    assert await told(store, mark) == {(Campaign, world.campaign.id), (Line, line.id)}


async def test_what_no_engine_holds_is_not_told(world: World) -> None:
    token = await world.store.create(ApiToken(group_id=world.group.id, name="t"))
    mark = (await world.store.changes(0)).mark
    await world.store.update(ApiToken, token.id, {"last_used_at": world.clock.utcnow()}, None)
    assert await told(world.store, mark) == set()


async def test_the_same_change_has_the_same_stamp(world: World) -> None:
    mark = (await world.store.changes(0)).mark
    await world.store.update(Campaign, world.campaign.id, {"name": "un"}, None)
    (one,) = (await world.store.changes(mark)).rows
    (again,) = (await world.store.changes(mark)).rows
    await world.store.update(Campaign, world.campaign.id, {"name": "deux"}, None)
    (other,) = (await world.store.changes(mark)).rows
    assert one == again and other.stamp > one.stamp


async def test_several_rows_are_read_at_once(world: World) -> None:
    made = [await world.store.create(Status(group_id=world.group.id, code=code, name=code)) for code in ("A1", "B2")]
    ids = [row.id for row in made]
    assert await world.store.get_many(Status, [ids[1], 999_999, ids[0]]) == made
    assert await world.store.get_many(Status, []) == []


async def test_a_transaction_that_was_long_at_work_is_not_missed(database: str) -> None:
    """It began before another that was over, and was asked for, before it was."""
    store = PostgresStore(database, SystemClock(), pool_size=2)
    await store.open()
    slow = await asyncpg.connect(database)
    await slow.execute("INSERT INTO groups (code, name) VALUES ('A', 'A')")
    mark = (await store.changes(0)).mark
    begun = slow.transaction()
    await begun.start()
    await slow.execute("INSERT INTO pause_codes (group_id, code, name) SELECT id, 'LATE', 'x' FROM groups")
    async with store._database.connection() as connection:
        await connection.execute("INSERT INTO pause_codes (group_id, code, name) SELECT id, 'SOON', 'x' FROM groups")
    found = await store.changes(mark)
    assert len(found.rows) == 1
    (soon,) = found.rows
    await begun.commit()
    later = await store.changes(found.mark)
    assert len(later.rows) == 2 and soon in later.rows, "the one known already comes with the stamp it had"
    assert (await store.changes(later.mark)).rows == []
    await slow.close()
    await store.close()


async def test_asking_costs_a_look_at_an_index(database: str) -> None:
    store = PostgresStore(database, SystemClock(), pool_size=1)
    await store.open()
    async with store._database.connection() as connection:
        await connection.execute("INSERT INTO groups (code, name) VALUES ('A', 'A')")
        await connection.execute(
            "INSERT INTO blacklist (group_id, e164) SELECT g.id, '+3361' || lpad(i::text, 7, '0')"
            " FROM groups AS g, generate_series(1, 20000) AS i"
        )
        await connection.execute("ANALYZE changed_rows")
        mark = (await connection.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")) or 0
        before = await _rows_read(connection)
    for _ in range(20):
        mark = (await store.changes(mark)).mark
    async with store._database.connection() as connection:
        assert await _rows_read(connection) == before
    await store.close()


async def _rows_read(connection: asyncpg.Connection) -> int:
    """Of the table by sequential scans, as the server has counted so far."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    return int(
        await connection.fetchval("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'changed_rows'") or 0
    )
