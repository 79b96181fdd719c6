"""Reports of the last minutes, of the in-memory store: the rows of store/sql/calls_by_minute.sql, agents_by_minute.sql
and changes.sql. Called by daemon.store.memory_reports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from daemon.calls.records import Agent, Campaign
from daemon.store.memory_tables import IntervalRow, MemoryTables

Rows = list[dict[str, Any]]
Given = Mapping[str, Any]
MINUTE = timedelta(minutes=1)
LOOK_BACK = timedelta(hours=4)
"""How far before the start a closed interval may have begun; an index serves that, not the whole history."""
RINGS_AT_MOST = timedelta(minutes=10)
HANDLING = ("on_call", "on_hold", "wrap_up")
STEERED = ("campaign.tuned", "campaign.running", "campaign.paused", "campaign.stopped")
AWAY = ("paused", "signed_out", "unreachable")
LIMIT = 500


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _is(value: Any, wanted: Any) -> bool:
    return wanted is None or value == wanted


def _period(given: Given) -> tuple[datetime, datetime] | None:
    start, end = given["start"], given["end"]
    return None if start is None or end is None else (start, end)


def calls_by_minute(tables: MemoryTables, given: Given) -> Rows:
    """Calls placed by campaign and minute."""
    if (period := _period(given)) is None:
        return []
    sums: dict[tuple[datetime, int], dict[str, Any]] = {}
    for row in tables.attempts.values():
        wanted = _is(row.group_id, given["group_id"]) and _is(row.campaign_id, given["campaign_id"])
        if not wanted or not period[0] <= row.at < period[1]:
            continue
        key = (_minute(row.at), row.campaign_id)
        head = {"campaign_id": row.campaign_id, "minute": key[0]}
        sum_ = sums.setdefault(key, head | {"placed": 0, "connected": 0, "live": 0, "abandoned": 0})
        sum_["placed"] += row.outcome != "not_placed"
        sum_["connected"] += row.outcome == "connected"
        sum_["live"] += row.live
        sum_["abandoned"] += row.outcome == "abandoned"
    return [sums[key] for key in sorted(sums)]


def agents_by_minute(tables: MemoryTables, given: Given) -> Rows:
    """Time with calls and ready, and waits that a call ended, by minute."""
    if (period := _period(given)) is None:
        return []
    sums: dict[datetime, dict[str, Any]] = {}
    for agent_id, history in sorted(tables.intervals.items()):
        if given["group_id"] is None or _group(tables, Agent, agent_id) == given["group_id"]:
            spells = [row for row in history if _near(row, *period)]
            for row, after in zip(spells, [*spells[1:], None], strict=True):
                _add(sums, row, after, given, *period)
    return [sums[minute] for minute in sorted(sums) if any(v for k, v in sums[minute].items() if k != "minute")]


def _near(row: IntervalRow, start: datetime, end: datetime) -> bool:
    if row.started_at >= end:
        return False
    return row.ended_at is None or (row.started_at > start - LOOK_BACK and row.ended_at > start)


def _add(
    sums: dict[datetime, dict[str, Any]],
    row: IntervalRow,
    after: IntervalRow | None,
    given: Given,
    start: datetime,
    end: datetime,
) -> None:
    """One interval, minute by minute."""
    ready, wanted = row.state == "ready", given["campaign_id"]
    if not ready and row.state not in HANDLING:
        return
    counts = wanted is None or (wanted in row.campaign_ids if ready else row.campaign_id == wanted)
    minute, last = _minute(max(row.started_at, start)), min(row.ended_at or end, end)
    while minute <= last:
        empty = {"minute": minute, "handling_s": 0.0, "ready_s": 0.0, "waits": 0, "waited_s": 0.0}
        sum_ = sums.setdefault(minute, empty)
        if counts:
            spent = min(last, minute + MINUTE) - max(row.started_at, start, minute)
            sum_["ready_s" if ready else "handling_s"] += spent.total_seconds()
        if ready and after is not None and after.attempt_id is not None and _is(after.campaign_id, wanted):
            ended = row.ended_at
            if ended is not None and minute <= ended < minute + MINUTE and ended < end:
                sum_["waits"] += 1
                sum_["waited_s"] += (ended - row.started_at).total_seconds()
        minute += MINUTE


def changes(tables: MemoryTables, given: Given) -> Rows:
    """What happened, newest first."""
    if (period := _period(given)) is None:
        return []
    found = [
        *_steered(tables, given),
        *_links(tables),
        *_away(tables, given),
        *_conversations(tables, given, period[0]),
    ]
    found = [row for row in found if period[0] <= row["at"] < period[1]]
    found.sort(key=lambda row: (row["kind"], row["id"]))
    found.sort(key=lambda row: row["at"], reverse=True)
    return found[: given["limit"] or LIMIT]


def _steered(tables: MemoryTables, given: Given) -> Rows:
    names = ("at", "what", "by", "detail")
    rows = [row for row in tables.audit if row["what"] in STEERED and row["target"].isdigit()]
    return [
        {**{name: row[name] for name in names}, "kind": "campaign", "id": row["target"]}
        for row in rows
        if isinstance(campaign := tables.config[Campaign].get(int(row["target"])), Campaign)
        and _is(campaign.group_id, given["group_id"])
        and _is(campaign.id, given["campaign_id"])
    ]


def _links(tables: MemoryTables) -> Rows:
    return [
        {
            "at": row["at"],
            "kind": "link",
            "id": row["site"],
            "what": "up" if row["up"] else "down",
            "by": "",
            "detail": {},
        }
        for row in tables.link_changes
    ]


def _away(tables: MemoryTables, given: Given) -> Rows:
    return [
        {
            "at": row.started_at,
            "kind": "agent",
            "id": str(agent_id),
            "what": row.state,
            "by": row.by,
            "detail": {"code": row.code},
        }
        for agent_id, history in tables.intervals.items()
        if (group_id := _group(tables, Agent, agent_id)) is not None and _is(group_id, given["group_id"])
        for row in history
        if row.state in AWAY and (given["campaign_id"] is None or given["campaign_id"] in row.campaign_ids)
    ]


def _conversations(tables: MemoryTables, given: Given, start: datetime) -> Rows:
    return [
        {
            "at": row.connected_at,
            "kind": "call",
            "id": str(row.number),
            "what": "talking",
            "by": "",
            "detail": {"campaign_id": row.campaign_id, "agent_id": row.agent_id},
        }
        for row in tables.attempts.values()
        if row.connected_at is not None
        and row.at >= start - RINGS_AT_MOST
        and row.at < given["end"]
        and _is(row.group_id, given["group_id"])
        and _is(row.campaign_id, given["campaign_id"])
    ]


def _group(tables: MemoryTables, kind: type[Agent], id: int) -> int | None:
    return getattr(tables.config[kind].get(id), "group_id", None)
