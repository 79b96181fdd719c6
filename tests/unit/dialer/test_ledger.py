"""The ledger: sums per window, over restarts, hours, days, campaigns and sites."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.dialer.ledger import Ledger, LedgerRow, Window, hour_key

HOUR = Window("hour", 0, 0.03, tolerance=0.6)
DAY = Window("day", 1, 0.03)
MONTH = Window("month", 30, 0.03)
POOLED = Window("pooled", 1, 0.03, pooled=True)


def ledger(*windows: Window, rows: tuple[LedgerRow, ...] = ()) -> Ledger:
    return Ledger("north", "paris", windows, rows)


def test_hour_key_is_local_and_tells_the_doubled_hour_of_autumn_apart() -> None:
    assert hour_key(datetime(2026, 11, 21, 22, 30, tzinfo=UTC), "Europe/Paris") == "2026-11-21T23+0100"
    first = hour_key(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "Europe/Paris")
    second = hour_key(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "Europe/Paris")
    assert first[:13] == second[:13] and first != second


def test_hour_rolls_over_and_the_day_goes_on() -> None:
    book = ledger(HOUR, DAY)
    book.count("2026-11-23T10+0100", connected=90, abandoned=3)
    book.count("2026-11-23T11+0100", connected=10, abandoned=1)
    assert book.totals(HOUR, "2026-11-23T11+0100") == (10, 1)
    assert book.totals(DAY, "2026-11-23T11+0100") == (100, 4)
    assert book.totals(DAY, "2026-11-24T09+0100") == (0, 0)


def test_a_late_count_for_the_hour_before_is_in_the_day() -> None:
    book = ledger(DAY)
    assert book.totals(DAY, "2026-11-23T11+0100") == (0, 0)
    book.count("2026-11-23T10+0100", abandoned=1)
    assert book.totals(DAY, "2026-11-23T11+0100") == (0, 1)


def test_restart_in_the_middle_of_an_hour_changes_nothing() -> None:
    before = ledger(HOUR, DAY, MONTH)
    before.count("2026-11-22T18+0100", connected=400, abandoned=11)
    before.count("2026-11-23T10+0100", connected=70, abandoned=2)
    after = ledger(HOUR, DAY, MONTH, rows=tuple(before.rows()))
    asked = ("2026-11-23T10+0100", 1200.0, 9000.0, 0.05, 0.03)
    assert after.room(*asked) == before.room(*asked)
    after.count("2026-11-23T10+0100", connected=1)
    assert after.totals(HOUR, "2026-11-23T10+0100") == (71, 2)


def test_a_window_of_30_days_holds_today_and_29_days_before() -> None:
    book = ledger(MONTH)
    book.count("2026-10-25T10+0100", abandoned=1)
    book.count("2026-10-24T10+0200", abandoned=10)
    assert book.totals(MONTH, "2026-11-23T10+0100") == (0, 1)


def test_pooled_windows_count_other_campaigns_and_sites_as_given() -> None:
    other = LedgerRow("south", "lyon", "2026-11-23T10+0100", 50, 2)
    book = ledger(DAY, POOLED, rows=(other,))
    book.count("2026-11-23T10+0100", connected=10)
    assert book.totals(DAY, "2026-11-23T10+0100") == (10, 0)
    assert book.totals(POOLED, "2026-11-23T10+0100") == (60, 2)
    book.load([LedgerRow("south", "lyon", "2026-11-23T10+0100", 60, 3)])
    assert book.totals(POOLED, "2026-11-23T10+0100") == (70, 3)
    assert [row.campaign for row in book.rows()] == ["north"]


@given(connected=st.integers(0, 5000), abandoned=st.integers(0, 300), left=st.floats(0, 3600))
def test_share_is_never_negative_nor_over_the_boosted_target(connected: int, abandoned: int, left: float) -> None:
    book = ledger(HOUR, DAY)
    book.count("2026-11-23T10+0100", connected=connected, abandoned=abandoned)
    room = book.room("2026-11-23T10+0100", left, left, 0.1, 0.03, boost=1.5)
    assert 0.0 <= room.share <= 0.045 + 1e-12


def test_one_more_abandoned_call_never_makes_room() -> None:
    book = ledger(HOUR, DAY)
    book.count("2026-11-23T10+0100", connected=200)
    rooms = []
    for _ in range(12):
        rooms.append(book.room("2026-11-23T10+0100", 600.0, 600.0, 0.05, 0.03))
        book.count("2026-11-23T10+0100", abandoned=1)
    assert all(a.calls > b.calls and a.share >= b.share for a, b in pairwise(rooms))
    assert rooms[-1].share == 0.0


def test_an_overdrawn_month_closes_the_room_of_a_fresh_day() -> None:
    book = ledger(HOUR, DAY, MONTH)
    book.count("2026-11-20T10+0100", connected=900, abandoned=60)
    room = book.room("2026-11-23T09+0100", 3600.0, 14400.0, 0.05, 0.03)
    assert room.window == "month"
    assert room.share == 0.0


def test_an_hour_borrows_from_its_next_quarter_alone_and_a_day_from_all_of_it() -> None:
    ten = "2026-11-23T10+0100"
    quarter, whole = (ledger(HOUR).room(ten, left, 9000.0, 1.0, 0.03) for left in (900.0, 3600.0))
    assert whole.calls == pytest.approx(quarter.calls)
    assert whole.allowed > 3 * quarter.allowed, "what the hour will allow in the end is shown as it is"
    day = Window("day", 1, 0.03, tolerance=0.6)
    assert ledger(day).room(ten, 900.0, 9000.0, 1.0, 0.03).calls > 9 * quarter.calls


def test_a_small_team_may_borrow_its_first_abandoned_call() -> None:
    book = ledger(HOUR)
    book.count("2026-11-23T10+0100", connected=8, abandoned=1)
    assert book.room("2026-11-23T10+0100", 3000.0, 9000.0, 0.035, 0.03, pipeline=0.4).calls >= 1.0


@pytest.mark.parametrize("days", [0, 1, 30])
def test_rows_come_back_in_order_of_time(days: int) -> None:
    book = ledger(Window("w", days, 0.03))
    for hour in ("2026-11-23T11+0100", "2026-11-22T11+0100", "2026-11-23T09+0100"):
        book.count(hour, connected=1)
    assert [row.hour for row in book.rows()] == ["2026-11-22T11+0100", "2026-11-23T09+0100", "2026-11-23T11+0100"]


def test_hours_that_no_window_reaches_are_let_go_of_and_the_windows_sums_are_what_they_were() -> None:
    book, day = ledger(HOUR, MONTH), datetime(2026, 1, 1, 10, 30, tzinfo=UTC)
    for n in range(400):
        hour = hour_key(day + timedelta(days=n), "Europe/Paris")
        book.count(hour, connected=10, abandoned=1)
        assert book.totals(MONTH, hour) == (10 * min(n + 1, 30), min(n + 1, 30))
    assert len(book.rows()) <= 40
