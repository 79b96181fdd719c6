"""Call statistics and exports (features TELC-06 to TELC-08): the figures of any set of calls, whole or cut up.

A set is named by the filters of the call search; a cut by one dimension. Durations are talk, as the filters have them.
Cost is of answered calls, by the operator's rate table, and null without one, or where a prefix has no rate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web
from msgspec import Meta

from daemon.api import scope
from daemon.api.csv_download import Columns, stream_csv
from daemon.api.history import CallFilters, calls_asked
from daemon.api.minutes import minutes_used, month_start
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer
from daemon.calls.rates import Rates
from daemon.calls.records import Line
from daemon.errors import CommandError

routes = Routes("/api/v1", "reports")
BY = "^(|hour|hour_of_day|day|week|campaign|agent|line|outcome|status|disposition|prefix|department)$"
DAYS = {"today": 0, "7d": 6, "30d": 29}
"""Days before today that a named period reaches back to."""


class StatsQuery(CallFilters, kw_only=True):
    """`period` instead of `start` and `end`: today, or the last 7 or 30 days, today included, in `zone`."""

    by: Annotated[str, Meta(pattern=BY)] = ""
    period: Annotated[str, Meta(pattern="^(today|7d|30d)$")] | None = None
    zone: Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}$")] = "Europe/Paris"


class CallFigures(Answer, kw_only=True):
    """Figures of some calls. `answer_rate`: answered of all that ended, 0..1; `cost`: in the rate table's currency."""

    calls: int
    answered: int
    no_answer: int
    busy: int
    failed: int
    in_progress: int
    answer_rate: float | None
    duration_s: float
    duration_mean_s: float | None
    cost: float | None
    key: str = ""


class CallStats(Answer, kw_only=True):
    """`total` and, with `by`, one row a key: `hour` and `day` as local time, `prefix` the first four characters of the
    number, `department` by the lead's postal code ("" = unknown)."""

    start: datetime | None
    end: datetime | None
    zone: str
    by: str
    computed_at: datetime
    total: CallFigures
    rows: list[CallFigures]


class ExportQuery(CallFilters, kw_only=True):
    """`columns` in the order wanted; all if left out."""

    columns: Columns | None = None
    language: Annotated[str, Meta(pattern="^(fr|en)$")] = "fr"


@routes.get("/stats/calls", permission=Permission.WATCH, query=StatsQuery, reply=CallStats)
async def call_stats(ask: Ask) -> Reply:
    """Figures of the calls that pass every filter: in total, and by one dimension."""
    query: StatsQuery = ask.query
    start, end = _period(query, ask.deps.clock.utcnow())
    group_id, filters = await calls_asked(ask)
    filters |= {name: value for name, value in (("from", start), ("to", end)) if value is not None}
    rates = ask.deps.rates
    sums = await ask.deps.store.call_sums(
        group_id, filters, query.by, query.zone, rates.digits if rates else 0, rates.increments if rates else ()
    )
    parts: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in sums:
        parts[row["key"]].append(row)
    rows = [figures(key, rows, rates) for key, rows in parts.items()] if query.by else []
    answer = CallStats(
        start=start,
        end=end,
        zone=query.zone,
        by=query.by,
        computed_at=ask.deps.clock.utcnow(),
        total=figures("", sums, rates),
        rows=rows,
    )
    return Reply(answer)


def _period(query: StatsQuery, now: datetime) -> tuple[datetime | None, datetime | None]:
    try:
        zone = ZoneInfo(query.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        details = {"field": "zone", "value": query.zone, "allowed": "a zone such as Europe/Paris"}
        raise CommandError("field_invalid", details) from error
    if query.period is None:
        return query.start, query.end
    if query.start is not None or query.end is not None:
        details = {"field": "period", "value": query.period, "allowed": "either a period, or start and end"}
        raise CommandError("field_invalid", details)
    first = now.astimezone(zone).date() - timedelta(days=DAYS[query.period])
    return datetime(first.year, first.month, first.day, tzinfo=zone), None


def figures(key: str, sums: Iterable[Mapping[str, Any]], rates: Rates | None) -> CallFigures:
    """One row from sums over beginnings of numbers."""
    total: dict[str, float] = defaultdict(float)
    cost: float | None = 0.0 if rates else None
    for row in sums:
        for name in ("calls", "answered", "no_answer", "busy", "failed", "in_progress", "talk_s", "talked"):
            total[name] += row[name]
        if rates is None or not row["answered"]:
            continue
        rate = rates.of(row["prefix"])
        if rate is None:
            cost = None
        if rate is not None and cost is not None:
            billed = row["billed_s"][rates.increments.index(rate.increment_s)]
            cost += row["answered"] * rate.per_call + billed / 60 * rate.per_minute
    ended = total["calls"] - total["in_progress"]
    return CallFigures(
        key=key,
        calls=int(total["calls"]),
        answered=int(total["answered"]),
        no_answer=int(total["no_answer"]),
        busy=int(total["busy"]),
        failed=int(total["failed"]),
        in_progress=int(total["in_progress"]),
        answer_rate=total["answered"] / ended if ended else None,
        duration_s=total["talk_s"],
        duration_mean_s=total["talk_s"] / total["talked"] if total["talked"] else None,
        cost=None if cost is None else round(cost, 6),
    )


class LineUsage(Answer, kw_only=True):
    """Minutes of answered calls since `since`; `limit` 0 = none. An alarm is given at 80 and at 100 %."""

    line_id: int
    since: datetime
    minutes: float
    limit: int
    share: float | None


@routes.get("/lines/{id}/usage", permission=Permission.WATCH, reply=LineUsage)
async def line_usage(ask: Ask) -> Reply:
    """A line's minutes of this calendar month against its quota (features TELC-02)."""
    line = await scope.get(ask, Line, ask.id)
    now = ask.deps.clock.utcnow()
    used = (await minutes_used(ask.deps.store, now, line.id)).get(line.id, 0.0)
    limit = line.minutes_per_month
    share = used / limit if limit else None
    return Reply(LineUsage(line_id=line.id, since=month_start(now), minutes=used, limit=limit, share=share))


@routes.get("/exports/calls", permission=Permission.WATCH, query=ExportQuery, raw_body="text/csv")
async def export_calls(ask: Ask) -> web.StreamResponse:
    """The calls that pass every filter, newest first, as CSV row by row."""
    group_id, filters = await calls_asked(ask)
    rows = ask.deps.store.stream_attempts(group_id, filters)
    return await stream_csv(ask, "calls", await anext(rows, None), rows)
