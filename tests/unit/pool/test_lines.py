"""The line pool: capacity, strategies, rest; and which caller ID is presented."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.calls.records import CallerIdNumber, Campaign, Line, Strategy
from daemon.pool.caller_ids import CallerIds, Health
from daemon.pool.lines import LinePool


def _showing(*ids: int, pool: str = "") -> Campaign:
    return Campaign(group_id=1, client_id=1, name="c", site="main", caller_id_ids=list(ids), caller_id_pool=pool)


def _pool(*capacities: int, priorities: tuple[int, ...] = (), failures_rest: int = 3) -> LinePool:
    pool = LinePool(random.Random(1), failures_rest, 60.0)
    for n, capacity in enumerate(capacities, 1):
        priority = priorities[n - 1] if priorities else 5
        pool.set(Line(id=n, group_id=1, site="main", name=f"T{n}", endpoint="t", capacity=capacity, priority=priority))
    return pool


def test_priority_fills_the_highest_first_then_the_next() -> None:
    pool = _pool(2, 2, priorities=(5, 10))
    taken = [pool.take([1, 2], Strategy.PRIORITY, n, 0.0) for n in range(5)]
    assert [line.record.id if line else None for line in taken] == [2, 2, 1, 1, None]


def test_round_robin_takes_the_least_recently_used() -> None:
    pool = _pool(9, 9, 9)
    ids = []
    for n in range(6):
        line = pool.take([1, 2, 3], Strategy.ROUND_ROBIN, n, float(n))
        assert line is not None
        ids.append(line.record.id)
    assert ids == [1, 2, 3, 1, 2, 3]


def test_least_used_takes_the_fewest_calls() -> None:
    pool = _pool(9, 9)
    pool.lines[1].calls = 4
    ids = [line.record.id for n in range(5) if (line := pool.take([1, 2], Strategy.LEAST_USED, n, 0.0))]
    assert Counter(ids) == {2: 4, 1: 1}


def test_random_uses_every_line_and_repeats_under_its_seed() -> None:
    def draw() -> list[int]:
        pool = _pool(99, 99, 99)
        return [line.record.id for n in range(60) if (line := pool.take([1, 2, 3], Strategy.RANDOM, n, 0.0))]

    assert set(draw()) == {1, 2, 3}
    assert draw() == draw()


def test_a_line_rests_after_failures_in_a_row_and_comes_back() -> None:
    pool = _pool(5)
    assert pool.failed(1, "congestion", 0.0) is None
    pool.succeeded(1)
    for _ in range(2):
        assert pool.failed(1, "congestion", 1.0) is None
    rested = pool.failed(1, "congestion", 1.0)
    assert rested is not None
    assert rested.state(2.0) == "resting"
    assert pool.take([1], Strategy.PRIORITY, "x", 2.0) is None
    assert pool.next_deadline(2.0) == 61.0
    assert pool.take([1], Strategy.PRIORITY, "x", 61.0) is not None


def test_a_line_switched_off_takes_no_new_call_but_keeps_its_own() -> None:
    pool = _pool(3)
    assert pool.take([1], Strategy.PRIORITY, "one", 0.0) is not None
    pool.set(Line(id=1, group_id=1, site="main", name="T1", endpoint="t", capacity=3, enabled=False))
    assert pool.take([1], Strategy.PRIORITY, "two", 0.0) is None
    assert pool.lines[1].in_use == 1
    pool.give_back(1, "one")
    assert pool.lines[1].in_use == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=80))
def test_never_over_capacity_and_leases_are_counted_once(moves: list[tuple[bool, int]]) -> None:
    pool = _pool(2, 3)
    held: dict[int, int] = {}
    for take, lease in moves:
        if take and lease not in held:
            line = pool.take([1, 2], Strategy.RANDOM, lease, 0.0)
            assert (line is None) == (len(held) == 5)
            if line:
                held[lease] = line.record.id
        elif not take:
            for line_id in (1, 2):
                if held.get(lease) == line_id or lease not in held:
                    pool.give_back(line_id, lease)
            held.pop(lease, None)
        for line_id, capacity in ((1, 2), (2, 3)):
            in_use = pool.lines[line_id].in_use
            assert in_use == sum(1 for id in held.values() if id == line_id) <= capacity


@pytest.mark.parametrize(
    ("callee", "shown"),
    [("+33562001122", "+33568000001"), ("+33162001122", "+33162000001"), ("+33987000000", "+33948000001")],
)
def test_caller_id_nearest_to_the_person(callee: str, shown: str) -> None:
    numbers = CallerIds()
    for n, e164 in enumerate(("+33162000001", "+33568000001", "+33948000001"), 1):
        numbers.set(CallerIdNumber(id=n, group_id=1, e164=e164))
    assert numbers.choose(_showing(1, 2, 3), callee, date(2026, 11, 24), 0.0) == shown


def test_caller_id_daily_cap_and_no_number_at_all() -> None:
    numbers = CallerIds()
    numbers.set(CallerIdNumber(id=1, group_id=1, e164="+33162000001", daily_cap=2, pool="sales"))
    today, tomorrow = date(2026, 11, 24), date(2026, 11, 25)
    shown = [numbers.choose(_showing(1), "+33612345678", today, 0.0) for _ in range(3)]
    assert shown == ["+33162000001", "+33162000001", None]
    assert numbers.choose(_showing(1), "+33612345678", tomorrow, 0.0) == "+33162000001"
    assert numbers.choose(_showing(), "+33612345678", today, 0.0) == ""
    assert numbers.choose(_showing(pool="sales"), "+33612345678", tomorrow, 0.0) == "+33162000001"
    assert numbers.choose(_showing(pool="gone"), "+33612345678", tomorrow, 0.0) is None, "not some number or other"


def test_the_last_number_awake_never_rests() -> None:
    numbers = CallerIds(Health(calls_min=10, ratio_min=0.5, rest_s=60.0))
    for n in (1, 2):
        numbers.set(CallerIdNumber(id=n, group_id=1, e164=f"+3316200000{n}"))
    for _ in range(20):
        assert numbers.result("+33162000002", True, 0.0) is None
    rested = [numbers.result("+33162000001", False, 0.0) for _ in range(10)]
    assert rested[-1] is not None and rested[:-1] == [None] * 9
    assert [numbers.result("+33162000002", False, 1.0) for _ in range(60)] == [None] * 60
