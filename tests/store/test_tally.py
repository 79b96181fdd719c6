"""The memory store's running counts of leads: the same as a look at every row, whatever moves, the clock too."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from daemon.store.memory_people import held_by, insert
from daemon.store.memory_tables import LeadRow, MemoryTables

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def by_looking(tables: MemoryTables, list_id: int, active: bool, now: datetime) -> dict[str, int]:
    found: dict[str, int] = {}
    for id in tables.leads_of_list[list_id]:
        reason = held_by(tables.leads[id], active, now)
        found[reason] = found.get(reason, 0) + 1
    return found


def test_counts_are_those_of_every_row_looked_at() -> None:
    rng, tables, now = random.Random(7), MemoryTables(), START
    for n in range(60):
        row = LeadRow(
            id=n + 1, e164=f"+3319900{n:04d}", list_id=1 + n % 2, group_id=1, created_at=START, turn=3,
            tz_group=("Europe/Paris", "Europe/Madrid")[n % 3 == 0],
        )  # fmt: skip
        insert(tables, row)
    for _ in range(400):
        lead = tables.leads[rng.randint(1, 60)]
        what = rng.randrange(5)
        if what == 0:
            lead.claimed_by = rng.choice((None, "here"))
        elif what == 1:
            lead.hold(now + timedelta(seconds=rng.randint(-60, 600)), rng.choice(("gap", "")), now)
        elif what == 2:
            lead.eligible_at, lead.blocked_by = None, rng.choice(("", "dnc", "final"))
        elif what == 3:
            lead.tz_group = rng.choice(("Europe/Paris", "Europe/Madrid", "Indian/Reunion"))
        else:
            now += timedelta(seconds=rng.choice((-300, 5, 60, 200)))  # a wall clock may be set back
        tables.touch(lead)
        for list_id, active in ((1, True), (2, rng.random() < 0.5)):
            assert tables.tally.counts(list_id, active, now) == by_looking(tables, list_id, active, now)
        assert tables.tally.groups((1, 2)) == sorted({row.tz_group for row in tables.leads.values()})


def test_rows_taken_away_are_not_counted() -> None:
    tables = MemoryTables()
    insert(tables, LeadRow(id=1, e164="+33199000001", list_id=1, group_id=1, created_at=START, turn=3, tz_group="x"))
    assert tables.tally.counts(1, True, START) == {"due": 1}
    for kept in (tables.leads, tables.leads_of_list, tables.tally):
        kept.clear()
    assert tables.tally.counts(1, True, START) == {}
    assert tables.tally.groups((1,)) == []
