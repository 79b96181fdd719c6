"""Sums of calls: both stores give the same for the same history, whatever the filters and the cut."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from daemon.store import MemoryStore, PostgresStore
from daemon.store.figures import DIMENSIONS
from tests.store.test_reports import a_day, comparable
from tests.store.world import START, FixedClock, World, make_world

FILTERS: list[dict[str, Any]] = [
    {},
    {"status": "answered"},
    {"status": "failed", "line_id": 3},
    {"direction": "out", "duration_min": 10.0},
    {"numbers": ["+33612340001", "+33612340007"]},
    {"from": START + timedelta(hours=3), "to": START + timedelta(hours=9), "agent_id": 1},
    {"outcome": ["busy", "no_answer"], "duration_max": 0.0},
]


@pytest.fixture
async def both(database: str) -> tuple[World, World]:
    worlds = []
    for store, clock in ((MemoryStore(one := FixedClock()), one), (PostgresStore(database, two := FixedClock()), two)):
        await store.open()
        worlds.append(await make_world(store, clock))
        await a_day(worlds[-1])
        for lead_id, code in enumerate(("31000", "20090", "20200", "97400", "9", "75001"), start=1):
            await store.update_lead(lead_id, {"postal_code": code, "country_code": "BE" if lead_id == 6 else "FR"})
    return worlds[0], worlds[1]


async def test_both_stores_give_the_same_sums_and_rows(both: tuple[World, World]) -> None:
    memory, postgres = both
    seen = set()
    for filters in FILTERS:
        for by in sorted(DIMENSIONS):
            asked = (1, filters, by, "America/Martinique", 8, (1, 60))
            first, second = await memory.store.call_sums(*asked), await postgres.store.call_sums(*asked)
            assert second == [comparable(row) for row in first], (filters, by)
            seen.update(row["key"] for row in first if by == "department")
        rows = [row async for row in memory.store.stream_attempts(1, filters)]
        assert [row async for row in postgres.store.stream_attempts(1, filters)] == [comparable(r) for r in rows]
    assert seen >= {"31", "2A", "2B", "974", ""} and "75" not in seen
    assert await postgres.store.call_sums(99, {}, "", "UTC", 0, ()) == []
    await memory.store.close()
    await postgres.store.close()
