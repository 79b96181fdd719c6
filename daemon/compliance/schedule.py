"""When a campaign may place calls to a group of places: legal windows, holidays and the campaign's own hours.

Pure and cached by day. Instants are UTC. A window that a clock change makes ambiguous is read the stricter way: it
opens at the last instant the wall reaches its beginning and closes at the first instant the wall reaches its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from daemon.compliance.rules import DAYS, Window, minutes
from daemon.compliance.zones import Place, holidays_of, instants, local_date

HORIZON_DAYS = 400
"""Nothing that opens again stays shut longer; beyond it the answer is "never"."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Weekly windows as (ISO weekday, first minute, end minute), and the country whose public holidays are closed."""

    windows: tuple[tuple[int, int, int], ...]
    holidays: str = ""


@dataclass(frozen=True, slots=True)
class Calendar:
    """A schedule on the clock of a place."""

    schedule: Schedule
    place: Place


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether calls may be placed; `until`: when that ends, or, if shut, when it opens (None: never)."""

    open: bool
    until: datetime | None


def schedule_of(windows: Iterable[Window], holidays: str = "") -> Schedule:
    """The schedule of a rule set's windows."""
    rows = [(DAYS.index(day) + 1, minutes(w.start), minutes(w.end)) for w in windows for day in w.days]
    return Schedule(tuple(sorted(rows)), holidays)


@lru_cache(maxsize=65_536)
def day_intervals(calendar: Calendar, day: date) -> tuple[tuple[datetime, datetime], ...]:
    """The open intervals [from, to) that begin on that local day."""
    schedule, place = calendar.schedule, calendar.place
    if day in holidays_of(schedule.holidays, place.area, day.year):
        return ()
    found = []
    for weekday, start, end in schedule.windows:
        if weekday == day.isoweekday():
            opens, closes = instants(day, start, place.zone)[1], instants(day, end, place.zone)[0]
            if opens < closes:
                found.append((opens, closes))
    return tuple(found)


def is_open(calendar: Calendar, at: datetime) -> bool:
    """Whether the calendar is open at that instant."""
    return any(start <= at < end for start, end in day_intervals(calendar, local_date(at, calendar.place.zone)))


def next_open(calendar: Calendar, at: datetime) -> datetime | None:
    """The first instant from `at` on at which the calendar is open."""
    day = local_date(at, calendar.place.zone)
    for offset in range(HORIZON_DAYS):
        later = [max(start, at) for start, end in day_intervals(calendar, day + timedelta(days=offset)) if end > at]
        if later:
            return min(later)
    return None


def closes_at(calendar: Calendar, at: datetime) -> datetime:
    """The end of the opening that holds at `at`, across windows that touch; `at` if shut."""
    limit = at + timedelta(days=8)  # a schedule open for a whole week never shuts but on holidays
    while at < limit:
        day = local_date(at, calendar.place.zone)
        ends = [end for start, end in day_intervals(calendar, day) if start <= at < end]
        if not ends:
            break
        at = max(ends)
    return at


def next_opening(calendars: tuple[Calendar, ...], at: datetime) -> datetime | None:
    """The first instant from `at` on at which every one of the calendars is open; None if never."""
    limit = at + timedelta(days=HORIZON_DAYS)
    while at < limit:
        latest = at
        for calendar in calendars:
            opens = next_open(calendar, latest)
            if opens is None:
                return None
            latest = opens
        if latest == at:
            return at
        at = latest
    return None


def opening(calendars: tuple[Calendar, ...], at: datetime) -> Opening:
    """The state of all calendars together at `at`. No calendar at all: never open (nothing to judge by)."""
    if not calendars:
        return Opening(False, None)
    if all(is_open(calendar, at) for calendar in calendars):
        return Opening(True, min(closes_at(calendar, at) for calendar in calendars))
    return Opening(False, next_opening(calendars, at))


def open_spans(calendars: tuple[Calendar, ...], at: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """The stretches of [at, until) in which all the calendars are open, in order."""
    found: list[tuple[datetime, datetime]] = []
    while at < until:
        now = opening(calendars, at)
        if now.until is None:
            break
        if now.open:
            found.append((at, min(now.until, until)))
        at = now.until
    return found


def union(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Spans that touch or overlap, as one."""
    found: list[tuple[datetime, datetime]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found
