"""What was done since an instant by earlier lives, on the in-memory store: the rows of store/sql/day_calls.sql and of
store/sql/day_agents.sql."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from daemon.store.memory_tables import AttemptRow, IntervalRow, MemoryTables

Rows = list[dict[str, Any]]
LOOK_BACK = timedelta(hours=4)
COUNTED = ("ready", "on_call", "on_hold", "wrap_up")


def _known(row: AttemptRow | IntervalRow, at: datetime, who: int, given: Mapping[str, Any]) -> bool:
    start, until, site, fence, only = (given[name] for name in ("start", "until", "site", "fence", "only"))
    if start is None or site is None or at < start - LOOK_BACK or (until is not None and at >= until):
        return False
    if row.site == site and (fence is None or row.fence >= fence):
        return False
    return only is None or who in only


def day_calls(tables: MemoryTables, given: Mapping[str, Any]) -> Rows:
    """Sums by whose site, campaign, direction, outcome and who ended it; and by whose site and agent."""
    start, still_open, forms = given["start"], frozenset(given["open"] or ()), frozenset(given["forms"] or ())
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in tables.attempts.values():
        if not _known(row, row.at, row.campaign_id, given):
            continue
        own = row.site == given["site"]
        steps = _steps(row, start, row.id not in still_open, row.id not in forms)
        by_campaign = (own, row.campaign_id, row.kind == "inbound", row.outcome, row.ended_by, None)
        for key in (by_campaign, (own, None, None, None, None, row.agent_id)):
            known = sums.setdefault(key, [0] * 6)
            known[:] = [a + b for a, b in zip(known, steps, strict=True)]
    names = ("own", "campaign_id", "inbound", "outcome", "ended_by", "agent_id")
    counts = ("began", "placed", "answered", "connected", "ended", "sales")
    ordered = sorted(sums, key=lambda key: [(part is None, part if part is not None else 0) for part in key])
    return [dict(zip((*names, *counts), (*key, *sums[key]), strict=True)) for key in ordered]


def _since(at: datetime | None, start: datetime) -> bool:
    return at is not None and at >= start


def _steps(row: AttemptRow, start: datetime, over: bool, disposed: bool) -> tuple[int, ...]:
    sold = over and disposed and row.sale and not row.disposition_by_default
    return (
        int(row.at >= start),
        int(_since(row.placed_at, start)),
        int(over and _since(row.answered_at, start)),
        int(over and _since(row.connected_at, start)),
        int(over and _since(row.ended_at, start)),
        int(sold and _since(row.disposition_at, start)),
    )


def day_agents(tables: MemoryTables, given: Mapping[str, Any]) -> Rows:
    """Sums by whose site, agent, state and campaigns."""
    start = given["start"]
    since = dict(zip(given["agent_ids"] or (), given["since"] or (), strict=True))
    sums: dict[tuple[Any, ...], tuple[list[float], list[bool]]] = {}
    for history in tables.intervals.values():
        for before, row in pairwise((None, *history)):
            assert row is not None
            if row.state not in COUNTED or not _known(row, row.started_at, row.agent_id, given):
                continue
            key = (row.site == given["site"], row.agent_id, row.state, row.campaign_id, tuple(row.campaign_ids))
            spent, calls = sums.setdefault(key, ([], []))
            spent.append(_seconds(row, start, since.get(row.agent_id)))
            held = before is not None and before.state == "on_hold" and before.attempt_id == row.attempt_id
            calls.append(row.state == "on_call" and row.started_at >= start and not held)
    names = ("own", "agent_id", "state", "campaign_id", "campaign_ids", "seconds", "calls")
    return [
        dict(zip(names, (*key[:4], list(key[4]), sum(sums[key][0]), sum(sums[key][1])), strict=True))
        for key in sorted(sums)
    ]


def _seconds(row: IntervalRow, start: datetime, since: datetime | None) -> float:
    if row.ended_at is None or row.ended_at <= start or (since is not None and row.started_at >= since):
        return 0.0
    return (row.ended_at - max(row.started_at, start)).total_seconds()
